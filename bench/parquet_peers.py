"""parquet_peers.py FILE INPUT_BYTES PEER: pyarrow or DuckDB write and read FILE's rows, zstd level 1, one thread.

The rows are in memory before the clock starts. Prints one JSON line per mode, as parquet_bench does."""
import json
import os
import sys
import time


def timed(mode, library, rows, input_bytes, out, work):
    start = time.process_time()
    work()
    cpu = time.process_time() - start
    print(json.dumps({"bench": "parquet", "mode": mode, "library": library, "rows": rows,
                      "input_bytes": input_bytes, "file_bytes": os.path.getsize(out), "cpu_s": round(cpu, 4),
                      "mb_per_s": round(input_bytes / cpu / 1e6, 1)}), flush=True)


def with_pyarrow(path, input_bytes):
    import pyarrow
    import pyarrow.parquet
    pyarrow.set_cpu_count(1)
    pyarrow.set_io_thread_count(1)
    table = pyarrow.parquet.read_table(path).combine_chunks()
    out = path + ".pyarrow"
    timed("write", "pyarrow", table.num_rows, input_bytes, out, lambda: pyarrow.parquet.write_table(
        table, out, compression="zstd", compression_level=1))
    timed("read", "pyarrow", table.num_rows, input_bytes, out,
          lambda: pyarrow.parquet.read_table(out, use_threads=False, pre_buffer=False))


def with_duckdb(path, input_bytes):
    import duckdb
    out = path + ".duckdb"
    with duckdb.connect(config={"threads": 1}) as db:
        db.execute(f"CREATE TABLE events AS FROM read_parquet('{path}')")
        rows = db.execute("SELECT count(*) FROM events").fetchone()[0]
        timed("write", "duckdb", rows, input_bytes, out, lambda: db.execute(
            f"COPY events TO '{out}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"))
        timed("read", "duckdb", rows, input_bytes, out, lambda: db.execute(
            f"SELECT sum(lsn), sum(strlen(id)), sum(strlen(type)), epoch_us(max(ts)), sum(strlen(data::VARCHAR)) "
            f"FROM read_parquet('{out}')").fetchall())


{"pyarrow": with_pyarrow, "duckdb": with_duckdb}[sys.argv[3]](sys.argv[1], int(sys.argv[2]))
