"""Restores at random targets, in every format, from a live server, a stopped one and a store alone, with flushes,
snapshots, compaction, restarts and kill -9 in between: each equal to the independent model."""
import json
import shutil

import pytest
from recovery import (FORMATS, NAMESPACE, SMALL, Recorder, assert_same, covered_until, framed, ingest_lines, kept_hashes,
                      now_us, quote, read_ndjson, restored, run_bytes, wait_for)
from recovery_model import difference, document_hash, parse_rfc3339, rfc3339, state_hash

RESTORES_SHORT = 25  # of each of two seeds
RESTORES_LONG = 190  # of each of five seeds


def reach(data):
    """{collection: LSN} below which the store alone has the collection's changes: while deltas are written, and after a
    kill -9 between two manifests, collections reach further than their namespace says."""
    manifests = [json.loads(path.read_bytes()) for path in (data / "store" / NAMESPACE).glob("*/manifest.json")]
    return {m["collection"]: m["deltas"][-1]["lsn_to"] for m in manifests if m["deltas"]}


class Targets:
    """Random targets: a collection, command line flags, and the documents that the model has there."""

    def __init__(self, recorder):
        self.recorder = recorder
        self.random = recorder.random
        self.model = recorder.model

    def pick(self, below=None, until_us=None):
        """Given `below` and `until_us`: as a store alone has it that covers the LSNs and the time before them."""
        kinds = [self._at, self._at, self._lsn, self._lsn, self._bookmark, self._snapshot]
        if below is None:
            kinds.append(self._latest)
        known = [c for c in self.model.all if below is None or c.lsn < below]
        return self.random.choice(kinds)(known, below, until_us)

    def _known_below(self, collection, below):
        return below and max(below, reach(self.recorder.server.data).get(collection, 0))

    def _exclusive(self, flags):
        exclusive = self.random.random() < 0.5
        return flags + ["--exclusive"] * exclusive, exclusive

    def _at(self, known, below, until_us):
        r = self.random
        times = [c.ts_us for c in known]
        us = r.choice([r.choice(times), r.choice(times) + r.choice([-1, 1, -1000, 1000]), min(times) - 1,
                       r.randrange(min(times), max(times) + 1), now_us()])
        us = min(us, now_us() - 1_000_000, until_us or now_us())
        flags, exclusive = self._exclusive(["--at", rfc3339(us, r.choice([0, 0, 60, -570]))])
        collection = r.choice(known).collection
        below = self._known_below(collection, below)
        return collection, flags, self.model.state(collection, ts_us=us, exclusive=exclusive, below=below)

    def _lsn(self, known, below, _):
        lsn = self.random.randrange(below or self.recorder.end)
        flags, exclusive = self._exclusive(["--lsn", str(lsn)])
        collection = self.random.choice(known).collection
        return collection, flags, self.model.state(collection, lsn=lsn, exclusive=exclusive)

    def _bookmark(self, known, below, _):
        marked = self.random.choice([c for c in known if c.bookmark is not None])
        below = self._known_below(marked.collection, below)
        lsn = max(c.lsn for c in self.model.all if (c.collection, c.bookmark) == (marked.collection, marked.bookmark) and
                  (below is None or c.lsn < below))
        flags, exclusive = self._exclusive(["--bookmark", marked.bookmark])
        return marked.collection, flags, self.model.state(marked.collection, lsn=lsn, exclusive=exclusive)

    def _snapshot(self, known, below, _):
        if not self.recorder.snapshots:
            return self._lsn(known, below, _)
        collection, name, lsn = self.random.choice(self.recorder.snapshots)
        return collection, ["--snapshot", name], self.model.state(collection, lsn=lsn)

    def _latest(self, known, *_):
        collection = self.random.choice(known).collection
        return collection, ["--latest"], self.model.state(collection)


class Journey:
    """A life of a server with restores on the way."""

    def __init__(self, make_server, tmp_path, seed):
        self.server = make_server(*SMALL)
        self.tmp_path = tmp_path
        self.recorder = Recorder(self.server, seed)
        self.random = self.recorder.random
        self.targets = Targets(self.recorder)
        self.checked = 0

    def step(self):
        kind = self.random.choices(["post", "flush", "snapshot", "compact", "restart", "kill"], [10, 3, 3, 2, 1, 2])[0]
        if kind == "post":
            self.recorder.post(self.random.choice([1, 7, 60, 250]))
        elif kind == "flush":
            self.recorder.flush()
            assert covered_until(self.server.data)[0] >= self.recorder.end
        elif kind == "snapshot":
            self.recorder.snapshot(self.random.choice(self.recorder.collections()))
        elif kind == "compact":
            self.recorder.compact()
        elif kind == "restart":
            self.server.restart()
        else:
            self.recorder.post(40, kill=True)

    def _store(self):
        """How far the store reaches."""
        return covered_until(self.server.data), reach(self.server.data)

    def check(self):
        """One random restore. Its source: the data directory of the running server, or the store alone."""
        source, below, until_us = ["--data", self.server.data], None, None
        before = self._store()
        (covered, covered_us), _ = before
        if covered > 50 and self.random.random() < 0.4:
            source, below, until_us = ["--store", f"file:{self.server.data}/store"], covered, covered_us
        collection, flags, wanted = self.targets.pick(below, until_us)
        form = self.random.choice([*FORMATS, "stdout"])
        got = restored(self.tmp_path, source, collection, flags, form)
        if below is not None and self._store() != before:
            return  # the store has come further meanwhile, as after a start: the next one will do
        what = f"{source[0]} {collection!r} {flags} {form} at LSN {self.recorder.end}"
        assert_same(got, framed(wanted) if form in ("ndjson", "stdout") else wanted, what)
        self.checked += 1

    def run(self, restores):
        self.recorder.post(100)
        while self.checked < restores:
            self.step()
            for _ in range(self.random.randrange(5)):
                self.check()
        self.server.stop()  # and from a stopped data directory
        for _ in range(5):
            collection, flags, wanted = self.targets.pick()
            assert_same(restored(self.tmp_path, ["--data", self.server.data], collection, flags, "parquet"), wanted,
                        f"stopped {collection!r} {flags}")


@pytest.mark.parametrize("seed", [1, 2])
def test_random_restores_equal_the_model(make_server, tmp_path, seed):
    Journey(make_server, tmp_path, seed).run(RESTORES_SHORT)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(100, 105))
def test_950_more_restores_equal_the_model(make_server, tmp_path, seed):
    Journey(make_server, tmp_path, seed).run(RESTORES_LONG)


# ---- what a target means -------------------------------------------------------------------------


@pytest.fixture
def small(make_server):
    """A recorder over plain names only."""
    return Recorder(make_server(*SMALL), 7, odd=False)


def restore(recorder, collection, *flags):
    return run_bytes("restore", "--data", recorder.server.data, *flags, f"{NAMESPACE}/{collection}")


def ids(done):
    assert done.returncode == 0, done.stderr
    return {doc_id: v.doc for doc_id, v in read_ndjson(done.stdout).items()}


@pytest.mark.short
def test_late_and_equal_times_follow_the_rule(small):
    base = now_us() - 3_600_000_000
    small.change("t", "a", "insert", '{"v":1}', base)
    small.change("t", "a", "update", '{"v":2}', base)  # equal: the later LSN counts
    small.change("t", "b", "insert", '{"v":3}', base + 10)
    small.change("t", "c", "insert", '{"v":4}', base - 10)  # late: counts from its own time
    small.change("t", "b", "delete", None, base + 5)  # later LSN, earlier time: still deletes b
    assert ids(restore(small, "t", "--at", rfc3339(base - 11))) == {}
    assert ids(restore(small, "t", "--at", rfc3339(base - 10))) == {"c": b'{"v":4}'}
    assert ids(restore(small, "t", "--at", rfc3339(base), "--exclusive")) == {"c": b'{"v":4}'}
    assert ids(restore(small, "t", "--at", rfc3339(base))) == {"a": b'{"v":2}', "c": b'{"v":4}'}
    assert ids(restore(small, "t", "--at", rfc3339(base + 10))) == {"a": b'{"v":2}', "c": b'{"v":4}'}
    assert ids(restore(small, "t", "--lsn", "3")) == {"a": b'{"v":2}', "b": b'{"v":3}'}
    assert ids(restore(small, "t", "--lsn", "1", "--exclusive")) == {}


@pytest.mark.short
def test_a_change_with_an_expectation_that_does_not_hold_never_counts(small):
    first = small.change("t", "a", "insert", '{"v":1}')
    small.change("t", "a", "update", '{"v":2}', expect=first)
    small.change("t", "a", "update", '{"v":3}', expect=first)  # it is another version now
    small.change("t", "a", "insert", '{"v":4}', expect=0)  # it is not absent
    small.change("t", "b", "insert", '{"v":5}', expect=0)
    small.flush()
    small.server.restart(kill=True)
    for flags in (["--latest"], ["--lsn", str(small.end - 1)]):
        assert ids(restore(small, "t", *flags)) == {"a": b'{"v":2}', "b": b'{"v":5}'}


@pytest.mark.short
def test_restore_never_overwrites(small, tmp_path):
    small.change("t", "a", "insert", "{}")
    for form in FORMATS:
        out = tmp_path / f"there.{form}"
        out.write_bytes(b"precious")
        done = restore(small, "t", "--latest", "--format", form, "--to", out)
        assert done.returncode == 1 and str(out).encode() in done.stderr, done
        assert out.read_bytes() == b"precious"
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == sorted(f"there.{form}" for form in FORMATS)


def test_all_collections_of_a_namespace_at_one_lsn(small, tmp_path):
    small.post(200)
    lsn = small.end - 50
    done = run_bytes("restore", "--data", small.server.data, "--lsn", lsn, "--to", tmp_path / "all", NAMESPACE)
    assert done.returncode == 0, done.stderr
    files = [p for p in (tmp_path / "all").iterdir()]
    assert len(files) == len(small.collections())
    states = [read_ndjson(p.read_bytes()) for p in files]
    for collection in small.collections():
        states.remove(small.model.state(collection, lsn=lsn))
    assert not states
    said = [line.split(": ")[0] for line in done.stdout.decode().splitlines()]
    assert sorted(said) == sorted(str(p) for p in files)


def test_a_namespace_that_cannot_be_restored_whole_names_no_file_of_it(small, tmp_path):
    small.post(200)
    small.flush()
    small.server.stop()
    store = tmp_path / "store"
    shutil.copytree(small.server.data / "store", store)
    last = max(small.collections(), key=str.encode)
    [manifest] = [p for p in store.glob("*/*/manifest.json") if json.loads(p.read_bytes())["collection"] == last]
    delta = manifest.parent / json.loads(manifest.read_bytes())["deltas"][-1]["path"]
    delta.write_bytes(delta.read_bytes()[:-1])
    done = run_bytes("restore", "--store", store, "--latest", "--to", tmp_path / "all", NAMESPACE)
    assert done.returncode == 1 and delta.name.encode() in done.stderr and not done.stdout, done
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("all")] == []


@pytest.mark.short
def test_a_dry_run_counts_what_would_change(small):
    small.post(150)
    small.flush()
    small.post(100)
    for collection in small.collections():
        lsn = small.end - 120
        done = restore(small, collection, "--lsn", str(lsn), "--dry-run", "--json")
        assert done.returncode == 0, done.stderr
        plan = json.loads(done.stdout)
        wanted = difference(small.model.state(collection), small.model.state(collection, lsn=lsn))
        assert (plan["inserts"], plan["updates"], plan["deletes"]) == wanted
        assert {"snapshot", "deltas", "logRange"} <= plan.keys()


# ---- bad targets ---------------------------------------------------------------------------------


@pytest.mark.short
def test_bad_targets_are_refused_with_the_range(small, tmp_path):
    small.change("t", "a", "insert", "{}", bookmark="known")
    small.flush()
    small.change("t", "b", "insert", "{}")
    future = rfc3339(now_us() + 3_600_000_000)
    cases = [(["--at", "2026-02-02T14:30:00"], b"zone"), (["--at", future], b"future"), (["--at", "yesterday"], b"yesterday"),
             (["--lsn", "99999"], str(small.end - 1).encode()), (["--lsn", "-1"], b"lsn"), (["--bookmark", "unknown"], b"unknown"),
             (["--snapshot", "unknown"], b"unknown"), (["--snapshot", "../../../etc/passwd"], b"passwd")]
    for flags, text in cases:
        out = tmp_path / "out"
        done = restore(small, "t", *flags, "--to", out)
        assert done.returncode in (1, 2) and text in done.stderr, (flags, done)
        assert done.stdout == b"" and not out.exists()
    for flags in (["--snapshot", "x", "--exclusive"], ["--latest", "--exclusive"], ["--latest", "--lsn", "1"], []):
        assert restore(small, "t", *flags).returncode == 2, flags
    for name in ("no-such", "..", "/", "t/", "\u00e9", "c" * 300):
        done = restore(small, name, "--latest")
        assert done.returncode in (1, 2) and done.stderr and not done.stdout, (name, done)


@pytest.mark.short
def test_a_store_alone_does_not_answer_for_what_it_does_not_cover(small):
    small.change("t", "a", "insert", "{}")
    small.flush()
    covered = small.end
    small.change("t", "b", "insert", "{}")
    store = ["--store", f"file:{small.server.data}/store"]
    assert ids(run_bytes("restore", *store, "--lsn", covered - 1, "default/t")) == {"a": b"{}"}
    done = run_bytes("restore", *store, "--lsn", small.end - 1, "default/t")
    assert done.returncode == 1 and str(covered - 1).encode() in done.stderr, done
    done = run_bytes("restore", *store, "--at", rfc3339(now_us()), "default/t")
    assert done.returncode == 1 and b"T" in done.stderr and not done.stdout, done


# ---- other ways to the same answer ---------------------------------------------------------------


def test_http_and_history_agree_with_the_model(small):
    small.post(300)
    small.flush()
    small.post(100)
    server, model = small.server, small.model
    for collection in small.collections():
        path = f"/state/{NAMESPACE}/{quote(collection)}"
        assert_same(read_ndjson(server.get(path).content), framed(model.state(collection)), path)
        lsn = small.random.randrange(small.end)
        assert_same(read_ndjson(server.get(path, params={"lsn": lsn}).content), framed(model.state(collection, lsn=lsn)), path)
        lines = server.get(f"/changes/{NAMESPACE}/{quote(collection)}", params={"from": 0}).content.splitlines()
        got = [(c["lsn"], c["op"], c["docId"], parse_rfc3339(c["ts"]), c.get("skipped", False)) for c in map(json.loads, lines)]
        wanted = [(c.lsn, c.op, c.id, c.ts_us, c.lsn in model.skipped) for c in model.all if c.collection == collection]
        assert got == wanted[:len(got)] and got, "a page of the changes, in order"
        doc_id = wanted[0][2]
        done = run_bytes("history", "--data", server.data, "--json", f"{NAMESPACE}/{collection}", doc_id)
        assert done.returncode == 0, done.stderr
        lsns = [json.loads(line)["lsn"] for line in done.stdout.splitlines()]
        assert lsns == [c.lsn for c in model.history(collection, doc_id)]


def recorded_hashes(data, namespace=NAMESPACE):
    """What the store's manifests say of each collection: {collection: {lsn_to: (hash, count)}}."""
    found = {}
    for path in (data / "store").glob("*/*/manifest.json"):
        manifest = json.loads(path.read_bytes())
        if "deltas" not in manifest:
            continue
        states = found.setdefault(manifest["collection"], {})
        for delta in manifest["deltas"]:
            states[delta["lsn_to"]] = (delta["state_hash"], delta["state_count"])
    return found


def three_ways(make_server, tmp_path, count, documents):
    """The hash kept incrementally, rebuilt from the log, and restored from files alone, at every recorded LSN."""
    server = make_server("--dev", "--set", "cdc.delta_bytes=1048576")
    ts = rfc3339(now_us() - 60_000_000)
    lines, hashes, total, current = [], [0], 0, {}
    for n in range(count):
        doc_id, deletes = f"d{n * 7919 % documents}", n % 10 == 9
        total -= current.pop(doc_id, 0)
        line = f'{{"type":"collection.{"delete" if deletes else "update"}","ts":"{ts}","collection":"c","docId":"{doc_id}"'
        if not deletes:
            doc = f'{{"n": {n}, "text":"{"x" * (n % 50)}"}}'
            current[doc_id] = document_hash(doc_id, doc.encode())
            total += current[doc_id]
            line += f',"doc":{doc}'
        lines.append((line + "}").encode())
        hashes.append((f"{total % 2**128:032x}", len(current)))
    ingest_lines(server, lines)
    assert server.post("/flush").status_code == 200
    recorded = recorded_hashes(server.data)["c"]
    assert recorded and max(recorded) == count
    for lsn, state in recorded.items():
        assert state == hashes[lsn], f"the incremental hash at LSN {lsn}"
    for lsn in sorted(recorded)[::max(1, len(recorded) // 20)]:
        done = run_bytes("restore", "--store", f"file:{server.data}/store", "--lsn", lsn - 1, "--to", tmp_path / f"{lsn}.ndjson",
                         "default/c", timeout=300)
        assert done.returncode == 0, done.stderr
        got = read_ndjson((tmp_path / f"{lsn}.ndjson").read_bytes())
        assert (state_hash(got), len(got)) == hashes[lsn], f"restored from files at LSN {lsn}"
        (tmp_path / f"{lsn}.ndjson").unlink()
    server.stop()
    for path in (server.data / "state").iterdir():
        path.unlink()
    server.start()  # the state comes from the log again
    assert server.post("/flush").status_code == 200
    assert kept_hashes(server)["c"] == hashes[count]


def test_three_ways_agree(make_server, tmp_path):
    three_ways(make_server, tmp_path, 20_000, 3000)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_three_ways_agree_over_a_million_changes(make_server, tmp_path):
    three_ways(make_server, tmp_path, 1_000_000, 100_000)


def test_lag_goes_back_to_nothing(server):
    recorder = Recorder(server, 11, odd=False)
    recorder.post(500)
    collection = recorder.collections()[0]
    wanted = framed(recorder.model.state(collection))
    wait_for(lambda: read_ndjson(server.get(f"/state/{NAMESPACE}/{collection}").content) == wanted, 30)
