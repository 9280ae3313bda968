"""./x bench cdc and restore: from the log to state and delta beside SQLite's own upserts; a million documents and a
million changes back as of a moment. The input: documents of 200 bytes, ids uniform, from a seed."""

import http.client
import json
import os
import random
import shutil
import string
import subprocess
import threading
import time

from servers import TOKEN, Failed, Spillway, build_dir

COLLECTION = "bench"
LETTERS = string.ascii_letters + string.digits
PER_REQUEST = 2000


def document(source, n):
    """200 bytes of JSON that compress like text with random tokens, not like a constant."""
    head = f'{{"n":{n},"name":"{"".join(source.choices(LETTERS, k=24))}","tags":["alpha","beta"],"text":"'
    return head + "".join(source.choices("etaoin shrdlu", k=198 - len(head))) + '"}'


def change(source, op, number, n, ts):
    doc = "" if op == "delete" else f',"doc":{document(source, n)}'
    return (f'{{"type":"collection.{op}","ts":"{ts}","collection":"{COLLECTION}","docId":"doc-{number:08d}"{doc}}}')


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + ".000Z"


def request(connection, method, path, body=None, kind="application/x-ndjson"):
    headers = {"Authorization": "Bearer " + TOKEN, "Content-Type": kind}
    connection.request(method, path, body=body, headers=headers)
    reply = connection.getresponse()
    return reply.status, reply.read()


def connect(server):
    host, port = server.http.rsplit(":", 1)
    return http.client.HTTPConnection(host, int(port), timeout=600)


def post(connection, body):
    while True:
        status, text = request(connection, "POST", "/ingest", body)
        if status == 200:
            return json.loads(text)["lsn"]
        if status != 503:
            raise Failed(f"POST /ingest answered {status}: {text[:200]!r}")
        time.sleep(0.05)


def post_changes(server, source, op, numbers, ts):
    """Returns the last LSN."""
    connection, lsn = connect(server), -1
    for at in range(0, len(numbers), PER_REQUEST):
        lines = [change(source, op, number, at + i, ts) for i, number in enumerate(numbers[at:at + PER_REQUEST])]
        lsn = post(connection, "\n".join(lines).encode())
    connection.close()
    return lsn


def flush(server):
    """Waits until all that was acknowledged is in the state and in delta files."""
    connection = connect(server)
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        status, text = request(connection, "POST", "/flush")
        if status == 200:
            connection.close()
            return
        if status not in (408, 503, 504):
            raise Failed(f"POST /flush answered {status}: {text[:200]!r}")
    raise Failed("the state did not catch up in 600 s")


def command(*arguments, stdout=subprocess.DEVNULL):
    """Runs spillway; returns (seconds, CPU seconds, peak RSS in MB)."""
    line = [os.path.join(build_dir(), "spillway"), *map(str, arguments)]
    begin = time.perf_counter()
    process = subprocess.Popen(line, stdout=stdout)
    _, status, usage = os.wait4(process.pid, 0)
    took = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Failed(f"{' '.join(line)} ended with status {process.returncode}")
    return took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


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


# ---- cdc -----------------------------------------------------------------------------------------


def cdc(bench, run_program):
    options, report = bench.options, bench.report
    data, kept = bench.directory("data"), bench.directory("kept")
    settings = ["cdc.delta_seconds=0", "limits.body_bytes=4194304"]
    server = Spillway(data, settings)
    source = random.Random(options.seed)
    server.start()
    post_changes(server, source, "insert", range(options.documents), stamp(time.time() - 7200))
    flush(server)
    server.stop()
    for name in ("state", "store"):
        shutil.copytree(os.path.join(data, name), os.path.join(kept, name))
    server.start()
    numbers = source.choices(range(options.documents), k=options.changes)
    post_changes(server, source, "update", numbers, stamp(time.time() - 3600))
    server.stop()
    ratios = []
    for run in range(options.runs):
        peer = report.add(run_program("upsert", "--docs", options.documents, "--changes", options.changes, "--seed", options.seed,
                                      bench.directory(f"peer-{run}.db"))[0], run=run)
        for name in (f"peer-{run}.db", f"peer-{run}.db-wal", f"peer-{run}.db-shm"):
            if os.path.exists(bench.directory(name)):
                os.unlink(bench.directory(name))
        for name in ("state", "store"):  # the state as it was before the updates
            shutil.rmtree(os.path.join(data, name))
            shutil.copytree(os.path.join(kept, name), os.path.join(data, name))
        os.sync()
        begin = time.perf_counter()
        server.start()
        flush(server)
        took = time.perf_counter() - begin
        with open(f"/proc/{server.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        server.stop()
        rate = options.changes / took
        ratios.append(rate / peer["changes_per_s"])
        report.add({"bench": "cdc", "changes": options.changes, "documents": options.documents, "seconds": round(took, 3),
                    "cpu_s": cpu, "changes_per_s": round(rate), "changes_per_cpu_s": round(options.changes / cpu),
                    "against_sqlite": round(ratios[-1], 3)}, run=run)
    server.start()
    lag = live_lag(server, source, options)
    server.remove()
    report.add(lag)
    rate, ratio = report.median("changes_per_s", bench="cdc"), sorted(ratios)[len(ratios) // 2]
    report.table("from the log to state and delta (medians)", ["", "changes/s", "per CPU s"],
                 [["spillway", rate, report.median("changes_per_cpu_s", bench="cdc")],
                  ["SQLite's sorted upserts", report.median("changes_per_s", bench="limit.upsert"), "-"]])
    if rate >= 200_000:
        report.check("changes/s from the log to state and delta", rate, 200_000, True)
    else:
        report.check("changes/s against SQLite's sorted upserts", ratio, 0.6, True, None, "x")
    report.check("changes/s while ingesting", lag["changes_per_s"], 49_000, True)
    report.check("lag at 50,000 changes/s, s", lag["lag_max_s"], 1, False)
    return report.verdict()


def live_lag(server, source, options):
    """50,000 changes/s over HTTP; the time from a marker's acknowledgement until the state shows it."""
    ts = stamp(time.time() - 60)
    bodies = []
    for _ in range(50):  # made before the clock starts, sent again and again
        numbers = source.choices(range(options.documents), k=1000)
        bodies.append("\n".join(change(source, "update", number, number, ts) for number in numbers).encode())
    stop, sent = threading.Event(), []

    def load(first):
        connection, begin, n = connect(server), time.perf_counter(), first
        while not stop.is_set():
            delay = begin + n * 0.02 - time.perf_counter()
            if delay > 0:
                time.sleep(delay)
            post(connection, bodies[n % len(bodies)])
            sent.append(1000)
            n += 2
        connection.close()

    threads = [threading.Thread(target=load, args=(n,)) for n in range(2)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    lags, connection, n = [], connect(server), 0
    try:
        while time.perf_counter() - begin < options.seconds:
            lsn = post(connection, change(source, "update", 0, n, ts).replace("doc-00000000", "marker").encode())
            lags.append(wait_for(connection, lsn))
            n += 1
            time.sleep(0.1)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    took = time.perf_counter() - begin
    lags.sort()
    return {"bench": "cdc.lag", "changes_per_s": round(sum(sent) / took), "markers": len(lags), "lag_p50_s": round(lags[len(lags) // 2], 4),
            "lag_max_s": round(lags[-1], 4)}


def wait_for(connection, lsn):
    begin = time.perf_counter()
    while time.perf_counter() - begin < 60:
        status, text = request(connection, "GET", f"/state/default/{COLLECTION}/marker")
        if status == 200 and json.loads(text)["lsn"] >= lsn:
            return time.perf_counter() - begin
        time.sleep(0.005)
    raise Failed("a change was not in the state after 60 s")


# ---- restore -------------------------------------------------------------------------------------


def fill_store(bench, documents, changes):
    """A store with a snapshot of so many documents and, after it, so many changes in deltas; returns
    (store URL, last LSN)."""
    options = bench.options
    server = Spillway(bench.directory("data"), ["cdc.delta_seconds=0", "limits.body_bytes=4194304"])
    source = random.Random(options.seed)
    server.start()
    post_changes(server, source, "insert", range(documents), stamp(time.time() - 7200))
    flush(server)
    connection = connect(server)
    status, text = request(connection, "POST", f"/snapshots/default/{COLLECTION}", b"{}", "application/json")
    if status not in (200, 201):
        raise Failed(f"POST /snapshots answered {status}: {text[:200]!r}")
    numbers = source.choices(range(documents), k=changes)
    deletes = changes // 10
    post_changes(server, source, "update", numbers[deletes:], stamp(time.time() - 3600))
    lsn = post_changes(server, source, "delete", numbers[:deletes], stamp(time.time() - 1800))
    flush(server)
    server.stop()
    return "file:" + os.path.join(bench.directory("data"), "store"), lsn


def restore(bench, _run_program):
    options, report = bench.options, bench.report
    store, lsn = fill_store(bench, options.documents, options.changes)
    target = ["--store", store, "--lsn", lsn]
    name = f"default/{COLLECTION}"
    for run in range(options.runs):
        took, cpu, rss = command("restore", *target, name)
        report.add({"bench": "restore", "to": "/dev/null", "documents": options.documents, "changes": options.changes,
                    "seconds": round(took, 3), "cpu_s": round(cpu, 3), "peak_rss_mb": round(rss, 1)}, run=run)
        for form in ("ndjson", "parquet", "sqlite"):
            out = bench.directory("restored." + form)
            took, cpu, rss = command("restore", *target, "--format", form, "--to", out, name)
            size = os.path.getsize(out)
            os.unlink(out)
            floor = write_and_sync(out, size)
            report.add({"bench": "restore", "to": form, "seconds": round(took, 3), "cpu_s": round(cpu, 3), "peak_rss_mb": round(rss, 1),
                        "bytes": size, "write_and_sync_s": round(floor, 3), "seconds_beyond": round(took - floor, 3)}, run=run)
        history(report, store, name, options, run)
    rows = [[to, *(report.median(f, bench="restore", to=to) for f in ("seconds", "write_and_sync_s", "cpu_s", "peak_rss_mb"))]
            for to in ("/dev/null", "ndjson", "parquet", "sqlite")]
    report.table(f"{options.documents:,} documents, {options.changes:,} changes (medians)",
                 ["to", "s", "of that the machine's write and sync", "CPU s", "RSS MB"], rows)
    report.check("NDJSON to /dev/null, s", rows[0][1], 1.0, False)
    report.check("NDJSON to a file beyond write and sync, s", report.median("seconds_beyond", to="ndjson"), 1.0, False)
    report.check("memory, MB", max(report.values("peak_rss_mb", bench="restore", to="/dev/null")), 300, False)
    report.check("one document's history, ms", report.median("ms", bench="history"), 50, False)
    if options.large:
        large(bench)
    return report.verdict()


def history(report, store, name, options, run):
    """One document's versions among all; the program's start included."""
    source = random.Random(run)
    times = [command("history", "--store", store, name, f"doc-{source.randrange(options.documents):08d}")[0] for _ in range(11)]
    report.add({"bench": "history", "ms": round(sorted(times)[5] * 1e3, 2)}, run=run)


def large(bench):
    """Memory depends on the changes alone: ten times the documents, a hundredth of the changes."""
    shutil.rmtree(bench.directory("data"))
    options = bench.options
    store, lsn = fill_store(bench, options.documents * 10, max(options.changes // 100, 10))
    took, cpu, rss = command("restore", "--store", store, "--lsn", lsn, f"default/{COLLECTION}")
    bench.report.add({"bench": "restore.large", "documents": options.documents * 10, "seconds": round(took, 3),
                      "cpu_s": round(cpu, 3), "peak_rss_mb": round(rss, 1)})
    bench.report.check("ten times the documents: memory, MB", rss, 100, False)
