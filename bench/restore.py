"""./x bench restore: documents and changes back as of a moment, beside the machine's own writes and, with --postgres,
PostgreSQL's point-in-time recovery of the same rows; one document's history; with --large, that memory depends on the
changes alone. The input is recovery.py's."""

import json
import os
import random
import subprocess
import time

from postgres import Postgres
from recovery import COLLECTION, connect, doc_id, document, event, flush, post_events, request, stamp
from servers import Failed, Spillway, build_dir, program

NAME = f"default/{COLLECTION}"
SETTINGS = ["cdc.delta_seconds=0", "limits.body_bytes=4194304"]
MEMORY_MB = 8  # what ten times the documents may add


def command(*arguments):
    """Runs spillway; returns {seconds, cpu_s, peak_rss_mb}."""
    line = [program("measure"), os.path.join(build_dir(), "spillway"), *map(str, arguments)]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Failed(f"{' '.join(line)} failed")
    return json.loads(done.stdout)


def write_and_sync(path, size):
    """The machine's own time for a file of that size: sequential writes of 1 MiB and one sync."""
    block = os.urandom(1 << 20)
    begin = time.perf_counter()
    with open(path, "wb") as f:
        for at in range(0, size, len(block)):
            f.write(block[:size - at])
        f.flush()
        os.fsync(f.fileno())
    took = time.perf_counter() - begin
    os.unlink(path)
    return took


def documents_of(options, documents):
    """(number, document) of each, in order."""
    source = random.Random(options.seed)
    return ((n, document(source, n)) for n in range(documents))


def changes_of(options, documents, changes):
    """(number, new document, or None for a delete): any of them, the last tenth deletes."""
    source = random.Random(options.seed + 1)
    for n in range(changes):
        number = source.randrange(documents)
        yield number, document(source, n) if n < changes - changes // 10 else None


def ask(server, path):
    """POSTs to a route that answers when its work is done."""
    connection = connect(server)
    status, text = request(connection, "POST", path, b"{}", "application/json")
    connection.close()
    if status not in (200, 201):
        raise Failed(f"POST {path} answered {status}: {text[:200]!r}")


def fill_store(bench, documents, changes):
    """A store with a snapshot of so many documents and, after it, so many changes in deltas; returns (server, store
    URL, last LSN). The server is stopped."""
    options, now = bench.options, time.time()
    server = Spillway(bench.directory("data"), SETTINGS)
    server.start()
    post_events(server, (event("insert", *row, stamp(now - 7200)) for row in documents_of(options, documents)))
    flush(server)
    ask(server, f"/snapshots/{NAME}")
    lsn = post_events(server, (event("update" if doc else "delete", number, doc, stamp(now - 3600))
                               for number, doc in changes_of(options, documents, changes)))
    flush(server)
    server.stop()
    return server, "file:" + os.path.join(bench.directory("data"), "store"), lsn


def restore(bench):
    options, report = bench.options, bench.report
    server, store, lsn = fill_store(bench, options.documents, options.changes)
    target = ["--store", store, "--lsn", lsn]
    postgres = Postgres(bench.directory("postgres")) if options.postgres else None
    if postgres is not None:
        out = bench.directory("restored.ndjson")
        command("restore", *target, "--to", out, NAME)
        postgres.prepare(documents_of(options, options.documents), changes_of(options, options.documents, options.changes))
        postgres.expect(rows_of(out))
        os.unlink(out)
    for run in range(options.runs):
        restore_once(bench, target, run)
        history(report, store, options, run, "deltas")
        if postgres is not None:
            report.add(postgres.recover(check=run == 0), run=run)
    server.start()
    ask(server, "/admin/compact")
    server.stop()
    for run in range(options.runs):
        history(report, store, options, run, "compacted")
    server.remove()
    if postgres is not None:
        postgres.remove()
    verdict(report, options)
    if options.large:
        large(bench)
    return report.verdict()


def restore_once(bench, target, run):
    """To /dev/null, then to a file of each format beside the machine's own time to write such a file."""
    options, report = bench.options, bench.report
    report.add({"bench": "restore", "to": "/dev/null", "documents": options.documents, "changes": options.changes,
                **command("restore", *target, NAME)}, run=run)
    for form in ("ndjson", "parquet", "sqlite"):
        out = bench.directory("restored." + form)
        took = command("restore", *target, "--format", form, "--to", out, NAME)
        size = os.path.getsize(out)
        os.unlink(out)
        floor = write_and_sync(out, size)
        report.add({"bench": "restore", "to": form, **took, "bytes": size, "write_and_sync_s": round(floor, 3),
                    "seconds_beyond": round(took["seconds"] - floor, 3)}, run=run)


def rows_of(path):
    """(id, document) of each line of a restored NDJSON, as bytes."""
    with open(path, "rb") as f:
        for line in f:
            head, _, rest = line.partition(b',"doc":')
            yield json.loads(head + b"}")["id"].encode(), rest.rpartition(b',"lsn":')[0]


def history(report, store, options, run, files):
    """One document's versions among all; the program's start included."""
    source = random.Random(run)
    times = sorted(command("history", "--store", store, NAME, doc_id(source.randrange(options.documents)))["seconds"]
                   for _ in range(11))
    report.add({"bench": "history", "files": files, "ms": round(times[5] * 1e3, 2)}, run=run)


def verdict(report, options):
    rows = [[to, *(report.median(f, bench="restore", to=to) for f in ("seconds", "write_and_sync_s", "cpu_s", "peak_rss_mb"))]
            for to in ("/dev/null", "ndjson", "parquet", "sqlite")]
    if options.postgres:
        rows.append(["PostgreSQL, base backup in place", report.median("seconds", bench="postgres"), None, None, None])
    report.table(f"{options.documents:,} documents, {options.changes:,} changes (medians)",
                 ["to", "s", "of that the machine's write and sync", "CPU s", "RSS MB"], rows)
    report.check("NDJSON to /dev/null, s", rows[0][1], 1.0, False)
    report.check("NDJSON to a file beyond write and sync, s", report.median("seconds_beyond", to="ndjson"), 1.0, False)
    report.check("memory, MB", max(report.values("peak_rss_mb", bench="restore", to="/dev/null")), 300, False)
    report.check("one document's history, ms", report.median("ms", bench="history", files="deltas"), 50, False)
    report.check("the same after a compaction, ms", report.median("ms", bench="history", files="compacted"), 50, False)
    if options.postgres:
        times = zip(report.values("seconds", bench="postgres"), report.values("seconds", bench="restore", to="sqlite"))
        ratios = sorted(theirs / ours for theirs, ours in times)
        report.check("to a SQLite file against PostgreSQL's recovery", ratios[len(ratios) // 2], 1, True, None, "x")


def large(bench):
    """The same changes, a hundredth of the usual, over the usual documents and over ten times as many."""
    options, report = bench.options, bench.report
    changes, rows = max(options.changes // 100, 10), []
    for documents in (options.documents, options.documents * 10):
        server, store, lsn = fill_store(bench, documents, changes)
        row = report.add({"bench": "restore.large", "documents": documents, "changes": changes,
                          **command("restore", "--store", store, "--lsn", lsn, NAME)})
        server.remove()
        rows.append([f"{documents:,}", row["seconds"], row["peak_rss_mb"]])
    report.table(f"with {changes:,} changes", ["documents", "s", "RSS MB"], rows)
    report.check("memory that ten times the documents add, MB", rows[1][2] - rows[0][2], MEMORY_MB, False)
