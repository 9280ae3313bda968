"""What subprojects/parquet writes, read by pyarrow, DuckDB and polars.

The files come from subprojects/parquet/tests/sample.c, whose rules for each value are repeated here."""
import datetime
import itertools
import json
import subprocess
import uuid

import duckdb
import polars
import pyarrow
import pyarrow.parquet
import pytest

from conftest import BUILD

pytestmark = pytest.mark.short

SAMPLE = BUILD / "subprojects/parquet/tests/parquet_sample"
CODECS = ("none", "snappy", "gzip", "zstd", "lz4_raw")
ENCODINGS = ("auto", "plain", "dictionary", "delta_binary", "delta_length")
UTC = datetime.timezone.utc


def signed(value):
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value


def expected(i, doc_bytes=0):
    """Row i of sample.c; timestamps as integers, uuid and raw as bytes."""
    return {
        "id": f"id-{i:08}",
        "n32": None if i % 7 == 0 else signed(i * 2654435761),
        "n64": i * 1000 - 5,
        "millis": 1700000000000 + i,
        "micros": 1700000000000000 + i * 37,
        "f64": None if i % 5 == 0 else i * 0.5 - 100,
        "flag": None if i % 3 == 0 else i % 2 != 0,
        "kind": None if i % 4 == 0 else f"kind-é-{i % 10}",
        "doc": None if i % 11 == 0 else f'{{"n":{i},"s":"{"日" * (i % 50)}{"x" * doc_bytes}"}}',
        "raw": None if i % 13 == 0 else bytes((i * 31 + k) & 255 for k in range(i % 97)),
        "uuid": None if i % 6 == 0 else i.to_bytes(8, "little") + (~i & (1 << 64) - 1).to_bytes(8, "little"),
        "nothing": None,
        "long": chr(97 + i % 20) + "é" * 39 + str(i),
    }


def sample(tmp_path, **options):
    """Writes a file; returns its path and what the writer said of it."""
    path = tmp_path / "sample.parquet"
    arguments = [str(a) for pair in options.items() for a in pair]
    arguments = [a.replace("_", "-") if i % 2 == 0 else a for i, a in enumerate(arguments)]
    done = subprocess.run([SAMPLE, path, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return path, json.loads(done.stdout)


def micros(value):
    delta = value - datetime.datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86400 + delta.seconds) * 1000000 + delta.microseconds


def plain(row):
    """A reader's row in the form of expected()."""
    row = dict(row)
    if isinstance(row["uuid"], (str, uuid.UUID)):
        row["uuid"] = uuid.UUID(str(row["uuid"])).bytes
    if isinstance(row["doc"], bytes):  # polars knows no JSON type
        row["doc"] = row["doc"].decode()
    row["millis"] = micros(row["millis"].astimezone(UTC)) // 1000
    row["micros"] = micros(row["micros"].astimezone(UTC))
    return row


def with_pyarrow(path):
    return pyarrow.parquet.ParquetFile(path, page_checksum_verification=True).read().to_pylist()


def with_duckdb(path):
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        got = db.execute("SELECT * REPLACE (millis::TIMESTAMP AS millis, micros::TIMESTAMP AS micros) "
                         f"FROM read_parquet('{path}')")
        names = [c[0] for c in got.description]
        rows = [dict(zip(names, row)) for row in got.fetchall()]
    for row in rows:
        row["millis"], row["micros"] = (row[n].replace(tzinfo=UTC) for n in ("millis", "micros"))
    return rows


def with_polars(path):
    return polars.read_parquet(path).to_dicts()


READERS = {"pyarrow": with_pyarrow, "duckdb": with_duckdb, "polars": with_polars}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("codec", CODECS)
def test_every_value_comes_back(tmp_path, codec, encoding, reader):
    for v2 in (0, 1):
        path, _ = sample(tmp_path, rows=3000, codec=codec, encoding=encoding, page_bytes=4096, group_rows=1100,
                         v2=v2)
        rows = [plain(row) for row in READERS[reader](path)]
        assert rows == [expected(i) for i in range(3000)]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("rows", [0, 1, 2, 1023, 1024, 1025, 20000, 20001])
def test_row_counts_at_the_edges(tmp_path, rows, reader):
    path, written = sample(tmp_path, rows=rows)
    assert written == {"rows": rows, "bytes": path.stat().st_size, "data_end": written["data_end"]}
    assert [plain(row) for row in READERS[reader](path)] == [expected(i) for i in range(rows)]


@pytest.mark.parametrize("reader", READERS)
def test_values_longer_than_a_page(tmp_path, reader):
    path, _ = sample(tmp_path, rows=13, doc_bytes=300000, page_bytes=1000)
    assert [plain(row) for row in READERS[reader](path)] == [expected(i, 300000) for i in range(13)]


def test_a_dictionary_is_left_when_it_outgrows_its_bound(tmp_path):
    path, _ = sample(tmp_path, rows=30000, encoding="dictionary", page_bytes=4096)
    meta = pyarrow.parquet.ParquetFile(path).metadata
    columns = {meta.schema.column(c).name: c for c in range(meta.num_columns)}
    for name in ("long", "doc"):  # more than 1 MiB of distinct values
        assert {"RLE_DICTIONARY", "PLAIN"} <= set(meta.row_group(0).column(columns[name]).encodings)
    for reader in READERS.values():
        assert [plain(row) for row in reader(path)] == [expected(i) for i in range(30000)]


def test_the_schema_says_types_and_field_ids(tmp_path):
    path, _ = sample(tmp_path)
    file = pyarrow.parquet.ParquetFile(path)
    types = {f.name: (str(f.type), f.nullable) for f in file.schema_arrow}
    assert types["id"] == ("string", False)
    assert types["n32"] == ("int32", True)
    assert types["n64"] == ("int64", False)
    assert types["millis"] == ("timestamp[ms, tz=UTC]", False)
    assert types["micros"] == ("timestamp[us, tz=UTC]", False)
    assert types["f64"] == ("double", True)
    assert types["flag"] == ("bool", True)
    assert types["raw"] == ("binary", True)
    logical = {file.schema.column(i).name: file.schema.column(i).logical_type.type
               for i in range(len(file.schema))}
    assert (logical["doc"], logical["uuid"], logical["kind"]) == ("JSON", "UUID", "STRING")
    fields = {f.name: (f.metadata or {}).get(b"PARQUET:field_id") for f in file.schema_arrow}
    assert (fields["id"], fields["n32"], fields["n64"]) == (b"1", b"2", b"3")
    assert file.metadata.metadata[b"purpose"] == "a test é".encode()
    assert file.metadata.created_by.startswith("spillway-parquet version ")
    with duckdb.connect() as db:
        kinds = {r[0]: r[1] for r in db.execute(f"DESCRIBE FROM read_parquet('{path}')").fetchall()}
    assert (kinds["doc"], kinds["uuid"], kinds["millis"]) == ("JSON", "UUID", "TIMESTAMP WITH TIME ZONE")


def test_row_groups_and_their_order(tmp_path):
    path, written = sample(tmp_path, rows=5000, group_rows=2000)
    meta = pyarrow.parquet.ParquetFile(path).metadata
    assert [meta.row_group(g).num_rows for g in range(meta.num_row_groups)] == [2000, 2000, 1000]
    for g in range(meta.num_row_groups):
        order = meta.row_group(g).sorting_columns
        assert [(s.column_index, s.descending, s.nulls_first) for s in order] == [(0, False, True), (2, False, True)]
        for c in range(meta.num_columns):
            column = meta.row_group(g).column(c)
            start = column.dictionary_page_offset or column.data_page_offset
            assert start + column.total_compressed_size <= written["data_end"]
            assert column.num_values == meta.row_group(g).num_rows


def statistics(path):
    meta = pyarrow.parquet.ParquetFile(path).metadata
    for g, c in itertools.product(range(meta.num_row_groups), range(meta.num_columns)):
        column = meta.row_group(g).column(c)
        yield g, column.path_in_schema, column.statistics


def test_statistics_bound_every_row_group(tmp_path):
    path, _ = sample(tmp_path, rows=3000, group_rows=1000)
    for group, name, stats in statistics(path):
        values = [expected(i)[name] for i in range(group * 1000, group * 1000 + 1000)]
        there = [v for v in values if v is not None]
        assert stats.null_count == 1000 - len(there), name
        assert stats.has_min_max == bool(there), name
        if not there:
            continue
        low, high = stats.min, stats.max
        if name in ("millis", "micros"):
            low, high = (micros(t) // (1000 if name == "millis" else 1) for t in (low, high))
        if name in ("doc", "long", "raw", "uuid", "kind", "id"):
            there = [v.encode() if isinstance(v, str) else v for v in there]
            low, high = (v.encode() if isinstance(v, str) else v for v in (low, high))
            assert len(low) <= 64 and len(high) <= 64
            assert low <= min(there) and high >= max(there), name
            if len(min(there)) <= 64:
                assert low == min(there), name
            if len(max(there)) <= 64:
                assert high == max(there), name
            if name != "raw" and name != "uuid":
                low.decode(), high.decode()
        else:
            assert (low, high) == (min(there), max(there)), name


def test_cut_statistics_say_so_and_stay_text(tmp_path):
    path, _ = sample(tmp_path, rows=1000)
    with duckdb.connect() as db:
        rows = db.execute("SELECT path_in_schema, stats_min_value, stats_max_value, min_is_exact, max_is_exact "
                          f"FROM parquet_metadata('{path}')").fetchall()
    found = {row[0]: row[1:] for row in rows}
    # 'a' and 31 letters of two bytes are 63; the highest begins with 't', its last letter is raised.
    assert found["long"] == ("a" + "é" * 31, "t" + "é" * 30 + "ê", False, False)
    assert found["id"] == ("id-00000000", "id-00000999", True, True)


def test_readers_prune_by_statistics(tmp_path):
    path, _ = sample(tmp_path, rows=10000, group_rows=1000)
    assert polars.scan_parquet(path).filter(polars.col("id") == "id-00004321").collect()["n64"].to_list() == [4320995]
    table = pyarrow.parquet.read_table(path, columns=["n64"], filters=[("n64", ">", 4999000)])
    assert table.num_rows == 10000 - 5000
    with duckdb.connect() as db:
        got = db.execute(f"SELECT count(*), min(id) FROM read_parquet('{path}') WHERE micros BETWEEN "
                         "make_timestamptz(1700000000000000 + 37 * 2500) AND make_timestamptz(1700000000000000 + 37 * 2600)")
        assert got.fetchone() == (101, "id-00002500")


@pytest.mark.parametrize("column,present,absent", [
    ("id", "'id-00001234'", "'id-00001234x'"),
    ("n32", str(signed(1234 * 2654435761)), "12345"),
    ("n64", "1233995", "1233996"),
    ("kind", "'kind-é-3'", "'kind-é-33'"),
])
def test_duckdb_excludes_row_groups_by_bloom_filters(tmp_path, column, present, absent):
    path, written = sample(tmp_path, rows=4000, group_rows=1000)
    with duckdb.connect() as db:
        def excluded(value):
            return [r[0] for r in db.execute(f"SELECT bloom_filter_excludes FROM parquet_bloom_probe('{path}', "
                                             f"'{column}', {value})").fetchall()]
        wanted = [not any(str(expected(i)[column]) == present.strip("'") for i in range(g * 1000, g * 1000 + 1000))
                  for g in range(4)]
        # One wrong "may be there" in a hundred is allowed, a wrong "is not there" never.
        got = excluded(present)
        assert all(w or not g for w, g in zip(wanted, got)) and sum(got) >= sum(wanted) - 1
        assert sum(excluded(absent)) >= 3
        offsets = db.execute(f"SELECT min(bloom_filter_offset) FROM parquet_metadata('{path}')").fetchone()[0]
        assert offsets == written["data_end"]


def test_a_flipped_bit_in_a_page_is_noticed(tmp_path):
    path, written = sample(tmp_path, rows=2000, codec="none")
    whole = path.read_bytes()
    meta = pyarrow.parquet.ParquetFile(path).metadata
    noticed = 0
    for c in range(meta.num_columns):
        column = meta.row_group(0).column(c)
        at = column.data_page_offset + 60  # behind the first data page's header
        if column.total_compressed_size < 200:
            continue
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
        with pytest.raises(OSError, match="(?i)crc|checksum"):
            with_pyarrow(path)
        noticed += 1
    assert noticed >= 8


def test_integers_that_wrap_are_exact(tmp_path):
    """n32 of sample.c jumps over the whole range: differences overflow 32 bits."""
    path, _ = sample(tmp_path, rows=5000, encoding="delta_binary", order="down")
    for reader in READERS.values():
        assert [r["n32"] for r in reader(path)] == [expected(4999 - i)["n32"] for i in range(5000)]
