"""subprojects/parquet reads what pyarrow, DuckDB and polars write: every codec, encoding, page version, and
pruning that never loses a row. Files of parquet-java 1.15.2 (ExampleParquetWriter with page index and bloom
filters on `id` and `n`, random values in every type) lie in parquet_java/."""
import decimal
import datetime
import json
import math
import pathlib
import random
import subprocess
import uuid

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import BUILD

PQDUMP = BUILD / "subprojects/parquet/tests/pqdump"
ROWS = 5000


def dump(path, *flags, expect=0):
    done = subprocess.run([PQDUMP, path, *map(str, flags)], capture_output=True, text=True, timeout=120)
    assert done.returncode == expect, done.stderr
    return done.stdout if expect == 0 else done.stderr


def rows_of(path, *flags):
    return [json.loads(line) for line in dump(path, *flags).splitlines()]


def count_of(path, *flags):
    words = dump(path, "--count", *flags).split()
    return int(words[1]), int(words[3])


def table(rows=ROWS, seed=1, nulls=0.2):
    rng = random.Random(seed)

    def column(make, type_, p=nulls):
        return pa.array([None if rng.random() < p else make(i) for i in range(rows)], type_)
    return pa.table({
        "id": pa.array([f"doc-{i:08d}" for i in range(rows)], pa.string()),
        "seq": pa.array(range(rows), pa.int64()),
        "flag": column(lambda i: rng.random() < 0.3, pa.bool_()),
        "runs": column(lambda i: i // 700 % 2 == 0, pa.bool_()),
        "small": column(lambda i: rng.randrange(-2**31, 2**31), pa.int32()),
        "big": column(lambda i: rng.randrange(-2**63, 2**63), pa.int64()),
        "near": column(lambda i: 1_790_000_000_000 + i * 13, pa.int64()),
        "real": column(lambda i: rng.uniform(-1e300, 1e300), pa.float64()),
        "kind": column(lambda i: rng.choice(["created", "updated", "deleted", ""]), pa.string()),
        "text": column(lambda i: "ü\"\\\n\x01 " * rng.randrange(0, 20) + str(i), pa.string()),
        "raw": column(lambda i: rng.randbytes(rng.randrange(0, 50)), pa.binary()),
        "key": column(lambda i: rng.randbytes(16), pa.binary(16)),
        "empty": pa.array([None] * rows, pa.string()),
        "full": pa.array([rng.randrange(5) for _ in range(rows)], pa.int32()),
    })


def as_json(value):
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, uuid.UUID):
        return value.bytes.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "inf", -math.inf: "-inf"}.get(value, "nan")
    return value


def expected(t):
    names = t.column_names
    columns = [t.column(name).to_pylist() for name in names]
    return [{name: as_json(v) for name, v in zip(names, row)} for row in zip(*columns)]


def assert_reads(path, t):
    found = rows_of(path)
    assert found == expected(t)


CODECS = ["NONE", "SNAPPY", "GZIP", "ZSTD", "LZ4"]  # pyarrow's LZ4 is LZ4_RAW


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("codec", CODECS)
def test_pyarrow_codecs_and_page_versions(tmp_path, codec, version):
    t = table()
    pq.write_table(t, tmp_path / "f", compression=codec, data_page_version=version, row_group_size=1700,
                   data_page_size=4096, write_page_checksum=True)
    assert_reads(tmp_path / "f", t)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("encoding,columns", [
    ("PLAIN", None),
    ("DELTA_BINARY_PACKED", ["seq", "small", "big", "near", "full"]),
    ("DELTA_LENGTH_BYTE_ARRAY", ["id", "kind", "text", "raw", "empty"]),
    ("DELTA_BYTE_ARRAY", ["id", "kind", "text", "raw", "key", "empty"]),
    ("RLE", ["flag", "runs"]),
    ("BYTE_STREAM_SPLIT", ["small", "big", "near", "real", "key"]),
])
def test_pyarrow_encodings(tmp_path, encoding, columns, version):
    for nulls in (0, 0.5):
        t = table(nulls=nulls, rows=3000)
        if columns:
            t = t.select(columns)
        pq.write_table(t, tmp_path / "f", use_dictionary=False, data_page_version=version, data_page_size=4096,
                       column_encoding={name: encoding for name in t.column_names})
        used = pq.read_metadata(tmp_path / "f").row_group(0).column(0).encodings
        assert encoding in used
        assert_reads(tmp_path / "f", t)


def test_dictionary_that_falls_back_to_plain(tmp_path):
    t = table()
    pq.write_table(t, tmp_path / "f", dictionary_pagesize_limit=2000, data_page_size=1000, version="1.0")
    assert_reads(tmp_path / "f", t)


def test_required_columns(tmp_path):
    t = table(nulls=0).drop(["empty"])
    schema = pa.schema([f.with_nullable(False) for f in t.schema])
    for version in ("1.0", "2.0"):
        pq.write_table(t.cast(schema), tmp_path / "f", data_page_version=version)
        assert "optional" not in dump(tmp_path / "f", "--schema")
        assert_reads(tmp_path / "f", t)


@pytest.mark.parametrize("codec", ["uncompressed", "snappy", "gzip", "zstd", "lz4_raw"])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_duckdb(tmp_path, codec, version):
    t = table(rows=20000).drop(["key"])
    con = duckdb.connect()
    con.register("t", t)
    con.sql(f"copy t to '{tmp_path}/f' (format parquet, codec '{codec}', parquet_version {version}, "
            "row_group_size 6000)")
    assert_reads(tmp_path / "f", t)


@pytest.mark.parametrize("codec", ["uncompressed", "snappy", "gzip", "zstd"])
def test_polars(tmp_path, codec):
    t = table(rows=20000).drop(["key"])
    polars.from_arrow(t).write_parquet(tmp_path / "f", compression=codec, row_group_size=7000, data_page_size=8192)
    assert_reads(tmp_path / "f", t)


def test_logical_types(tmp_path):
    now = datetime.datetime(2026, 2, 3, 4, 5, 6, 789123, datetime.timezone.utc)
    t = pa.table({
        "millis": pa.array([now], pa.timestamp("ms", "UTC")),
        "micros": pa.array([now], pa.timestamp("us", "UTC")),
        "local": pa.array([now.replace(tzinfo=None)], pa.timestamp("us")),
        "date": pa.array([now.date()], pa.date32()),
        "price": pa.array([decimal.Decimal("12.34")], pa.decimal128(10, 2)),
    })
    pq.write_table(t, tmp_path / "f", store_decimal_as_integer=True)
    lines = dump(tmp_path / "f", "--schema").splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["millis", "INT64", "TIMESTAMP_MILLIS"], ["micros", "INT64", "TIMESTAMP_MICROS"],
        ["local", "INT64", "NONE"], ["date", "INT32", "NONE"], ["price", "INT64", "NONE"]]
    micros = int(now.timestamp()) * 1_000_000 + now.microsecond
    assert rows_of(tmp_path / "f") == [{"millis": micros // 1000, "micros": micros, "local": micros,
                                       "date": (now.date() - datetime.date(1970, 1, 1)).days, "price": 1234}]
    con = duckdb.connect()
    one = uuid.uuid4()
    con.sql(f"copy (select '{one}'::uuid u, '{{\"a\":1}}'::json j) to '{tmp_path}/g' (format parquet)")
    assert rows_of(tmp_path / "g") == [{"u": one.hex, "j": '{"a":1}'}]
    assert "u FIXED_16 UUID" in dump(tmp_path / "g", "--schema")
    assert "j BYTE_ARRAY JSON" in dump(tmp_path / "g", "--schema")


@pytest.mark.parametrize("array,sentence", [
    (pa.array([[1]], pa.list_(pa.int32())), "nested"),
    (pa.array([{"a": 1}], pa.struct([("a", pa.int32())])), "nested"),
    (pa.array([1.5], pa.float32()), "FLOAT"),
    (pa.array([b"abc"], pa.binary(3)), "FIXED_LEN_BYTE_ARRAY"),
])
def test_what_is_not_read_is_refused_by_name(tmp_path, array, sentence):
    pq.write_table(pa.table({"good": pa.array([1]), "strange": array}), tmp_path / "f")
    message = dump(tmp_path / "f", expect=1)
    assert message.startswith("UNSUPPORTED: column strange is ") and sentence in message


def test_int96_and_a_codec_that_is_not_read(tmp_path):
    now = pa.array([datetime.datetime(2026, 1, 1)])
    pq.write_table(pa.table({"at": now}), tmp_path / "f", use_deprecated_int96_timestamps=True)
    assert "UNSUPPORTED: column at is INT96" in dump(tmp_path / "f", expect=1)
    pq.write_table(pa.table({"a": pa.array([1] * 1000)}), tmp_path / "f", compression="BROTLI")
    assert "BROTLI" in dump(tmp_path / "f", expect=1)


@pytest.mark.parametrize("index", [False, True])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_pruning_loses_no_row(tmp_path, index, version):
    t = table(rows=20000)
    pq.write_table(t, tmp_path / "f", write_page_index=index, row_group_size=9000, data_page_size=2000,
                   dictionary_pagesize_limit=20000, data_page_version=version)
    whole = expected(t)
    all_pages = count_of(tmp_path / "f")[1]
    rng = random.Random(7)
    for _ in range(12):
        low = rng.randrange(20000)
        high = low + rng.choice([0, 10, 3000])
        for name, bounds in (("seq", (low, high)), ("id", (f"doc-{low:08d}", f"doc-{high:08d}"))):
            flags = ("--range", name, *bounds)
            found = {row["seq"]: row for row in rows_of(tmp_path / "f", *flags)}
            for row in whole[low:high + 1]:
                assert found[row["seq"]] == row
            assert all(row == whole[seq] for seq, row in found.items())
            if index and high - low <= 10:
                assert len(found) < 2000 and count_of(tmp_path / "f", *flags)[1] < all_pages / 5


def test_two_ranges_and_a_projection(tmp_path):
    t = table(rows=20000)
    pq.write_table(t, tmp_path / "f", write_page_index=True, data_page_size=2000)
    flags = ("--columns", "near,seq", "--range", "seq", 5000, 12000, "--range", "near",
             1_790_000_000_000 + 11000 * 13, "-")
    found = rows_of(tmp_path / "f", *flags)
    seqs = [row["seq"] for row in found]
    assert seqs == sorted(seqs) and set(range(11000, 12001)) - set(seqs) <= {
        i for i, v in enumerate(t.column("near").to_pylist()) if v is None}
    assert len(seqs) < 3000 and list(found[0]) == ["near", "seq"]


def test_bloom_filter_of_duckdb(tmp_path):
    con = duckdb.connect()
    con.sql(f"copy (select i * 2 as n, 'k' || (hash(i) % 1000000) as k from range(100000) t(i)) "
            f"to '{tmp_path}/f' (format parquet, row_group_size 10000)")
    con.sql(f"copy (select (hash(i) % 50)::bigint * 2 as n from range(100000) t(i)) to '{tmp_path}/g' "
            "(format parquet, row_group_size 10000)")
    assert count_of(tmp_path / "g", "--range", "n", 51, 51) == (0, 0)  # between least and greatest, odd
    assert count_of(tmp_path / "g", "--range", "n", 50, 50)[0] == 100000


@pytest.mark.parametrize("name", ["v1-snappy", "v2-zstd-plain", "v2-lz4-dictionary"])
def test_parquet_java(name):
    path = pathlib.Path(__file__).parent / "parquet_java" / f"{name}.parquet"
    t = pq.read_table(path)
    assert_reads(path, t.set_column(t.column_names.index("ts"), "ts", t.column("ts").cast(pa.int64())))
    rows, pages = count_of(path)
    some = rows_of(path, "--range", "id", "doc-00000123", "doc-00000123")
    assert "doc-00000123" in [row["id"] for row in some] and len(some) <= rows / 3
    assert count_of(path, "--range", "id", "doc-00000123", "doc-00000123")[1] < pages / 2
    assert count_of(path, "--range", "n", 12345, 12345) == (0, 0)  # its bloom filter says so


def test_flipped_bits_and_cut_files(tmp_path):
    pq.write_table(table(rows=50), tmp_path / "f", write_page_checksum=True)
    good = (tmp_path / "f").read_bytes()
    whole = dump(tmp_path / "f")
    (tmp_path / "f").write_bytes(good[:-1])
    assert "CORRUPT" in dump(tmp_path / "f", expect=1)
    first = pq.ParquetFile(pa.BufferReader(good)).metadata.row_group(0).column(0)
    for at in range(first.data_page_offset, first.data_page_offset + first.total_compressed_size - 200, 7):
        bad = bytearray(good)
        bad[at] ^= 1 << at % 8
        (tmp_path / "g").write_bytes(bad)
        done = subprocess.run([PQDUMP, tmp_path / "g"], capture_output=True, text=True, timeout=10)
        assert (done.returncode, done.stdout) == (0, whole) or done.returncode == 1
