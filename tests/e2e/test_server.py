"""The running server: the drain under load, the routes for operators, a damaged shard."""
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
import requests
from conftest import SPILLWAY, clean_environment

TS = "2026-11-20T12:00:00Z"


def post_until_refused(server, name, acknowledged):
    """Single events over one kept connection; those answered 200 go to `acknowledged`."""
    with requests.Session() as session:
        for n in itertools.count():
            identity = f"{name}-{n}"
            try:
                reply = session.post(server.url("/ingest"), timeout=30,
                                     json={"events": [{"type": "load", "ts": TS, "id": identity}]})
            except requests.RequestException:
                return
            if reply.status_code == 200:
                acknowledged.append(identity)


@pytest.mark.short
def test_a_drain_under_load_loses_nothing(server):
    acknowledged = []
    writers = [threading.Thread(target=post_until_refused, args=(server, name, acknowledged)) for name in range(8)]
    for writer in writers:
        writer.start()
    while len(acknowledged) < 200:
        time.sleep(0.01)
    assert server.stop() == 0
    for writer in writers:
        writer.join()
    server.start()
    stored = [json.loads(message.value())["id"] for message in server.consume()]
    assert len(stored) == len(set(stored))
    assert set(acknowledged) <= set(stored)


@pytest.mark.short
def test_a_second_signal_ends_at_once(server):
    host, port = server.http.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as sock:
        sock.sendall(b"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        server.get("/health")  # the half request has been read by now
        server.process.send_signal(signal.SIGTERM)
        while "event=stopping" not in server.log():
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)  # as timeout(1) does: the same wish again
        time.sleep(0.7)
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(5) == 1
    server.process = None


@pytest.mark.short
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_other_stop_signals_drain_too(server, number):
    server.ingest({"type": "a", "ts": TS})
    server.process.send_signal(number)
    assert server.process.wait(30) == 0
    server.process = None
    assert len(server.start().consume()) == 1


@pytest.mark.short
def test_the_lock_ends_with_its_holder(server):
    server.ingest({"type": "a", "ts": TS})
    server.kill()
    holder = (server.data / "lock").read_text()
    assert re.match(r"pid \d+, http 127\.0\.0\.1:\d+, kafka 127\.0\.0\.1:\d+\n$", holder)
    server.start()
    assert len(server.consume()) == 1


@pytest.mark.short
def test_health_and_root(server):
    for path in ("/health", "/"):
        reply = server.get(path)
        body = reply.json()
        assert reply.status_code == 200 and body["success"] is True
        assert {k: body[k] for k in body["data"]} == body["data"]
        assert body["status"] == "ok" and body["env"] == "production" and body["service"] == "spillway"
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", body["ts"])
        assert isinstance(body["cpuTimeMs"], (int, float))
    assert requests.head(server.url("/health"), timeout=30).status_code == 200
    assert server.get("/nowhere").status_code == 404


@pytest.mark.short
def test_metrics_count_and_parse(server):
    server.ingest({"type": "a", "ts": TS}, {"type": "b", "ts": TS})
    reply = server.get("/metrics")
    assert reply.status_code == 200 and reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    values, typed = {}, set()
    for line in reply.text.splitlines():
        if match := re.match(r"# TYPE (\S+) (counter|gauge)$", line):
            typed.add(match.group(1))
        elif not line.startswith("#"):
            match = re.match(r'([a-z_]+)(\{[a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*\})? (-?[0-9.]+)$', line)
            assert match, line
            assert match.group(1) in typed, f"{line} before its TYPE"
            values[match.group(1) + (match.group(2) or "")] = float(match.group(3))
    assert values["spillway_events_ingested_total"] == 2
    assert values['spillway_shard_high_watermark{stream="events",shard="0"}'] == 2
    assert values['spillway_shard_writable{stream="events",shard="0"}'] == 1
    assert values["spillway_http_connections"] == 1
    assert requests.post(server.url("/metrics"), timeout=30).status_code == 405


@pytest.mark.short
def test_settings_as_json(run, tmp_path):
    (tmp_path / "c.conf").write_text("[keys]\nns_acme_private = acme\n[limits]\nbody_bytes = 2 MiB\n")
    shown = run("serve", "--print-config", "--json", "--config", tmp_path / "c.conf",
                env={"AUTH_TOKEN": "hush", "LOG_LEVEL": "warn"})
    settings = json.loads(shown.stdout)
    assert settings["limits.body_bytes"] == {"value": 2 << 20, "from": f"{tmp_path}/c.conf:4"}
    assert settings["auth.token"] == {"value": "****", "from": "env AUTH_TOKEN"}
    assert settings["log.level"] == {"value": "warn", "from": "env LOG_LEVEL"}
    assert settings["kafka.auto_create_topics"] == {"value": True, "from": "default"}
    assert settings["keys"]["value"] == ["acme"] and "private" not in shown.stdout


@pytest.mark.short
def test_listeners_can_be_off(make_server, tmp_path, run):
    server = make_server("--dev", "--kafka", "off", data=tmp_path / "a")
    assert server.kafka == "off" and server.ingest({"type": "a", "ts": TS})["lsn"] == 0
    both = json.loads(run("status", "--server", f"http://{server.http}", "--json").stdout)
    assert both["status"]["kafka"] is None
    server = make_server("--dev", "--http", "off", data=tmp_path / "b")
    assert server.http == "off" and server.consume() == []


@pytest.mark.short
def test_a_listener_beyond_loopback_wants_a_decision(run, tmp_path, make_server):
    refused = run("serve", "--data", tmp_path / "a", "--http", "127.0.0.1:0", "--kafka", "0.0.0.0:0")
    assert refused.returncode == 2 and "kafka.allow_unauthenticated" in refused.stderr
    server = make_server("--kafka", "0.0.0.0:0", "--set", "kafka.allow_unauthenticated=true",
                         "--set", "kafka.advertise=localhost:9", data=tmp_path / "b")
    assert server.kafka.startswith("0.0.0.0:")
    port = server.kafka.rsplit(":", 1)[1]
    listed = subprocess.run(["kcat", "-L", "-J", "-b", f"127.0.0.1:{port}"], capture_output=True, text=True,
                            timeout=30, check=False)
    assert [broker["name"] for broker in json.loads(listed.stdout)["brokers"]] == ["localhost:9"]


@pytest.mark.short
def test_the_settings_file_of_the_data_directory_counts(make_server, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "spillway.conf").write_text("env = staging\n[limits]\nevent_bytes = 100\n[log]\nformat = json\n")
    server = make_server("--dev", data=data)
    assert server.get("/health").json()["env"] == "staging"
    reply = server.post("/ingest", json.dumps({"events": [{"type": "a", "ts": TS, "x": "y" * 100}]}))
    assert reply.status_code == 400 and reply.json()["code"] == "EVENT_TOO_LARGE"
    assert server.stop() == 0
    assert all(json.loads(line)["level"] for line in server.log().splitlines())


@pytest.mark.short
def test_a_directory_that_cannot_be_written(tmp_path):
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.geteuid() and str(parent) != "/":
            parent.chmod(parent.stat().st_mode | 0o011)
    tmp_path.chmod(0o711)
    data = tmp_path / "data"
    data.mkdir(mode=0o555)
    # Nobody may be let into the folder of the build.
    program = shutil.copy(SPILLWAY, tmp_path / "spillway")
    as_nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    done = subprocess.run([program, "serve", "--dev", "--data", data, "--http", "127.0.0.1:0", "--kafka", "off"],
                          capture_output=True, text=True, timeout=30, env=clean_environment(), check=False,
                          cwd="/", **as_nobody)
    assert done.returncode == 1 and done.stdout == "", done
    assert str(data) in done.stderr and "Permission denied" in done.stderr


def random_events(count):
    """NDJSON that does not compress."""
    return "\n".join(json.dumps({"type": "a", "ts": TS, "x": os.urandom(400).hex()}) for _ in range(count))


@pytest.mark.short
def test_a_cut_with_whole_batches_stays_in_health_until_looked_at(server, run):
    for n in range(3):
        server.ingest({"type": "a", "ts": TS, "n": n})
    assert server.stop() == 0
    segment = last_segment(server)
    data = bytearray(segment.read_bytes())
    data[len(data) // 3 + 30] ^= 1  # within the second of three equal batches
    segment.write_bytes(data)
    (server.data / "log/events/0/recovery-point").unlink()
    server.start()
    health = server.get("/health")
    assert health.status_code == 200 and health.json()["status"] == "degraded", health.text
    (unwell,) = health.json()["shards"]
    assert unwell["status"] == "cut" and ".valid.cut" in unwell["reason"]
    assert ".valid.cut" in run("status", "--server", f"http://{server.http}").stdout
    assert run("log", "verify", "--data", server.data).returncode == 0
    assert server.ingest({"type": "next", "ts": TS})["lsn"] == 1
    assert server.stop() == 0
    for cut in server.data.glob("log/events/0/*.valid.cut"):
        cut.rename(server.data / "looked-at")
    server.start()
    assert server.get("/health").json()["status"] == "ok"


def last_segment(server):
    return max(server.data.glob("log/events/0/*.log"))


def test_a_damaged_shard_is_read_only_and_says_so(make_server, run):
    server = make_server("--dev", "--set", "storage.compression=none")
    # More than 8 MiB behind the damage, so that it is no torn tail; a segment may be rolled at any time.
    while (segment := last_segment(server)).stat().st_size < 9_500_000 or server.process:
        for _ in range(12):
            assert server.post("/ingest", random_events(1000),
                               {"Content-Type": "application/x-ndjson"}).status_code == 200
        assert server.stop() == 0
        if last_segment(server).stat().st_size < 9_500_000:
            server.start()
    with open(segment, "r+b") as file:
        file.seek(100_000)
        byte = file.read(1)
        file.seek(100_000)
        file.write(bytes([byte[0] ^ 1]))
    for derived in server.data.glob("log/events/0/*"):
        if derived.suffix in (".index", ".timeindex") or derived.name == "recovery-point":
            derived.unlink()
    server.start()
    health = server.get("/health")
    assert health.status_code == 503 and health.json()["status"] == "degraded", health.text
    (unwell,) = health.json()["shards"]
    assert (unwell["stream"], unwell["shard"], unwell["status"]) == ("events", 0, "read-only")
    assert segment.name in unwell["reason"]
    reply = server.post("/ingest", json.dumps({"events": [{"type": "a", "ts": TS}]}))
    assert reply.status_code == 503 and reply.json()["code"] == "SHARD_READ_ONLY"
    told = run("status", "--server", f"http://{server.http}")
    assert told.returncode == 1 and "read-only" in told.stdout
    checked = run("log", "verify", "--data", server.data)
    assert checked.returncode == 1 and segment.name in checked.stdout
    assert 'spillway_shard_writable{stream="events",shard="0"} 0' in server.get("/metrics").text
