"""What a server does by the clock: snapshots, drills, compaction, cleanup, beside its clients' writes. A round of the
schedule comes with each start, so a restart makes due what is due."""
import json
import re
import threading
import time

import pytest
import requests
from recovery import NAMESPACE, wait_for

ORDERS = "orders"
DELTAS_ON_DEMAND = ["--dev", "--set", "cdc.delta_seconds=0"]


def change(number, round_number=0):
    return {"type": "collection.update", "ts": "2026-02-02T14:30:00Z", "collection": ORDERS, "docId": str(number % 500),
            "doc": {"number": number, "round": round_number, "text": "x" * (number % 97)}}


def post(server, first, count):
    server.ingest(*(change(n) for n in range(first, first + count)))


class Load:
    """Someone who writes all the time, until the end of the `with`."""

    def __init__(self, server):
        self.server = server
        self.stopped = threading.Event()
        self.posted = 0
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        with requests.Session() as session:
            while not self.stopped.is_set():
                events = [change(n, self.posted) for n in range(200)]
                reply = session.post(self.server.url("/ingest"), json={"events": events}, timeout=30)
                assert reply.status_code == 200, reply.text
                self.posted += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()
        assert self.posted > 0


def directory(server):
    return server.data / "store" / NAMESPACE / ORDERS


def flush(server):
    assert server.post("/flush").status_code == 200


def collection(server):
    return next((c for c in server.get(f"/collections/{NAMESPACE}").json()["collections"] if c["name"] == ORDERS), None)


def gauge(server, name):
    """The gauge of the collection, or None."""
    text = server.get("/metrics").text
    found = re.search(rf'^spillway_{name}{{namespace="{NAMESPACE}",collection="{ORDERS}"}} (\S+)$', text, flags=re.M)
    return float(found.group(1)) if found else None


def counter(server, name):
    return int(re.search(rf"^spillway_{name} (\d+)$", server.get("/metrics").text, flags=re.M).group(1))


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0x10
    path.write_bytes(data)


def test_five_drills_in_a_row_beside_a_server_under_load(make_server, run):
    server = make_server(*DELTAS_ON_DEMAND)
    post(server, 0, 500)
    flush(server)
    place = f"{NAMESPACE}/{ORDERS}"
    with Load(server) as load:
        for n in range(5):
            before = load.posted
            done = run("restore", "--data", server.data, "--drill", "--json", place)
            assert done.returncode == 0, done
            outcome = json.loads(done.stdout)
            assert outcome["passed"] is True and outcome["deltas"] >= 1, outcome
            assert collection(server)["lastDrill"] == outcome
            wait_for(lambda: load.posted > before)
            flush(server)
            if n == 1:
                assert server.post(f"/snapshots/{place}", b"{}").status_code == 201
            if n == 3:
                assert server.post("/admin/compact").status_code == 200
    flush(server)
    manifest = json.loads((directory(server) / "manifest.json").read_bytes())
    damaged = directory(server) / manifest["deltas"][-1]["path"]
    damage(damaged)
    done = run("restore", "--data", server.data, "--drill", place)
    assert done.returncode == 1 and "FAILED" in done.stdout and damaged.name in done.stdout, done
    listed = run("collections", "--data", server.data)
    assert "FAILED" in listed.stdout and damaged.name in listed.stdout, listed
    assert collection(server)["lastDrill"]["passed"] is False


def test_a_drill_at_a_target(make_server, run):
    server = make_server(*DELTAS_ON_DEMAND)
    place, source = f"{NAMESPACE}/{ORDERS}", ("--store", server.data / "store")
    for n in range(3):
        post(server, 10 * n, 10)
        flush(server)
    for target, lsn in [(("--lsn", 29), 29), (("--lsn", 25), 19), (("--lsn", 20, "--exclusive"), 19), (("--latest",), 29),
                        (("--at", "2026-02-02T14:30:00Z"), 29)]:
        done = run("restore", *source, "--drill", "--json", *target, place)
        assert done.returncode == 0 and json.loads(done.stdout)["lsn"] == lsn, (target, done)
    for target, says in [(("--lsn", 3), "at or before LSN 3"), (("--lsn", 30), "beyond the end"),
                         (("--at", "2026-02-02T14:29:59Z"), "at or before 2026-02-02T14:29:59")]:
        done = run("restore", *source, "--drill", *target, place)
        assert done.returncode == 1 and says in done.stderr, done
    assert run("restore", *source, "--drill", "--dry-run", place).returncode == 2
    assert run("restore", *source, "--drill", "--undo", "1..2", place).returncode == 2


def test_a_start_makes_up_for_what_is_due(make_server, run):
    # The window and what is kept are empty, so cleanup removes what a newer snapshot stands in for.
    server = make_server(*DELTAS_ON_DEMAND, "--set", "pitr.window_days=0", "--set", "snapshot.daily_keep=0",
                         "--set", "snapshot.monthly_keep=0")
    for n in range(3):
        post(server, 100 * n, 100)
        flush(server)
    assert len(list((directory(server) / "deltas").iterdir())) == 3
    server.restart()
    with Load(server):
        wait_for(lambda: gauge(server, "drill_passed") == 1)
        wait_for(lambda: counter(server, "snapshot_files_removed_total") >= 3)
        last = collection(server)["lastDrill"]
        assert last["passed"] is True and last["lsn"] >= 299 and last["deltas"] >= 1, last
        assert gauge(server, "drill_age_seconds") < 60 and gauge(server, "drill_duration_seconds") > 0
        snapshots = server.get(f"/snapshots/{NAMESPACE}/{ORDERS}").json()["snapshots"]
        assert {s["type"] for s in snapshots} <= {"daily", "monthly"} and len(snapshots) == 1, snapshots
        assert counter(server, "snapshots_total") == 2 and counter(server, "snapshot_failures_total") == 0
    status = run("status", "--server", f"http://{server.http}")
    assert re.search(rf"^{NAMESPACE}/{ORDERS} +passed +0\.0 +", status.stdout, flags=re.M), status.stdout
    server.restart()
    wait_for(lambda: gauge(server, "drill_passed") == 1)
    assert counter(server, "drills_total") == 0, "the last one is not 24 hours old"
    assert collection(server)["lastDrill"] == last


def test_a_scheduled_drill_of_damaged_files_is_an_error_that_names_the_file(make_server, run):
    server = make_server(*DELTAS_ON_DEMAND, "--set", "snapshot.daily=off")
    post(server, 0, 100)
    flush(server)
    server.restart()
    wait_for(lambda: gauge(server, "drill_passed") == 1)
    (directory(server) / "drill.json").unlink()
    [damaged] = (directory(server) / "deltas").iterdir()
    good = damaged.read_bytes()
    damage(damaged)
    server.restart()
    wait_for(lambda: gauge(server, "drill_passed") == 0)
    [line] = [line for line in server.stderr if "drill_failed" in line]
    assert "level=error" in line and damaged.name in line and f"collection={ORDERS}" in line, line
    assert counter(server, "drills_failed_total") == 1
    [drill] = server.get("/admin/status").json()["drills"]
    assert drill["drill"]["passed"] is False and damaged.name in drill["drill"]["text"], drill
    status = run("status", "--server", f"http://{server.http}")
    assert "FAILED" in status.stdout and damaged.name in status.stdout, status.stdout
    damaged.write_bytes(good)  # from a copy, as docs/recovery.md says; the next drill is by hand
    assert run("restore", "--data", server.data, "--drill", f"{NAMESPACE}/{ORDERS}").returncode == 0
    assert collection(server)["lastDrill"]["passed"] is True


def test_no_name_reaches_the_terminal_as_it_is(make_server, run):
    server = make_server(*DELTAS_ON_DEMAND)
    server.ingest({**change(1), "collection": "a\x1b[2Jb"})
    flush(server)
    server.restart()
    wait_for(lambda: server.get("/admin/status").json()["drills"])
    shown = run("status", "--server", f"http://{server.http}")
    assert shown.returncode == 0 and "/a\\u001b[2Jb " in shown.stdout and "\x1b" not in shown.stdout, shown


@pytest.mark.long
def test_a_failed_round_is_made_again(make_server):
    server = make_server(*DELTAS_ON_DEMAND, "--set", "compact.every_minutes=1")
    post(server, 0, 100)
    assert server.post(f"/snapshots/{NAMESPACE}/{ORDERS}", b"{}").status_code == 201
    manifest = directory(server) / "snapshots" / "manifest.json"
    good = manifest.read_bytes()
    damage(manifest)
    server.restart()
    wait_for(lambda: counter(server, "snapshot_failures_total") > 0)
    assert server.get(f"/snapshots/{NAMESPACE}/{ORDERS}").status_code == 500
    manifest.write_bytes(good)

    def snapshots():
        return [s["type"] for s in server.get(f"/snapshots/{NAMESPACE}/{ORDERS}").json()["snapshots"]]

    wait_for(lambda: sorted(snapshots()) == ["daily", "manual", "monthly"], 90)


@pytest.mark.long
def test_a_moment_after_one_that_was_made_up_for_counts(make_server):
    """A start makes up for the last moment; the same day's own one, later, finds the day's name taken."""
    server = make_server(*DELTAS_ON_DEMAND, "--set", "snapshot.daily=00:00")

    def daily():
        listed = server.get(f"/snapshots/{NAMESPACE}/{ORDERS}").json()["snapshots"]
        return [s["name"] for s in listed if s["type"] == "daily"]

    post(server, 0, 100)
    flush(server)
    server.restart()
    wait_for(lambda: len(daily()) == 1)
    post(server, 100, 100)
    flush(server)
    server.stop()
    minute = time.gmtime().tm_min
    wait_for(lambda: time.gmtime().tm_min != minute, 70)
    server.flags[-1] = time.strftime("snapshot.daily=%H:%M", time.gmtime())
    server.start()
    wait_for(lambda: len(daily()) == 2)
    assert counter(server, "snapshot_failures_total") == 0


@pytest.mark.long
def test_a_running_server_does_its_rounds(make_server):
    """No restart: compaction each minute, whose rounds drill the collection that is new; a daily snapshot when its
    time comes."""
    soon = time.strftime("%H:%M", time.gmtime(time.time() + 90))
    server = make_server("--dev", "--set", "compact.every_minutes=1", "--set", f"snapshot.daily={soon}", "--set",
                         "cdc.delta_seconds=5")
    with Load(server):
        wait_for(lambda: (directory(server) / "data.parquet").exists(), 150)
        wait_for(lambda: gauge(server, "drill_passed") == 1, 150)
        wait_for(lambda: server.get(f"/snapshots/{NAMESPACE}/{ORDERS}").json()["snapshots"], 150)
    assert counter(server, "snapshot_failures_total") == 0
    assert counter(server, "compactions_total") >= 1
    assert counter(server, "drills_failed_total") == 0
