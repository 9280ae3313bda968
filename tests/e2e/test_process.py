"""The program as a process: start, stop, refusals at start, exit statuses, footprint."""
import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest
from conftest import SPILLWAY, clean_environment

EVENT = {"type": "a", "ts": "2026-11-20T12:00:00Z"}


def refused(run, *flags, status=1, says="", **kwargs):
    result = run("serve", *flags, timeout=30, **kwargs)
    assert result.returncode in (status if isinstance(status, tuple) else (status,)), (result.returncode, result.stderr)
    assert result.stdout == "" and says in result.stderr, result.stderr
    return result.stderr


@pytest.mark.short
def test_sigterm_drains_and_exits_0(server):
    server.ingest(EVENT)
    assert server.stop() == 0
    server.start()
    assert len(server.consume()) == 1


def test_in_flight_requests_finish_at_stop(server):
    host, port = server.http.rsplit(":", 1)
    body = json.dumps({"events": [EVENT]}).encode()
    with socket.create_connection((host, int(port)), timeout=20) as sock:
        sock.sendall(b"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:10])
        server.get("/health")  # the half request has been read by now
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        sock.sendall(body[10:])
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
    assert server.process.wait(30) == 0
    server.process = None
    assert len(server.start().consume()) == 1


@pytest.mark.short
def test_a_second_server_on_the_directory_is_refused(server, run):
    text = refused(run, "--dev", "--data", server.data, "--http", "127.0.0.1:0", "--kafka", "off")
    assert str(server.data) in text and str(server.pid) in text


@pytest.mark.short
def test_a_port_in_use_is_refused(server, run, tmp_path):
    refused(run, "--dev", "--data", tmp_path / "other", "--http", server.http, "--kafka", "off", says=server.http)
    refused(run, "--dev", "--data", tmp_path / "other", "--http", "off", "--kafka", server.kafka, says=server.kafka)


@pytest.mark.short
def test_a_data_directory_that_cannot_be_used(run, tmp_path):
    (tmp_path / "file").write_text("x")
    refused(run, "--dev", "--data", tmp_path / "file", "--http", "127.0.0.1:0", "--kafka", "off", status=(1, 2), says="file")
    refused(run, "--dev", "--data", "/proc/nowhere", "--http", "127.0.0.1:0", "--kafka", "off", says="/proc/nowhere")
    newer = tmp_path / "newer"
    newer.mkdir()
    (newer / "format").write_text("version=999\n")
    refused(run, "--dev", "--data", newer, "--http", "127.0.0.1:0", "--kafka", "off", says="format")


@pytest.mark.short
@pytest.mark.parametrize("flags, says", [
    (["--set", "http.header_bytes=soon"], "http.header_bytes"),
    (["--set", "no.such=1"], "no.such"),
    (["--http", "nowhere"], "nowhere"),
    (["--http", "127.0.0.1:99999"], "99999"),
    (["--no-such-flag"], "--no-such-flag"),
    (["--dev", "--http", "0.0.0.0:0"], "loopback"),
])
def test_bad_settings(run, tmp_path, flags, says):
    result = run("serve", "--data", tmp_path / "d", *flags)
    assert result.returncode in (1, 2) and says in result.stderr, (result.returncode, result.stderr)
    assert result.stdout == ""


def test_a_bad_line_in_the_file_is_named(run, tmp_path):
    conf = tmp_path / "c.conf"
    conf.write_text("[http]\nlisten = 127.0.0.1:0\nlissten = x\n")
    assert ":3" in refused(run, "--data", tmp_path / "d", "--config", conf, status=2, says="lissten")
    conf.write_text("[storage]\nsync = sometimes\n")
    assert "always" in refused(run, "--data", tmp_path / "d", "--config", conf, status=2, says=":2")


@pytest.mark.short
def test_flags_beat_environment_beat_file(run, tmp_path):
    (tmp_path / "c.conf").write_text("[log]\nlevel = debug\n[http]\nheader_seconds = 7\n[kafka]\nlisten = off\n")
    shown = run("serve", "--print-config", "--config", tmp_path / "c.conf", "--set", "http.header_seconds=9",
                env={"LOG_LEVEL": "error", "AUTH_TOKEN": "hush-hush"})
    assert shown.returncode == 0, shown.stderr
    text = shown.stdout
    assert re.search(r"header_seconds\W+9\b", text)
    assert re.search(r"level\W+error\b", text)
    assert re.search(r"^.*listen\W+off\b", text, flags=re.M)
    assert "hush-hush" not in text + shown.stderr


@pytest.mark.short
def test_help_and_usage(run):
    for command in ([], ["serve"], ["ingest"], ["tail"], ["log"], ["status"]):
        shown = run(*command, "--help")
        assert shown.returncode == 0 and "spillway" in shown.stdout and shown.stderr == "", command
    for bad in (["no-such-command"], ["log", "no-such"], ["tail", "--no-such"]):
        shown = run(*bad)
        assert shown.returncode == 2 and shown.stdout == "" and shown.stderr, bad
    assert re.match(r"spillway \d+\.\d+\.\d+", run("--version").stdout)


def start_seconds(data):
    began = time.monotonic()
    with subprocess.Popen([SPILLWAY, "serve", "--dev", "--data", data, "--http", "127.0.0.1:0", "--kafka",
                           "127.0.0.1:0"], env=clean_environment(), stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process:
        assert process.stdout.readline().startswith(b"ready ")
        took = time.monotonic() - began
        process.terminate()
    assert process.returncode == 0
    return took


def test_starts_quickly_and_idles_quietly(server):
    """Bounds loose enough for a busy test machine; ./x bench start measures."""
    server.stop()
    assert min(start_seconds(server.data) for _ in range(5)) < 0.3
    server.start()
    server.ingest(EVENT)

    def cpu_ticks():
        fields = open(f"/proc/{server.pid}/stat").read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    time.sleep(1.5)  # recovery-point is synced a second after the last append
    before = cpu_ticks()
    time.sleep(4)
    assert (cpu_ticks() - before) / os.sysconf("SC_CLK_TCK") <= 0.02


@pytest.mark.short
def test_log_verify_and_dump(server, run):
    for n in range(3):
        server.ingest({**EVENT, "n": n})
    live = run("log", "verify", "--data", server.data)
    assert live.returncode == 0, live.stdout + live.stderr
    assert server.stop() == 0
    assert run("log", "verify", "--data", server.data).returncode == 0
    dump = run("log", "dump", "--data", server.data, "events")
    assert dump.returncode == 0 and '"n": 2' in dump.stdout, dump.stdout + dump.stderr
    (segment,) = server.data.glob("log/events/0/*.log")
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0x40
    segment.write_bytes(data)
    bad = run("log", "verify", "--data", server.data)
    assert bad.returncode == 1 and segment.name in bad.stdout + bad.stderr
