"""The end-to-end harness: starts the built server as a user would, with its own data directory and free
ports, talks to it over real sockets, kills and restarts it.

Fixtures: `server` (development mode, running), `make_server` (any flags and environment).
SPILLWAY_BUILD names the build directory (default build/).
"""
import os
import pathlib
import re
import signal
import subprocess
import threading

import pytest
import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SPILLWAY_BUILD", ROOT / "build"))
SPILLWAY = BUILD / "spillway"
# GitHub's published payloads.
EXAMPLES = ROOT / "tests/node_modules/@octokit/webhooks-examples/api.github.com/index.json"
READY_SECONDS_MAX = 60  # generous: sanitizer builds on a busy machine

# A sanitizer's finding ends the server, so it fails the test; these mean nothing to a plain build.
SANITIZERS = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}
SECRETS = {"GITHUB_WEBHOOK_SECRET": "github-secret", "STRIPE_WEBHOOK_SECRET": "whsec_stripe-secret"}


class Server:
    """One `spillway serve` process over one data directory; start() again after stop() or kill()."""

    def __init__(self, data, flags=(), env=None):
        self.data = pathlib.Path(data)
        self.flags = list(flags)
        self.env = {**clean_environment(), **SANITIZERS, **SECRETS, **(env or {})}
        self.process = None
        self.stderr = []
        self.http = self.kafka = None

    def start(self):
        assert self.process is None, "already running"
        command = [str(SPILLWAY), "serve", "--data", str(self.data)]
        command += ["--http", "127.0.0.1:0", "--kafka", "127.0.0.1:0", *self.flags]
        self.process = subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, errors="replace")
        reader = threading.Thread(target=self._collect, args=(self.process.stderr,), daemon=True)
        reader.start()
        watchdog = threading.Timer(READY_SECONDS_MAX, self.process.kill)
        watchdog.start()
        line = self.process.stdout.readline()
        watchdog.cancel()
        match = re.match(r"ready http=(\S+) kafka=(\S+) data=(.+)$", line)
        if not match:
            self.process.wait()
            reader.join()
            raise AssertionError(f"no ready line but {line!r}, exit {self.process.returncode}:\n{self.log()}")
        self.http, self.kafka = match.group(1), match.group(2)
        return self

    def _collect(self, stream):
        for line in stream:
            self.stderr.append(line)

    def log(self):
        return "".join(self.stderr[-200:])

    @property
    def pid(self):
        return self.process.pid

    def url(self, path):
        return f"http://{self.http}{path}"

    def stop(self, seconds=30):
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(seconds)
        self.process = None
        return status

    def kill(self):
        """kill -9, as the kernel's out-of-memory killer would."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def restart(self, kill=False):
        self.kill() if kill else self.stop()
        return self.start()

    def close(self):
        """At the end of a test: a server that died by itself, or a sanitizer's report, fails the test."""
        if self.process is None:
            return
        died = self.process.poll()
        if died is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                died = self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"did not stop within 30 s of SIGTERM:\n{self.log()}") from None
        assert died == 0, f"the server ended with {died}:\n{self.log()}"
        assert "Sanitizer" not in self.log(), self.log()

    # What many tests do.

    def post(self, path, body=b"", headers=None, **kwargs):
        base = {"Content-Type": "application/json"}
        return requests.post(self.url(path), data=body, headers={**base, **(headers or {})}, timeout=30, **kwargs)

    def ingest(self, *events, **kwargs):
        """Posts events (dicts) and returns the reply's JSON; fails the test unless they were taken."""
        reply = requests.post(self.url("/ingest"), json={"events": list(events), **kwargs}, timeout=30)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def get(self, path, **kwargs):
        return requests.get(self.url(path), timeout=30, **kwargs)

    def consume(self, topic="events", partition=0, offset=0):
        """Every record from `offset` to the end, by librdkafka: a list of confluent_kafka.Message."""
        from confluent_kafka import Consumer, KafkaError, TopicPartition

        consumer = Consumer({"bootstrap.servers": self.kafka, "group.id": "e2e", "enable.auto.commit": False,
                             "enable.partition.eof": True, "check.crcs": True})
        try:
            consumer.assign([TopicPartition(topic, partition, offset)])
            messages = []
            while True:
                message = consumer.poll(30)
                assert message is not None, f"no message and no end within 30 s\n{self.log()}"
                if message.error() and message.error().code() == KafkaError._PARTITION_EOF:
                    return messages
                assert not message.error(), message.error()
                messages.append(message)
        finally:
            consumer.close()


def clean_environment():
    """The caller's environment without settings that Spillway would read."""
    ours = re.compile(r"(SPILLWAY_|.*WEBHOOK_SECRET$|AUTH_TOKEN$|NAMESPACE_API_KEYS$|ALLOW_UNAUTH|LOG_LEVEL$)")
    return {key: value for key, value in os.environ.items() if not ours.match(key)}


def java_classpath(program):
    """The Java class path of "kafka" or "parquet"."""
    return subprocess.run([ROOT / "tools/java_classpath.sh", program], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def make_server(tmp_path):
    """make_server(*flags, env={}, data=PATH, start=True) -> Server; all are stopped after the test."""
    servers = []

    def make(*flags, env=None, data=None, start=True):
        server = Server(data or tmp_path / "data", flags, env)
        servers.append(server)
        return server.start() if start else server

    yield make
    problems = []
    for server in servers:
        try:
            server.close()
        except AssertionError as problem:
            problems.append(str(problem))
    assert not problems, "\n".join(problems)


@pytest.fixture
def server(make_server):
    """A running development server: no token needed, no rate limits."""
    return make_server("--dev")


@pytest.fixture
def run():
    """run("log", "verify", …) -> CompletedProcess of the built program, text mode."""
    def run_spillway(*arguments, env=None, input=None, timeout=60):
        return subprocess.run([str(SPILLWAY), *map(str, arguments)], env={**clean_environment(), **SANITIZERS, **(env or {})},
                              input=input, capture_output=True, text=True, timeout=timeout, check=False)
    return run_spillway
