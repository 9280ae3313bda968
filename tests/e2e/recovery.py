"""What the recovery tests share: the program and a server's settings, a recorder that posts changes and tells the model,
and readers of what `spillway restore` writes. A restored collection is {id: Version} here, whatever the format."""
import dataclasses
import json
import sqlite3
import subprocess
import threading
import time

import pyarrow.parquet
import requests
from conftest import SANITIZERS, SPILLWAY, clean_environment
from recovery_model import Change, Model, Version, Workload, parse_rfc3339, rfc3339, state_hash

NAMESPACE = "default"
SMALL = ["--dev", "--set", "limits.event_bytes=10240", "--set", "cdc.delta_seconds=3600"]


def now_us():
    return time.time_ns() // 1000


def run_bytes(*arguments, input=None, timeout=60):
    """The fixture `run`, with bytes for text."""
    return subprocess.run([str(SPILLWAY), *map(str, arguments)], env={**clean_environment(), **SANITIZERS}, input=input,
                          capture_output=True, timeout=timeout, check=False)


def wait_for(what, seconds=60):
    """Calls `what` until its result is true; returns it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = what()
        if result:
            return result
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what.__name__}")


def ingest_lines(server, lines, per_request=4000):
    """Posts events (bytes) as NDJSON; returns the last one's LSN."""
    session = requests.Session()
    for at in range(0, len(lines), per_request):
        reply = session.post(server.url("/ingest"), data=b"\n".join(lines[at:at + per_request]),
                             headers={"Content-Type": "application/x-ndjson"}, timeout=60)
        assert reply.status_code == 200, reply.text
    return reply.json()["lsn"]


def covered_until(data, namespace=NAMESPACE):
    """(LSN, time) up to which the store holds every change, as it says itself; (0, 0) for no store."""
    path = data / "store" / namespace / "manifest.json"
    if not path.exists():
        return 0, 0
    manifest = json.loads(path.read_bytes())
    return manifest["covered_until"], manifest["covered_until_us"]


class Recorder:
    """A server's changes, posted and told to a model at the LSNs that the server answered."""

    def __init__(self, server, seed, odd=True):
        self.server = server
        self.model = Model()
        self.workload = Workload(seed, now_us(), odd)
        self.random = self.workload.random
        self.requests = 0
        self.end = 0  # the next LSN
        self.snapshots = []  # (collection, name, the LSN of the last change that it must hold)
        # No change at LSN 0: `expect` 0 means absent.
        self.end = server.ingest({"type": "test.begin", "ts": rfc3339(now_us())})["lsn"] + 1

    def post(self, count, kill=False):
        """`count` changes in one request; with `kill`, the server dies of kill -9 meanwhile and is started
        again, and the request is repeated under its key: stored once, whatever became of the first."""
        taken = self.workload.take(count, self.model.current)
        self.requests += 1
        if self.random.random() < 0.3:  # another event between the changes
            at = self.random.randrange(len(taken) + 1)
            taken.insert(at, (None, b'{"type":"page.view","ts":"2026-01-01T00:00:00Z"}'))
        body = b'{"batchId":"b-%d","events":[%s]}' % (self.requests, b",".join(event for _, event in taken))
        if kill:
            self._post_and_kill(body)
        reply = self.server.post("/ingest", body)
        assert reply.status_code == 200, reply.text
        lsn = reply.json()["lsn"]
        if self.random.random() < 0.1:  # a repeat changes nothing
            assert self.server.post("/ingest", body).json()["lsn"] == lsn
        self.tell(lsn, [change for change, _ in taken])

    def tell(self, last_lsn, changes):
        first = last_lsn - len(changes) + 1
        assert first == self.end, "a request's events lie together, and nobody else writes"
        for n, change in enumerate(changes):
            if change is not None:
                self.model.add(dataclasses.replace(change, lsn=first + n))
        self.end = last_lsn + 1

    def _post_and_kill(self, body):
        url = self.server.url("/ingest")

        def send():
            try:
                requests.post(url, data=body, headers={"Content-Type": "application/json"}, timeout=30)
            except requests.RequestException:
                pass

        thread = threading.Thread(target=send)
        thread.start()
        time.sleep(self.random.random() * 0.01)
        self.server.restart(kill=True)
        thread.join()

    def change(self, collection, doc_id, op, doc=None, ts_us=None, **fields):
        """One change by hand; returns its LSN."""
        ts_us = now_us() if ts_us is None else ts_us
        change = Change(collection, doc_id, op, None if doc is None else doc.encode(), ts_us, fields.get("bookmark"),
                        fields.get("expect"))
        reply = self.server.post("/ingest", b"[" + self.workload.event(change) + b"]")
        assert reply.status_code == 200, reply.text
        self.tell(reply.json()["lsn"], [change])
        return self.end - 1

    def flush(self):
        reply = self.server.post("/flush")
        assert reply.status_code == 200, reply.text

    def snapshot(self, collection):
        if any((c, lsn) == (collection, self.end - 1) for c, _, lsn in self.snapshots):
            return  # of the same second, it would have the same name
        reply = self.server.post(f"/snapshots/{NAMESPACE}/{quote(collection)}", b"{}")
        assert reply.status_code in (200, 201), reply.text
        made = reply.json()
        wanted = self.model.state(collection)
        assert made["rowCount"] == len(wanted), made
        assert self.kept(collection) == (state_hash(wanted), len(wanted))
        self.snapshots.append((collection, made["name"], self.end - 1))

    def kept(self, collection):
        """(state hash, count) of the collection as the state has kept them, change by change."""
        return kept_hashes(self.server)[collection]

    def compact(self):
        reply = self.server.post("/admin/compact")
        assert reply.status_code == 200, reply.text

    def collections(self):
        return sorted(self.model.changes)


def kept_hashes(server, namespace=NAMESPACE):
    """{collection: (state hash, count)} as the state has kept them, change by change."""
    reply = server.get(f"/collections/{namespace}")
    assert reply.status_code == 200, reply.text
    return {c["name"]: (c["hash"], c["count"]) for c in reply.json()["collections"]}


def quote(name):
    """A name as one segment of a path; '.' and '..' too, which clients would else resolve."""
    return "".join(chr(b) if chr(b).isalnum() and b < 128 else f"%{b:02X}" for b in name.encode())


# ---- what restore wrote --------------------------------------------------------------------------


def read_ndjson(data):
    """The documents in a restored NDJSON; ids ascend and each document's bytes are taken as they are."""
    documents, last = {}, None
    assert data == b"" or data.endswith(b"\n")
    for line in data.split(b"\n")[:-1]:
        head, found, rest = line.partition(b',"doc":')
        assert found and head.startswith(b'{"id":'), line
        doc, found, tail = rest.rpartition(b',"lsn":')
        fields = json.loads(b'{"lsn":' + tail)
        doc_id = json.loads(head + b"}")["id"]
        assert last is None or last < doc_id.encode(), "ids ascend by their bytes"
        last = doc_id.encode()
        documents[doc_id] = Version(doc, fields["lsn"], parse_rfc3339(fields["ts"]))
    return documents


def read_parquet(path):
    table = pyarrow.parquet.read_table(path)
    assert table.column_names == ["id", "doc", "lsn", "ts"], table.schema
    assert str(table.schema.field("ts").type) == "timestamp[us, tz=UTC]", table.schema
    rows = zip(*(table[name].cast(kind).to_pylist() for name, kind in
                 [("id", "binary"), ("doc", "binary"), ("lsn", "int64"), ("ts", "int64")]))
    return sorted_rows((i.decode(), Version(doc, lsn, ts)) for i, doc, lsn, ts in rows)


def read_sqlite(path):
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        columns = [row[1] for row in database.execute("PRAGMA table_info(documents)")]
        assert columns == ["id", "doc", "lsn", "ts"]
        rows = database.execute("SELECT CAST(id AS BLOB), CAST(doc AS BLOB), lsn, ts FROM documents")
        return {i.decode(): Version(doc, lsn, ts if isinstance(ts, int) else parse_rfc3339(ts)) for i, doc, lsn, ts in rows}
    finally:
        database.close()


def sorted_rows(rows):
    rows = list(rows)
    assert [i.encode() for i, _ in rows] == sorted({i.encode() for i, _ in rows}), "ids ascend, each once"
    return dict(rows)


READERS = {"ndjson": lambda path: read_ndjson(path.read_bytes()), "parquet": read_parquet, "sqlite": read_sqlite}
FORMATS = list(READERS)


def restored(tmp_path, source, collection, target, form="ndjson"):
    """Runs `spillway restore` into a new file (or, NDJSON, standard output) and reads it. `source`: --data DIR or
    --store URL."""
    name = f"{NAMESPACE}/{collection}"
    if form == "stdout":
        done = run_bytes("restore", *source, *target, name)
        assert done.returncode == 0, (name, target, done.stderr)
        return read_ndjson(done.stdout)
    out = tmp_path / f"out-{time.monotonic_ns()}.{form}"
    done = run_bytes("restore", *source, *target, "--format", form, "--to", str(out), name)
    assert done.returncode == 0, (name, target, done.stderr)
    try:
        return READERS[form](out)
    finally:
        out.unlink()


def framed(documents):
    """Documents as they are in lines: line breaks between tokens become spaces."""
    return {i: Version(v.doc.replace(b"\r", b" ").replace(b"\n", b" "), v.lsn, v.ts_us) for i, v in documents.items()}


def assert_same(got, wanted, what):
    """Equal ids, bytes, LSNs and times; the message shows the first difference only."""
    if got == wanted:
        return
    for doc_id in sorted(got.keys() | wanted.keys()):
        assert got.get(doc_id) == wanted.get(doc_id), f"{what}: document {doc_id!r}"

