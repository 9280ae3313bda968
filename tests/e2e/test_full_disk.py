"""A full disk under deltas, snapshots, restores and the log itself: refused with a sentence that names the file, nothing
half-done is left, and when there is space again everything goes on by itself."""
import json
import os
import subprocess
import time

import pytest
from recovery import (FORMATS, NAMESPACE, READERS, SMALL, Recorder, assert_same, framed, kept_hashes, quote, read_ndjson,
                      run_bytes, wait_for)
from recovery_model import state_hash

class SmallDisk:
    """A file system in memory with a size of its own."""

    def __init__(self, path, kilobytes):
        self.path = path
        path.mkdir()
        self.root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        self._run("mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,mode=777", "small", str(path))

    def _run(self, *command):
        subprocess.run([*self.root, *command], check=True)

    def resize(self, kilobytes):
        self._run("mount", "-o", f"remount,size={kilobytes}k", str(self.path))

    def fill(self):
        """Takes all that is left but a few pages; free() gives it back."""
        stat = os.statvfs(self.path)
        with open(self.path / "filler", "wb") as filler:
            filler.write(bytes(max(stat.f_bavail * stat.f_frsize - 16384, 0)))

    def free(self):
        (self.path / "filler").unlink()

    def leftovers(self):
        """Whatever looks temporary."""
        return [p for p in self.path.rglob("*") if ".tmp-" in p.name or ".partial-" in p.name]

    def unmount(self):
        self._run("umount", "-l", str(self.path))


@pytest.fixture
def small_disk(tmp_path):
    disks = []

    def make(kilobytes):
        disks.append(SmallDisk(tmp_path / f"disk-{len(disks)}", kilobytes))
        return disks[-1]

    yield make
    for disk in disks:
        disk.unmount()


def fat(recorder, count, collection="fat"):
    """`count` documents that do not compress."""
    for n in range(count):
        recorder.change(collection, f"d{n}", "insert", json.dumps({"n": n, "pad": os.urandom(4000).hex()}))


def taken(recorder, collection):
    """Whether a change is taken now."""
    try:
        fat(recorder, 1, collection)
        return True
    except AssertionError as refusal:
        assert "STORAGE_FULL" in str(refusal)
        return False


def check_state(recorder):
    for collection in recorder.collections():
        got = read_ndjson(recorder.server.get(f"/state/{NAMESPACE}/{quote(collection)}").content)
        assert_same(got, framed(recorder.model.state(collection)), collection)


@pytest.mark.parametrize("form", FORMATS)
def test_a_restore_to_a_full_disk_leaves_nothing(make_server, small_disk, form):
    recorder = Recorder(make_server(*SMALL), 17, odd=False)
    fat(recorder, 60)
    recorder.server.stop()
    disk = small_disk(128)
    out = disk.path / f"out.{form}"
    restore = ["restore", "--data", recorder.server.data, "--latest", "--format", form, "--to", out, f"{NAMESPACE}/fat"]
    done = run_bytes(*restore)
    assert done.returncode == 1, done
    assert str(out).encode() in done.stderr and b"free some and restore again" in done.stderr, done.stderr
    assert list(disk.path.iterdir()) == []
    disk.resize(8192)
    done = run_bytes(*restore)
    assert done.returncode == 0, done.stderr
    assert_same(READERS[form](out), framed(recorder.model.state("fat")), form)


@pytest.fixture
def on_small_store(make_server, small_disk):
    """A server with its log on the ordinary disk and its store on a small one."""
    disk = small_disk(8192)
    server = make_server(*SMALL, "--set", f"store.url=file:{disk.path}/store")
    return Recorder(server, 19, odd=False), disk


def problem(server):
    states = server.get("/admin/status").json()["states"]
    return next(s["problem"] for s in states if s["namespace"] == NAMESPACE)


def check_store(recorder, disk):
    """The store alone gives what the model has; no temporary file is left."""
    for collection in recorder.collections():
        done = run_bytes("restore", "--store", f"file:{disk.path}/store", "--lsn", recorder.end - 1,
                         f"{NAMESPACE}/{collection}")
        assert done.returncode == 0, done.stderr
        assert_same(read_ndjson(done.stdout), framed(recorder.model.state(collection)), collection)
    assert disk.leftovers() == []


def test_deltas_wait_for_space(on_small_store):
    recorder, disk = on_small_store
    fat(recorder, 10)
    recorder.flush()
    disk.fill()
    fat(recorder, 40)
    reply = recorder.server.post("/flush")
    assert reply.status_code == 507, reply.text
    assert str(disk.path) in reply.text and "space" in reply.text, reply.text
    assert disk.leftovers() == []
    fat(recorder, 3)  # writes and reads go on
    check_state(recorder)
    assert "space" in problem(recorder.server)
    disk.free()
    wait_for(lambda: recorder.server.post("/flush").status_code == 200, 30)
    wait_for(lambda: problem(recorder.server) == "", 10)
    check_state(recorder)
    check_store(recorder, disk)


def test_a_namespace_stands_still_where_too_much_awaits_the_store(make_server, small_disk):
    """64 MiB and four times cdc.delta_bytes are held; what comes then waits in the log."""
    disk = small_disk(8192)
    server = make_server("--dev", "--set", "limits.event_bytes=1048576", "--set", "cdc.delta_seconds=3600",
                         "--set", "cdc.delta_bytes=65536", "--set", f"store.url=file:{disk.path}/store")
    recorder = Recorder(server, 29, odd=False)
    recorder.change("c", "first", "insert", "{}")
    recorder.flush()
    disk.fill()
    pad = os.urandom(300_000).hex()
    for n in range(400):  # one transaction more than what is held may have been applied
        recorder.change("c", f"d{n % 8}", "update", f'{{"n":{n},"pad":"{pad}"}}')
        if n % 10 == 0 and b"stands still" in server.get(f"/state/{NAMESPACE}/c/first").content:
            break
    assert server.get(f"/state/{NAMESPACE}/c/first").status_code == 507
    assert "space" in problem(server)
    disk.resize(400_000)
    wait_for(lambda: server.post("/flush").status_code == 200, 60)
    check_state(recorder)
    check_store(recorder, disk)


def test_a_snapshot_on_a_full_disk_leaves_nothing(on_small_store):
    recorder, disk = on_small_store
    server = recorder.server
    fat(recorder, 60)
    recorder.flush()
    recorder.snapshot("fat")
    before = server.get(f"/snapshots/{NAMESPACE}/fat").json()
    time.sleep(1.1)  # a snapshot of the same second would have the same name
    recorder.change("fat", "d1", "delete")
    recorder.flush()
    disk.fill()
    reply = server.post(f"/snapshots/{NAMESPACE}/fat", b"{}")
    assert reply.status_code == 507, reply.text
    assert str(disk.path) in reply.text and "space" in reply.text, reply.text
    assert server.get(f"/snapshots/{NAMESPACE}/fat").json() == before
    assert disk.leftovers() == []
    disk.free()
    recorder.snapshot("fat")
    done = run_bytes("snapshot", "verify", "--store", f"file:{disk.path}/store", f"{NAMESPACE}/fat")
    assert done.returncode == 0, done
    check_store(recorder, disk)


def test_a_full_data_directory_refuses_and_then_goes_on(make_server, small_disk):
    """Log, state and store on the same full disk: changes are refused, what was acknowledged stays."""
    disk = small_disk(40960)
    recorder = Recorder(make_server(*SMALL, data=disk.path / "data"), 23, odd=False)
    fat(recorder, 20)
    recorder.flush()
    recorder.snapshot("fat")
    disk.fill()

    def refused():
        with pytest.raises(AssertionError, match="STORAGE_FULL"):
            for _ in range(3000):
                fat(recorder, 1, "more")

    refused()
    assert recorder.server.post("/flush").status_code != 200
    refused()
    assert recorder.server.get("/health").status_code in (200, 503)
    disk.free()
    wait_for(lambda: taken(recorder, "more"), 30)
    wait_for(lambda: recorder.server.post("/flush").status_code == 200, 30)
    fat(recorder, 5, "more")
    recorder.flush()
    check_state(recorder)
    for collection, kept in kept_hashes(recorder.server).items():
        wanted = recorder.model.state(collection)
        assert kept == (state_hash(wanted), len(wanted)), collection
    assert disk.leftovers() == []
    recorder.server.restart(kill=True)
    check_state(recorder)
