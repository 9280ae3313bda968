"""The servers that are measured: Spillway, nginx, Apache Kafka and a Kafka broker that does nothing. Each is started in a directory of
its own on the disk under test, on loopback, and knows the process whose CPU and memory count."""

import functools
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOKEN = "bench-token"
NGINX = "/usr/sbin/nginx"


class Failed(Exception):
    """Something that the benchmark needs did not work; the text says what."""


build_choice = ["build-release", "build"]


def build_dir():
    """The build given with --build, else the release build if there is one, else the ordinary one."""
    for name in build_choice:
        path = os.path.join(ROOT, name)
        if os.access(os.path.join(path, "spillway"), os.X_OK):
            return path
    raise Failed(f"no spillway in {' or '.join(build_choice)}: run ./x build release")


def program(name):
    """The path of a benchmark program of the same build."""
    path = os.path.join(build_dir(), "bench", name)
    if not os.access(path, os.X_OK):
        raise Failed(f"{path} is not built" + (" (librdkafka-dev?)" if name[0] == "k" else ""))
    return path


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, process, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Failed(f"{process.args[0]} ended with status {process.returncode}")
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise Failed(f"nothing listens on port {port} after {seconds} s")


class Server:
    """A child process; `pid` is the process that does the work."""

    def __init__(self, name, directory):
        self.name = name
        self.directory = directory
        self.process = None
        self.pid = 0
        os.makedirs(directory, exist_ok=True)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def remove(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.remove()


class Spillway(Server):
    """Production settings: every answer durable, no rate limits, a token; not --dev."""

    def __init__(self, directory, extra=()):
        super().__init__("spillway", directory)
        self.extra = list(extra)
        self.http = self.kafka = None

    def command(self):
        settings = ["http.listen=127.0.0.1:0", "kafka.listen=127.0.0.1:0", "storage.sync=always",
                    "limits.requests_per_minute=0", "limits.events_per_minute=0", *self.extra]
        flags = [word for s in settings for word in ("--set", s)]
        return [os.path.join(build_dir(), "spillway"), "serve", "--data", self.directory, *flags]

    def start(self):
        """Returns the seconds from just before exec to the ready line."""
        log = open(self.directory.rstrip("/") + ".log", "ab")
        env = {**os.environ, "AUTH_TOKEN": TOKEN, "LOG_LEVEL": "warn"}
        begin = time.perf_counter()
        self.process = subprocess.Popen(self.command(), stdout=subprocess.PIPE, stderr=log, env=env)
        line = self.read_line(30)
        took = time.perf_counter() - begin
        log.close()
        ready = re.match(rb"ready http=(\S+) kafka=(\S+) data=", line)
        if not ready:
            self.stop()
            raise Failed(f"spillway did not become ready: {line!r}; see {self.directory}.log")
        self.http, self.kafka = (part.decode() for part in ready.groups())
        self.pid = self.process.pid
        return took

    def read_line(self, seconds):
        pipe = self.process.stdout
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([pipe], [], [], seconds)[0]:
                break
            byte = os.read(pipe.fileno(), 4096)
            if not byte:
                break
            line += byte
        return line

    def remove(self):
        super().remove()
        log = self.directory.rstrip("/") + ".log"
        if os.path.exists(log):
            os.unlink(log)


class Nginx(Server):
    """Answers 200 with a body like ours to any request and stores nothing; one worker."""

    def __init__(self, directory):
        super().__init__("nginx", directory)
        self.http = f"127.0.0.1:{free_port()}"

    def start(self):
        body = {"ok": True, "received": 1, "namespace": "default", "stream": "events", "shard": 0,
                "lsn": 123456}
        conf = f"""
worker_processes 1; daemon off; pid {self.directory}/pid; error_log {self.directory}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 3600; client_max_body_size 8m;
  client_body_temp_path {self.directory}/body; proxy_temp_path {self.directory}/proxy;
  fastcgi_temp_path {self.directory}/fastcgi; uwsgi_temp_path {self.directory}/uwsgi;
  scgi_temp_path {self.directory}/scgi;
  default_type application/json;
  server {{ listen {self.http}; location / {{ return 200 '{json.dumps(body)}'; }} }}
}}
"""
        path = os.path.join(self.directory, "nginx.conf")
        with open(path, "w", encoding="utf-8") as f:
            f.write(conf)
        os.chmod(self.directory, 0o755)
        self.process = subprocess.Popen([NGINX, "-c", path], stderr=subprocess.DEVNULL)
        wait_for_port(int(self.http.split(":")[1]), self.process)
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with open(children, encoding="ascii") as f:
            self.pid = int(f.read().split()[0])


@functools.cache
def kafka_classpath():
    """Apache Kafka and what it needs; from Maven Central into .cache/, once."""
    script = os.path.join(ROOT, "tools", "java_classpath.sh")
    done = subprocess.run([script, "kafka"], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Failed("mvn could not get Apache Kafka")
    return done.stdout.strip()


class Kafka(Server):
    """Apache Kafka, KRaft, one node, the heap and collector of its own start script."""

    JVM = ["-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
           "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent",
           "-Djava.awt.headless=true"]

    def __init__(self, directory, fsync):
        super().__init__("kafka-fsync" if fsync else "kafka-nosync", directory)
        port, controller = free_port(), free_port()
        self.kafka = f"127.0.0.1:{port}"
        self.properties = os.path.join(directory, "server.properties")
        lines = ["process.roles=broker,controller", "node.id=1",
                 f"controller.quorum.voters=1@127.0.0.1:{controller}",
                 f"listeners=PLAINTEXT://{self.kafka},CONTROLLER://127.0.0.1:{controller}",
                 f"advertised.listeners=PLAINTEXT://{self.kafka}",
                 "controller.listener.names=CONTROLLER", f"log.dirs={directory}/log",
                 "num.partitions=1", "offsets.topic.replication.factor=1",
                 "transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1"]
        if fsync:
            lines.append("log.flush.interval.messages=1")
        with open(self.properties, "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")

    def java(self, *arguments):
        return ["java", *self.JVM, "-cp", kafka_classpath(), *arguments]

    def start(self):
        log = open(os.path.join(self.directory, "out.log"), "ab")
        done = subprocess.run(self.java("kafka.tools.StorageTool", "format", "-t",
                                        "AAAAAAAAAAAAAAAAAAAAAQ", "-c", self.properties),
                              stdout=log, stderr=log)
        if done.returncode != 0:
            raise Failed(f"Kafka could not format its directory; see {self.directory}/out.log")
        self.process = subprocess.Popen(self.java("kafka.Kafka", self.properties), stdout=log,
                                        stderr=log)
        log.close()
        self.pid = self.process.pid
        wait_for_port(int(self.kafka.split(":")[1]), self.process)
        time.sleep(3)  # the broker registers with its own controller


class NullBroker(Server):
    """Answers a Kafka producer at once and stores nothing: nullbroker.c."""

    def __init__(self, directory):
        super().__init__("null", directory)
        self.kafka = f"127.0.0.1:{free_port()}"

    def start(self):
        self.process = subprocess.Popen([program("nullbroker"), self.kafka])
        self.pid = self.process.pid
        wait_for_port(int(self.kafka.split(":")[1]), self.process)
