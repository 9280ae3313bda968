"""Every Parquet file of the store, read by pyarrow, DuckDB and polars: right types, counts, order and pruning; and
GitHub's published examples as changes, restored and read back by SQL."""
import datetime
import json

import duckdb
import polars
import pyarrow.compute
import pyarrow.parquet
import pytest
from conftest import EXAMPLES
from recovery import (NAMESPACE, SMALL, Recorder, assert_same, covered_until, ingest_lines, now_us, read_parquet, restored,
                      run_bytes)
from recovery_model import Change, parse_rfc3339, rfc3339

DOCUMENTS = {"id": "string", "doc": "string", "lsn": "int64", "ts": "timestamp[us, tz=UTC]"}
DELTAS = {"op": "string", "pk": "string", "ts": "timestamp[us, tz=UTC]", "data": "string", "prev": "string",
          "bookmark": "string", "lsn": "int64"}


def arrow_type(field):
    kind = str(field.type)
    return "string" if kind in ("binary", "extension<arrow.json>") else kind


@pytest.fixture
def recorder(make_server):
    recorder = Recorder(make_server(*SMALL), 21)
    for n in range(4):
        recorder.post(250)
        recorder.flush()
        for collection in recorder.collections()[n::4]:
            recorder.snapshot(collection)
        if n == 2:
            recorder.compact()
    return recorder


def test_three_readers_agree_on_every_file(recorder):
    files = sorted((recorder.server.data / "store").rglob("*.parquet"))
    kinds = {"deltas" if p.parent.name == "deltas" else "snapshots" if p.parent.name == "snapshots" else "data" for p in files}
    assert {"deltas", "snapshots", "data"} == kinds and len(files) > 20
    for path in files:
        wanted = DELTAS if path.parent.name == "deltas" else DOCUMENTS
        footer = pyarrow.parquet.ParquetFile(path)
        types = {f.name: arrow_type(f) for f in footer.schema_arrow}
        assert wanted.items() <= types.items(), (path, types)
        rows = footer.metadata.num_rows
        table = footer.read()
        assert table.num_rows == rows
        frame = polars.read_parquet(path)
        assert frame.shape == (rows, len(types)), path
        (counted,) = duckdb.execute("SELECT count(*) FROM read_parquet(?)", [str(path)]).fetchone()
        assert counted == rows
        key = "pk" if wanted is DELTAS else "id"
        ours = [(as_bytes(k), lsn) for k, lsn in zip(table[key].to_pylist(), table["lsn"].to_pylist())]
        assert ours == sorted(ours), f"{path} is sorted"
        theirs = duckdb.execute(f"SELECT CAST({key} AS VARCHAR), lsn, epoch_us(ts) FROM read_parquet(?)", [str(path)]).fetchall()
        assert [(k.encode(), lsn) for k, lsn, _ in theirs] == ours
        assert [us for _, _, us in theirs] == table["ts"].cast("int64").to_pylist()
        assert [as_bytes(k) for k in frame[key].to_list()] == [k for k, _ in ours]


def as_bytes(value):
    return value.encode() if isinstance(value, str) else value


def test_the_deltas_hold_every_change_once(recorder):
    """Whatever was compacted: the changes in the files are those that were sent."""
    found = []
    named = [manifest.parent / delta["path"] for manifest in (recorder.server.data / "store").glob("*/*/manifest.json")
             for delta in json.loads(manifest.read_bytes())["deltas"]]
    for path in named:
        table = pyarrow.parquet.read_table(path, columns=["op", "pk", "ts", "data", "bookmark", "lsn"])
        for row in table.set_column(2, "ts", table["ts"].cast("int64")).to_pylist():
            found.append((row["lsn"], as_bytes(row["pk"]).decode(), row["ts"], row["data"] and as_bytes(row["data"]),
                          row["bookmark"] and as_bytes(row["bookmark"]).decode(), row["op"][0]))
    wanted = [(c.lsn, c.id, c.ts_us, c.doc, c.bookmark) for c in recorder.model.all]
    assert [row[:5] for row in sorted(found, key=lambda row: row[0])] == wanted
    kinds = {"insert": "ic", "update": "u", "delete": "d"}
    assert all(row[5] in kinds[c.op] for row, c in zip(sorted(found, key=lambda row: row[0]), recorder.model.all))


def test_readers_prune_by_our_statistics(make_server):
    """Statistics and sorting let a reader skip: the extremes that the footer names are those of the rows."""
    server = make_server(*SMALL)
    ts = rfc3339(now_us() - 1_000_000)
    ingest_lines(server, [(f'{{"type":"collection.insert","ts":"{ts}","collection":"c","docId":"{n:08d}",'
                           f'"doc":{{"n":{n},"pad":"{n * n}"}}}}').encode() for n in range(30_000)])
    made = server.post(f"/snapshots/{NAMESPACE}/c", b"{}")
    assert made.status_code in (200, 201), made.text
    (path,) = (server.data / "store").rglob("snapshots/*.parquet")
    footer = pyarrow.parquet.ParquetFile(path)
    for group in range(footer.metadata.num_row_groups):
        rows = footer.read_row_group(group)
        for column in range(footer.metadata.num_columns):
            chunk = footer.metadata.row_group(group).column(column)
            if chunk.path_in_schema in ("id", "lsn"):
                values = [as_bytes(v) if chunk.path_in_schema == "id" else v for v in rows[chunk.path_in_schema].to_pylist()]
                low, high = chunk.statistics.min, chunk.statistics.max
                assert (as_bytes(low), as_bytes(high)) == (min(values), max(values))
                assert chunk.has_column_index and chunk.has_offset_index
    got = duckdb.execute("SELECT CAST(doc AS VARCHAR) FROM read_parquet(?) WHERE id = '00012345'", [str(path)]).fetchall()
    assert got == [('{"n":12345,"pad":"152399025"}',)]
    filtered = polars.scan_parquet(path).filter(polars.col("lsn") == 17).collect()
    assert filtered.shape[0] == 1


# ---- GitHub's examples ---------------------------------------------------------------------------


def github_changes():
    """(collection, op, id, doc, ts): each payload that carries such an object upserts it, deletions delete it."""
    begin = now_us() - 86_400_000_000
    for kind in json.loads(EXAMPLES.read_text()):
        for example in kind["examples"]:
            for collection, field in [("repositories", "repository"), ("issues", "issue"), ("users", "sender")]:
                thing = example.get(field)
                if not isinstance(thing, dict) or "id" not in thing:
                    continue
                about = {"repositories": "repository", "issues": "issues", "users": "member"}[collection]
                deleted = kind["name"] == about and example.get("action") == "deleted"
                text = thing.get("updated_at")
                ts = parse_rfc3339(text) if isinstance(text, str) and text.endswith("Z") else begin
                doc = None if deleted else json.dumps(thing, ensure_ascii=False, indent=None).encode()
                yield Change(collection, str(thing["id"]), "delete" if deleted else "update", doc, ts)


def test_githubs_examples_as_changes(make_server, tmp_path):
    server = make_server(*SMALL[:1], "--set", "limits.event_bytes=262144")
    recorder = Recorder(server, 33, odd=False)
    changes = list(github_changes())
    assert len(changes) > 500 and any(c.doc is None for c in changes)
    for at in range(0, len(changes), 20):
        some = changes[at:at + 20]
        reply = server.post("/ingest", b"[" + b",".join(recorder.workload.event(c) for c in some) + b"]")
        assert reply.status_code == 200, reply.text
        recorder.tell(reply.json()["lsn"], some)
        if at == 400:
            recorder.flush()
            recorder.snapshot("repositories")
    recorder.flush()
    source = ["--store", f"file:{server.data}/store"]
    for collection in ("repositories", "issues", "users"):
        for lsn in (recorder.end - 1, recorder.end // 2, recorder.end // 3):
            wanted = recorder.model.state(collection, lsn=lsn)
            got = restored(tmp_path, source, collection, ["--lsn", lsn], "sqlite")
            assert_same(got, wanted, f"{collection} at {lsn}")
        year = parse_rfc3339("2020-01-01T00:00:00Z")
        wanted = recorder.model.state(collection, ts_us=year)
        assert_same(restored(tmp_path, source, collection, ["--at", rfc3339(year)], "parquet"), wanted, "by time")
    out = tmp_path / "issues.parquet"
    done = run_bytes("restore", *source, "--lsn", recorder.end - 1, "--format", "parquet", "--to", out, f"{NAMESPACE}/issues")
    assert done.returncode == 0, done.stderr
    titles = duckdb.execute("SELECT json_extract_string(CAST(doc AS JSON), '$.title') FROM read_parquet(?) ORDER BY 1",
                            [str(out)]).fetchall()
    assert [t for (t,) in titles] == sorted(json.loads(v.doc)["title"] for v in read_parquet(out).values())
    assert covered_until(server.data)[0] == recorder.end
    assert datetime.datetime.now(datetime.timezone.utc).timestamp() * 1e6 >= covered_until(server.data)[1]
