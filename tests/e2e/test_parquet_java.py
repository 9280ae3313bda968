"""parquet-java's command-line tool reads every kind of file that Spillway writes, without a complaint: footer, column
and offset indexes, rows; and all that the library can write (subprojects/parquet/tests/sample.c). Its libraries' warnings
go to standard error (parquet_java/cli-logging.properties)."""
import itertools
import json
import pathlib
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pyarrow.parquet
import pytest
from conftest import java_classpath
from recovery import NAMESPACE, SMALL, Recorder, run_bytes
from test_parquet_write import CODECS, ENCODINGS, expected, sample

SETTINGS = pathlib.Path(__file__).parent / "parquet_java"
# For runs of a second: one compiler, no collector's threads.
JVM = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-Dfile.encoding=UTF-8"]
CHECKSUMS = "-Dparquet.page.verify-checksum.enabled=true"


def tool(command, *arguments):
    line = [*JVM, "-cp", f"{SETTINGS}:{java_classpath('parquet')}", "org.apache.parquet.cli.Main", CHECKSUMS, command]
    return subprocess.run([*line, *map(str, arguments)], capture_output=True, timeout=120, check=False)


def output(command, *arguments):
    """What it prints; a warning or an exception fails the test."""
    done = tool(command, *arguments)
    assert done.returncode == 0 and not done.stderr, (command, arguments, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout.decode()


@pytest.fixture
def files(make_server, tmp_path):
    """One file of each kind, under names that need no quoting."""
    recorder = Recorder(make_server(*SMALL), 31)
    recorder.post(900)
    recorder.flush()
    collection = max(recorder.collections(), key=lambda c: len(recorder.model.state(c)))
    recorder.snapshot(collection)
    recorder.compact()
    recorder.post(900)
    recorder.flush()
    store = recorder.server.data / "store"
    (directory,) = (m.parent for m in store.glob(f"{NAMESPACE}/*/manifest.json")
                    if json.loads(m.read_bytes())["collection"] == collection)
    found = {"data": directory / "data.parquet", "snapshot": next(directory.glob("snapshots/*.parquet")),
             "delta": max(directory.glob("deltas/*.parquet"))}
    copies = {kind: shutil.copy(path, tmp_path / f"{kind}.parquet") for kind, path in found.items()}
    copies["restored"] = tmp_path / "restored.parquet"
    done = run_bytes("restore", "--data", recorder.server.data, "--latest", "--format", "parquet", "--to", copies["restored"],
                     f"{NAMESPACE}/{collection}")
    assert done.returncode == 0, done.stderr
    return copies


def rows_by_pyarrow(path):
    """As the tool prints them: times as microseconds; it knows no JSON and shows such bytes as ISO 8859-1."""
    file = pyarrow.parquet.ParquetFile(path)
    table = file.read()
    rows = table.set_column(table.column_names.index("ts"), "ts", table["ts"].cast("int64")).to_pylist()
    of_json = [c.name for c in map(file.schema.column, range(len(file.schema))) if c.logical_type.type == "JSON"]
    assert of_json
    for row, name in itertools.product(rows, of_json):
        if row[name] is not None:
            row[name] = row[name].encode().decode("latin-1")
    return rows


def check_footer(path):
    theirs = pyarrow.parquet.ParquetFile(path).metadata
    said = json.loads(output("footer", path))
    assert said["fileMetaData"]["createdBy"] == theirs.created_by
    assert sum(block["rowCount"] for block in said["blocks"]) == theirs.num_rows > 0


def check_indexes(path):
    """Of every column of every row group both indexes are read; the key's is in order."""
    said = output("column-index", path)
    names = pyarrow.parquet.ParquetFile(path).schema_arrow.names
    for index in ("column", "offset"):
        assert re.findall(rf"^{index} index for column (\w+):$", said, re.M) == names
    assert "Boundary order: ASCENDING" in said


def check_rows(path):
    said = [json.loads(line) for line in output("cat", path).splitlines()]
    assert said == rows_by_pyarrow(path)


def test_parquet_javas_tool_reads_every_kind_of_file(files):
    assert len(files) == 4
    work = [(check, path) for path in files.values() for check in (check_footer, check_rows)]
    work += [(check_indexes, files[kind]) for kind in ("data", "delta")]  # the two schemas
    with ThreadPoolExecutor(2) as pool:
        for job in [pool.submit(check, path) for check, path in work]:
            job.result()


def test_parquet_javas_tool_notices_a_flipped_bit(files):
    """Our checksums of pages are those that it computes; and what it complains of would be seen."""
    path = files["data"]
    at = pyarrow.parquet.ParquetFile(path).metadata.row_group(0).column(1).data_page_offset + 200
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    done = tool("cat", path)
    assert done.returncode != 0 and b"CRC" in done.stdout + done.stderr, (done.stdout[-2000:], done.stderr[-2000:])


@pytest.mark.parametrize("codec,encoding", zip(CODECS, ENCODINGS))
def test_parquet_javas_tool_reads_every_codec_and_encoding(tmp_path, codec, encoding):
    path, _ = sample(tmp_path, rows=300, codec=codec, encoding=encoding, v2=int(codec in ("snappy", "zstd")), page_bytes=2000,
                     group_rows=110)
    columns = [name for name in expected(0) if name != "uuid"]  # which this tool takes for text, and fails
    said = [json.loads(line) for line in output("cat", path, "--columns", ",".join(columns)).splitlines()]
    rows = [expected(i) for i in range(300)]
    for row in rows:
        row["doc"] = row["doc"] and row["doc"].encode().decode("latin-1")
        row["raw"] = row["raw"] if row["raw"] is None else row["raw"].decode("latin-1")
        del row["uuid"]
    assert said == rows


def test_parquet_javas_tool_asks_our_bloom_filters(tmp_path):
    path, _ = sample(tmp_path, rows=300, group_rows=100)
    said = output("bloom-filter", path, "-c", "id", "-v", "id-00000107,id-nothing")
    found = re.findall(r"^value (\S+) (maybe|NOT) exists", said, re.M)
    assert len(found) == 6 and ("id-00000107", "maybe") in found[2:4]
    # One wrong "maybe" in a hundred is allowed, a wrong "not" never.
    assert sum(answer == "NOT" for _, answer in found) >= 4
