"""./x bench cdc: from the log to state and delta beside SQLite's own upserts; and what restore.py shares with it: the
input (documents of 200 bytes, ids uniform, from a seed) and requests."""

import http.client
import itertools
import json
import os
import random
import shutil
import string
import threading
import time

from servers import TOKEN, Failed, Spillway

COLLECTION = "bench"
LETTERS = string.ascii_letters + string.digits
PROSE = "etaoin shrdlu"
PER_REQUEST = 2000


def alphabet(letters):
    """A table that makes letters of random bytes."""
    return bytes(ord(letters[i % len(letters)]) for i in range(256))


TOKEN_OF, PROSE_OF = alphabet(LETTERS), alphabet(PROSE)


def document(source, n):
    """200 bytes of JSON that compress like text with random tokens, not like a constant."""
    token = source.randbytes(24).translate(TOKEN_OF).decode()
    head = f'{{"n":{n},"name":"{token}","tags":["alpha","beta"],"text":"'
    return head + source.randbytes(198 - len(head)).translate(PROSE_OF).decode() + '"}'


def doc_id(number):
    return f"doc-{number:08d}"


def event(op, number, doc, ts):
    body = "" if doc is None else f',"doc":{doc}'
    return f'{{"type":"collection.{op}","ts":"{ts}","collection":"{COLLECTION}","docId":"{doc_id(number)}"{body}}}'


def change(source, op, number, n, ts):
    return event(op, number, document(source, n), ts)


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


def post_events(server, events):
    """Posts them in requests of PER_REQUEST; returns the last LSN."""
    connection, lsn = connect(server), -1
    events = iter(events)
    while lines := list(itertools.islice(events, PER_REQUEST)):
        lsn = post(connection, "\n".join(lines).encode())
    connection.close()
    return lsn


def post_changes(server, source, op, numbers, ts):
    """Returns the last LSN."""
    return post_events(server, (change(source, op, number, n, ts) for n, number in enumerate(numbers)))


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
