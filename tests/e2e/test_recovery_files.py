"""The store's files under damage: whatever byte is wrong or missing, a restore is right or says which file is not."""
import json
import os
import shutil

import pytest
from recovery import NAMESPACE, SMALL, Recorder, assert_same, framed, read_ndjson, run_bytes


def restore(store, collection, *flags):
    return run_bytes("restore", "--store", f"file:{store}", *flags, f"{NAMESPACE}/{collection}")


class Copy:
    """A store that was copied away, the only collection in it, and what restores of it must give."""

    def __init__(self, recorder, path, collection):
        recorder.server.stop()
        shutil.copytree(recorder.server.data / "store", path)
        shutil.rmtree(recorder.server.data)
        self.path, self.collection = path, collection
        end = recorder.end - 1
        self.targets = {flags: framed(recorder.model.state(collection, lsn=lsn))
                        for flags, lsn in [(("--lsn", str(end)), end), (("--lsn", str(end // 2)), end // 2)]}

    def files(self):
        return sorted(p for p in self.path.rglob("*") if p.is_file())

    def check(self, what, must_fail=False):
        """Every target: the right answer, or status 1, nothing on standard output that could pass for one, and a file's
        name. Returns how many failed."""
        failed = 0
        for flags, wanted in self.targets.items():
            done = restore(self.path, self.collection, *flags)
            if done.returncode == 0:
                assert_same(read_ndjson(done.stdout), wanted, f"{what} {flags}")
                continue
            assert done.returncode == 1, f"{what} {flags}: {done}"
            named = [p.name for p in self.path.rglob("*")] + ["manifest.json", "parquet"]
            assert any(name.encode() in done.stderr for name in named), f"{what} {flags}: no file named: {done.stderr}"
            failed += 1
        assert failed or not must_fail, f"{what}: nobody noticed"
        return failed


@pytest.fixture
def copy(make_server, tmp_path):
    """A small store: two deltas and a snapshot of one collection."""
    recorder = Recorder(make_server(*SMALL), 3, odd=False)
    for n in range(12):
        recorder.change("t", f"d{n % 5}", "update" if n % 4 else "delete", None if n % 4 == 0 else f'{{"n":{n}}}')
        if n == 5:
            recorder.flush()
            recorder.snapshot("t")
    recorder.flush()
    return Copy(recorder, tmp_path / "store", "t")


def flip_each(copy, step):
    """Flips a bit of every `step`-th byte of every file, one at a time; each must be noticed or harmless to the
    answer, and `snapshot verify`, which reads everything, must notice each one."""
    flips = 0
    for path in copy.files():
        whole = path.read_bytes()
        for at in range(0, len(whole), step):
            damaged = bytearray(whole)
            damaged[at] ^= 1 << (at % 8)
            path.write_bytes(damaged)
            what = f"{path.relative_to(copy.path)} byte {at} of {len(whole)}"
            copy.check(what)
            if at % (step * 8) == 0:
                done = run_bytes("snapshot", "verify", "--store", f"file:{copy.path}", f"{NAMESPACE}/{copy.collection}")
                assert done.returncode == 1, f"{what}: verify says it is fine"
            flips += 1
        path.write_bytes(whole)
    assert copy.check("mended") == 0
    return flips


def test_a_store_copied_away_is_enough(copy):
    assert copy.check("whole") == 0


def test_a_flipped_bit_is_never_a_wrong_answer(copy):
    assert flip_each(copy, 97) > 50


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_each_byte_flipped_is_never_a_wrong_answer(copy):
    assert flip_each(copy, 1) > 5000


def test_a_file_cut_short_or_gone_is_named(copy):
    for path in copy.files():
        whole = path.read_bytes()
        relative = path.relative_to(copy.path)
        for length in (0, 1, 4, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:length])
            copy.check(f"{relative} cut to {length} of {len(whole)}")
        path.write_bytes(whole + whole[-8:])
        copy.check(f"{relative} with bytes behind its end")
        path.unlink()
        copy.check(f"{relative} gone")
        path.write_bytes(whole)
    assert copy.check("mended") == 0


@pytest.mark.short
def test_a_removed_delta_is_a_gap_by_name(copy):
    first, second = sorted(copy.path.glob("*/*/deltas/*.parquet"))
    second.rename(copy.path / "aside")
    done = restore(copy.path, copy.collection, *list(copy.targets)[0])
    assert done.returncode == 1 and second.name.encode() in done.stderr, done
    shutil.copy(first, second)  # another's content under its name
    done = restore(copy.path, copy.collection, *list(copy.targets)[0])
    assert done.returncode == 1 and second.name.encode() in done.stderr, done


@pytest.mark.short
def test_a_manifest_edited_by_hand_is_refused(copy):
    (manifest,) = copy.path.glob(f"{NAMESPACE}/*/manifest.json")
    content = json.loads(manifest.read_bytes())
    content["deltas"] = content["deltas"][:1]  # the hash is no longer that of the text
    manifest.write_text(json.dumps(content))
    done = restore(copy.path, copy.collection, *list(copy.targets)[0])
    assert done.returncode == 1 and b"manifest.json" in done.stderr, done


@pytest.mark.short
def test_a_symbolic_link_out_of_the_store_is_no_way_to_read(copy, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    os.symlink(secret, copy.path / NAMESPACE / "linked")
    done = restore(copy.path, "linked", "--lsn", "1")
    assert done.returncode == 1 and not done.stdout, done


# ---- the state database --------------------------------------------------------------------------


def state_files(server):
    return sorted((server.data / "state").iterdir())


@pytest.mark.parametrize("damage", ["gone", "garbage", "truncated", "zeros", "flipped"])
def test_a_lost_or_damaged_state_is_rebuilt(make_server, damage):
    recorder = Recorder(make_server(*SMALL), 9, odd=False)
    server = recorder.server
    recorder.post(300)
    recorder.flush()
    recorder.post(100)
    server.stop()
    for path in state_files(server):
        whole = path.read_bytes()
        if damage == "gone":
            path.unlink()
        elif damage == "garbage":
            path.write_bytes(b"this is no database\n" * 500)
        elif damage == "truncated":
            path.write_bytes(whole[:len(whole) // 2])
        elif damage == "zeros":
            path.write_bytes(bytes(len(whole)))
        else:
            path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    server.start()
    recorder.post(50)
    recorder.flush()
    for collection in recorder.collections():
        got = read_ndjson(server.get(f"/state/{NAMESPACE}/{collection}").content)
        assert_same(got, framed(recorder.model.state(collection)), f"{damage} {collection}")
        done = run_bytes("restore", "--data", server.data, "--latest", f"{NAMESPACE}/{collection}")
        assert_same(read_ndjson(done.stdout), framed(recorder.model.state(collection)), f"restore {damage} {collection}")


def test_a_lost_state_is_rebuilt_also_after_the_log_was_cut(make_server):
    recorder = Recorder(make_server(*SMALL, "--set", "storage.segment_bytes=65536"), 13, odd=False)
    server = recorder.server
    for n in range(60):
        recorder.post(100)
        if n == 40:
            recorder.flush()
    server.stop()
    segments = sorted((server.data / "log/events/0").glob("*.log"))
    gone = [path for path in segments if int(path.stem) < recorder.end // 3]
    assert len(gone) > 1 and len(segments) > len(gone) + 2
    for path in gone[:-1]:  # what retention by age or size does
        for also in path.parent.glob(path.stem + ".*"):
            also.unlink()
    for path in state_files(server):
        path.unlink()
    server.start()
    recorder.post(30)
    recorder.flush()
    for collection in recorder.collections():
        got = read_ndjson(server.get(f"/state/{NAMESPACE}/{collection}").content)
        assert_same(got, framed(recorder.model.state(collection)), collection)
    for lsn in (10, recorder.end // 2, recorder.end - 1):  # and the past is still there: the deltas have it
        for collection in recorder.collections():
            done = run_bytes("restore", "--data", server.data, "--lsn", lsn, f"{NAMESPACE}/{collection}")
            assert done.returncode == 0, done.stderr
            assert_same(read_ndjson(done.stdout), framed(recorder.model.state(collection, lsn=lsn)), f"{collection} at {lsn}")
