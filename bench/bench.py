#!/usr/bin/env python3
"""./x bench NAME…: runs the benchmarks against the release build.

Everything that a figure is compared with (nginx, Apache Kafka, the limits of the machine) is measured
in the same run, interleaved with it, because the machine's speed changes from minute to minute.
Standard output: one JSON object per line and result. Standard error: tables of medians and, for each
floor, PASS or FAIL. Exit status 1 when a floor is missed or a program failed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import recovery  # noqa: E402
import restore  # noqa: E402
from report import Report  # noqa: E402
from servers import (NGINX, ROOT, TOKEN, Failed, Kafka, Nginx, NullBroker, Spillway, build_choice,  # noqa: E402
                     kafka_classpath, program)

SHAPES = {1: 64, 100: 16, 1000: 16}  # events in a request: connections
FETCH_BYTES = 1 << 20  # what Kafka's clients ask of a partition unless told otherwise
FETCH_BYTES_LARGE = 8 << 20


def start_program(name, *arguments):
    return subprocess.Popen([program(name), *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def finish_program(running):
    """The JSON lines of a benchmark program that start_program started."""
    output = running.communicate()[0]
    if running.returncode != 0:
        raise Failed(f"{' '.join(running.args)} ended with status {running.returncode}: {output}")
    return [json.loads(line) for line in output.splitlines()]


def run_program(name, *arguments):
    """Runs a benchmark program and returns its JSON lines."""
    return finish_program(start_program(name, *arguments))


class Bench:
    def __init__(self, options, work):
        self.options = options
        self.work = work
        self.report = Report()

    def directory(self, name):
        return os.path.join(self.work, name)

    def limits(self, run, only, seconds=1):
        return [self.report.add(r, run=run)
                for r in run_program("limits", "--only", only, "--seconds", seconds, self.work)]

    def warmup(self):
        return min(3, self.options.seconds / 2)

    def load(self, server, events, rate=0, **extra):
        arguments = ["--events", events, "--conns", SHAPES[events], "--token", TOKEN,
                     "--seconds", self.options.seconds, "--warmup", self.warmup(), "--pid", server.pid,
                     "--seed", self.options.seed, "--rate", rate]
        before = counters(server)
        result = run_program("loadgen", *arguments, server.http)[0]
        return self.report.add(result, server=server.name, **stored_since(server, before), **extra)

    # ---- ingest ------------------------------------------------------------------------------------

    def ingest(self):
        ratios, bounds = [], []
        for run in range(self.options.runs):
            syncs = self.limits(run, "sync")
            bounds.append(3 * next(s["p99_ms"] for s in syncs
                                   if s.get("group_bytes") == 65536 and s["mode"] == "overwrite"))
            with Nginx(self.directory("nginx")) as nginx:
                peer = self.load(nginx, 1, run=run, load="full")
            for events in self.options.shapes:
                with Spillway(self.directory("data")) as spillway:
                    full = self.load(spillway, events, run=run, load="full")
                    if events == 1:
                        ratios.append(full["requests_per_s"] / peer["requests_per_s"])
                    rate = full["requests_per_s"] / 2
                    half = self.load(spillway, events, rate=rate, run=run, load="half")
                self.pace(run, events, rate, half["stored_bytes"])
        return self.ingest_verdict(sorted(ratios), sorted(bounds))

    def pace(self, run, events, rate, stored_bytes):
        """What this machine's syncs take at half load: nginx answers the same requests and stores nothing,
        and beside it one thread syncs as many bytes a millisecond as Spillway stored of them."""
        group = max(1, int(stored_bytes / (self.options.seconds + self.warmup()) / 1000))
        os.sync()  # what was removed just now
        with Nginx(self.directory("nginx")) as nginx:
            syncs = start_program("limits", "--only", "pace", "--seconds", self.options.seconds, "--group", group,
                                  "--after", self.warmup(), self.work)
            try:
                self.load(nginx, events, rate=rate, run=run, load="half")
                for result in finish_program(syncs):
                    self.report.add(result, run=run, shape=events)
            finally:
                syncs.kill()
                syncs.wait()

    def ingest_verdict(self, ratios, bounds):
        report = self.report
        rows = []
        for events in self.options.shapes:
            for load in ("full", "half"):
                row = [report.median(f, server="spillway", shape=events, load=load)
                       for f in ("events_per_s", "requests_per_s", "mb_per_s", "p50_ms", "p99_ms",
                                 "p999_ms", "server_cpu_s_per_million_events", "server_peak_rss_mb")]
                rows.append([f"{events} per request, {load}"] + row)
        report.table("ingest (medians)", ["load", "events/s", "requests/s", "MB/s", "p50 ms", "p99 ms",
                                          "p99.9 ms", "CPU s/M", "RSS MB"], rows)
        self.sync_table()
        full = {"server": "spillway", "load": "full"}
        if 1000 in self.options.shapes:
            report.check("1000 per request: events/s",
                         report.median("events_per_s", shape=1000, **full), 1e6, True, 2e6)
            self.check_cpu("1000 per request: server CPU s per million events", 0.5,
                           "server_cpu_s_per_million_events", shape=1000, **full)
        if 1 in self.options.shapes:
            report.check("single events: requests/s against nginx", ratios[len(ratios) // 2], 0.6, True,
                         0.9, "x")
        bound = max(5.0, bounds[len(bounds) // 2])
        for events in self.options.shapes:
            paced = report.median("p99_ms", mode="paced", shape=events)
            report.check(f"{events} per request: p99 at half load, ms",
                         report.median("p99_ms", server="spillway", shape=events, load="half"), bound,
                         False, note=f"3x limit.sync paced: {3 * paced:.2f}")
        return report.verdict()

    def check_cpu(self, text, floor, field, **match):
        """A floor of CPU seconds per million; what fresh page cache takes of them on this machine, and what
        others who use the same cores."""
        cpu = self.report.median(field, **match)
        page_cache = {"bench": "limit.page_cache"}
        fresh = (self.report.median("fresh_cpu_s_per_gb", **page_cache) -
                 self.report.median("again_cpu_s_per_gb", **page_cache))
        one = self.report.matching(**match)[0]  # each has the same bytes per event
        written = one["mb_per_s"] / (one["lz4_ratio"] if match.get("codec") != "none" else 1)
        pages = written / (one.get("events_per_s") or one["records_per_s"]) * 1e3 * fresh
        pages *= self.report.median("fresh_share", **match)
        speed = {"bench": "limit.cpu", "mode": "all"}
        share = (self.report.median("best_us_per_unit", **speed) / self.report.median("cpu_us_per_unit", **speed))
        self.report.check(text, cpu, floor, False,
                          note=f"{pages:.2f} of it fresh page cache, limit.page_cache; "
                               f"{cpu * share:.2f} if the CPUs were as fast as at best, limit.cpu")

    def sync_table(self):
        rows = []
        kinds = [(mode, group) for mode in ("append", "overwrite") for group in (4096, 65536, 262144, 1048576)]
        for mode, group in kinds:
            rows.append([f"{mode} {group // 1024} KiB", *self.sync_row(mode=mode, group_bytes=group)])
        for events in self.options.shapes if self.report.matching(mode="paced") else ():
            rows.append([f"paced, nginx answers {events} per request", *self.sync_row(mode="paced", shape=events)])
        self.report.table("the machine: write + fdatasync (medians)",
                          ["group", "syncs/s", "MB/s", "p50 ms", "p99 ms", "max ms"], rows)
        self.report.table("the machine: CPU of writing to the page cache (medians)",
                          ["pages", "CPU s/GB"],
                          [[kind, self.report.median(kind + "_cpu_s_per_gb", bench="limit.page_cache")]
                           for kind in ("fresh", "again")])
        self.report.table("the machine: LZ4 of 64 KiB of events on one CPU and on all (medians)",
                          ["CPUs", "CPU us", "best us", "stalls > 1 ms per CPU s", "share of time", "longest ms"],
                          [[mode] + [self.report.median(f, bench="limit.cpu", mode=mode)
                                     for f in ("cpu_us_per_unit", "best_us_per_unit", "stalls_per_cpu_s",
                                               "stalled_share", "longest_stall_ms")]
                           for mode in ("one", "all")])

    def sync_row(self, **match):
        return [self.report.median(f, bench="limit.sync", **match)
                for f in ("syncs_per_s", "mb_per_s", "p50_ms", "p99_ms", "max_ms")]

    # ---- fetch -------------------------------------------------------------------------------------

    def fill(self, server, gigabytes):
        """Posts real batches until the log has so many GB."""
        log = os.path.join(server.directory, "log", "events", "0")
        while True:
            run_program("loadgen", "--events", 1000, "--conns", 16, "--token", TOKEN, "--seconds", 4,
                        "--warmup", 0, server.http)
            size = sum(e.stat().st_size for e in os.scandir(log) if e.name.endswith(".log"))
            if size >= gigabytes * 1e9:
                return

    def fetch_once(self, server, conns, max_bytes=FETCH_BYTES, **extra):
        result = run_program("fetchgen", "--conns", conns, "--seconds", self.options.seconds,
                             "--max-bytes", max_bytes, "--pid", server.pid, server.kafka)[0]
        return self.report.add(result, server=server.name, **extra)

    def fetch(self):
        ratios = {1: [], 2: []}
        with Spillway(self.directory("data")) as spillway:
            self.fill(spillway, self.options.gigabytes)
            self.report.add(run_program("fetchgen", "--verify", "--pid", spillway.pid,
                                        spillway.kafka)[0], server="spillway")
            for run in range(self.options.runs):
                limits = self.limits(run, "sendfile", 3)
                for conns in (1, 2):
                    limit = next(r["mb_per_s"] for r in limits
                                 if r["mode"] == "buffer" and r["conns"] == conns)
                    got = self.fetch_once(spillway, conns, run=run, limit_mb_per_s=limit)
                    ratios[conns].append(got["mb_per_s"] / limit)
                self.fetch_once(spillway, 1, max_bytes=FETCH_BYTES_LARGE, run=run)
            copied = self.fetch_syscalls(spillway)
        return self.fetch_verdict(ratios, copied)

    def fetch_syscalls(self, server):
        """One fetch of the whole log under strace -c, and the server's own counters around it; returns
        the share of the fetched bytes that did not go through sendfile."""
        counts = self.directory("strace.txt")
        before = counters(server)["kafka_sendfile_bytes_total"]
        tracer = subprocess.Popen(["strace", "-f", "-c", "-U", "name,calls,errors", "-o", counts, "-p",
                                   str(server.pid)], stderr=subprocess.DEVNULL)
        time.sleep(1)
        got = run_program("fetchgen", "--verify", server.kafka)[0]
        tracer.terminate()
        tracer.wait()
        counted = counters(server)["kafka_sendfile_bytes_total"] - before
        calls = {}
        with open(counts, encoding="ascii") as f:
            for line in f:
                words = line.split()
                if len(words) >= 2 and words[1].isdigit() and words[0] != "total":
                    calls[words[0]] = int(words[1])
        self.report.add({"bench": "fetch.syscalls", "bytes": got["bytes"], "sendfile_bytes": counted,
                         "calls": calls})
        return max(0.0, 1 - counted / got["bytes"])

    def fetch_verdict(self, ratios, copied):
        report = self.report
        rows = []
        for conns, size in ((1, FETCH_BYTES), (2, FETCH_BYTES), (1, FETCH_BYTES_LARGE)):
            match = {"bench": "fetch", "mode": "fetch", "conns": conns, "max_bytes": size}
            limit = {"bench": "limit.sendfile", "mode": "buffer", "conns": conns}
            rows.append([f"{conns} connection{'s' * (conns > 1)}, {size >> 20} MiB"] +
                        [report.median(f, **match) for f in ("mb_per_s", "server_cpu_s_per_gb")] +
                        [report.median(f, **limit) for f in ("mb_per_s", "sender_cpu_s_per_gb")])
        report.table("fetch (medians)", ["fetch", "MB/s", "CPU s/GB", "limit MB/s", "limit CPU s/GB"],
                     rows)
        for conns in (1, 2):
            report.check(f"fetch against sendfile, {conns} connection{'s' * (conns > 1)}",
                         sorted(ratios[conns])[len(ratios[conns]) // 2], 0.8, True, None, "x")
        report.check("server CPU s per GB", report.median("server_cpu_s_per_gb", bench="fetch",
                                                          mode="fetch", conns=1, max_bytes=FETCH_BYTES),
                     0.4, False)
        report.check("bytes that did not go through sendfile", copied, 0.001, False)
        return report.verdict()

    # ---- peers -------------------------------------------------------------------------------------

    def peers(self):
        kafka_classpath()  # before the first run
        for run in range(self.options.runs):
            syncs = self.limits(run, "sync")
            sync_mb = max(s["mb_per_s"] for s in syncs if s.get("group_bytes") == 1048576)
            for codec in self.options.codecs:
                for size in self.options.sizes:
                    self.peers_round(run, codec, size, sync_mb)
        self.sync_table()
        return self.peers_verdict()

    def peers_round(self, run, codec, size, sync_mb):
        """The same work for each broker, one broker alive at a time, the first one rotating. The null
        broker has no records to consume; its half is Spillway's, so that their latencies compare."""
        brokers = [lambda: Kafka(self.directory("kafka"), True),
                   lambda: Kafka(self.directory("kafka"), False),
                   lambda: Spillway(self.directory("data")),
                   lambda: NullBroker(self.directory("null"))]
        first = run % len(brokers)
        extra = {"run": run, "size": size, "sync_mb_per_s": sync_mb}
        rates = {}
        for make in brokers[first:] + brokers[:first]:
            with make() as broker:
                rates[broker.name] = self.produce(broker, codec, 0, load="full", **extra)["records_per_s"]
                if broker.name == "null":
                    continue
                consumed = run_program("kcons", "--pid", broker.pid, broker.kafka)[0]
                self.report.add(consumed, broker=broker.name, codec=codec, **extra)
                if not self.options.full_only:
                    self.produce(broker, codec, rates[broker.name] / 2, load="half", **extra)
        if not self.options.full_only:
            with NullBroker(self.directory("null")) as broker:
                self.produce(broker, codec, rates["spillway"] / 2, load="half", **extra)

    def produce(self, server, codec, rate, **extra):
        seconds = self.options.seconds
        label = "limit.client" if server.name == "null" else "produce"
        before = counters(server)
        result = run_program("kprod", "--codec", codec, "--bytes", extra["size"], "--rate", rate, "--seconds",
                             seconds, "--warmup", min(10, seconds / 2), "--seed", self.options.seed,
                             "--pid", server.pid, "--label", label, server.kafka)[0]
        return self.report.add(result, broker=server.name, **stored_since(server, before), **extra)

    def peers_verdict(self):
        report = self.report
        names = {"spillway": "spillway", "kafka-fsync": "kafka-fsync", "kafka-nosync": "kafka-nosync",
                 "null": "limit.client"}
        for codec in self.options.codecs:
            for size in self.options.sizes:
                rows = []
                for name, title in names.items():
                    match = {"broker": name, "codec": codec, "size": size}
                    full = {**match, "load": "full"}
                    rows.append([title, *(report.median(f, **full)
                                          for f in ("records_per_s", "mb_per_s", "broker_cpu_s_per_million",
                                                    "client_cpu_s_per_million", "broker_peak_rss_mb")),
                                 *(report.median(f, load="half", **match)
                                   for f in ("rate_per_s", "p50_ms", "p99_ms")),
                                 report.median("records_per_s", bench="consume", **match),
                                 report.median("broker_cpu_s_per_million", bench="consume", **match)])
                report.table(f"{size}-byte records, {codec} (medians)",
                             ["broker", "records/s", "MB/s", "CPU s/M", "client's", "RSS MB", "half/s", "p50 ms",
                              "p99 ms", "consumed/s", "CPU s/M"], rows)
                self.peers_checks(codec, size)
        return report.verdict()

    def peers_checks(self, codec, size):
        report = self.report
        match = {"load": "full", "codec": codec, "size": size}
        ours = report.matching(broker="spillway", **match)

        def ratio(name):
            """The middle of the runs' ratios of Spillway's rate to that of `name`."""
            theirs = report.values("records_per_s", broker=name, **match)
            return middle([r["records_per_s"] / other for r, other in zip(ours, theirs)])

        def middle(values):
            return sorted(values)[len(values) // 2]

        what = f"{size} bytes, {codec}"
        client = report.median("records_per_s", broker="null", **match)
        report.check(f"{what}: against Kafka with fsync", ratio("kafka-fsync"), 2, True, None, "x",
                     (f"limit.client, {client:,.0f} records/s", ratio("null"), 0.8))
        packed = middle([r["mb_per_s"] / (r["lz4_ratio"] if codec == "lz4" else 1) / r["sync_mb_per_s"]
                         for r in ours])
        report.check(f"{what}: against Kafka without fsync", ratio("kafka-nosync"), 1, True, None, "x",
                     ("limit.sync's MB/s", packed, 0.8))
        if size == 200:
            self.check_cpu(f"{what}: broker CPU s per million", 0.25, "broker_cpu_s_per_million",
                           broker="spillway", **match)

    # ---- state and recovery: recovery.py, restore.py -----------------------------------------------------------

    def cdc(self):
        return recovery.cdc(self, run_program)

    def restore(self):
        return restore.restore(self)

    # ---- parquet -----------------------------------------------------------------------------------

    def parquet(self):
        """Our writer and reader beside pyarrow and DuckDB, one thread each, in turn on the same rows."""
        python = os.path.join(ROOT, ".venv/bin/python")
        peers = os.path.join(ROOT, "bench/parquet_peers.py")
        path = self.directory("events.parquet")
        for run in range(self.options.runs):
            ours = run_program("parquet_bench", "write", path, 1000000, self.options.seed)
            ours += run_program("parquet_bench", "read", path)
            for result in ours:
                self.report.add(result, run=run)
            for peer in ("pyarrow", "duckdb"):
                done = subprocess.run([python, peers, path, str(ours[0]["input_bytes"]), peer],
                                      stdout=subprocess.PIPE, text=True)
                if done.returncode != 0:
                    raise Failed(f"{peer} ended with status {done.returncode} (./x bench installs it)")
                for line in done.stdout.splitlines():
                    self.report.add(json.loads(line), run=run)
        return self.parquet_verdict()

    def parquet_verdict(self):
        report = self.report
        rows = [[library] + [report.median(field, bench="parquet", library=library, mode=mode)
                             for mode, field in (("write", "mb_per_s"), ("write", "file_bytes"), ("read", "mb_per_s"))]
                for library in ("spillway", "pyarrow", "duckdb")]
        report.table("parquet: 1,000,000 events, zstd 1, one thread (medians, per CPU second)",
                     ["library", "write MB/s", "file bytes", "read MB/s"], rows)
        ours, theirs = (report.values("mb_per_s", bench="parquet", library=library, mode="write")
                        for library in ("spillway", "pyarrow"))
        ratios = sorted(a / b for a, b in zip(ours, theirs))
        report.check("writing against pyarrow", ratios[len(ratios) // 2], 1, True, None, "x")
        report.check("writing, MB of input per CPU second", sorted(ours)[len(ours) // 2], 246, True, 300)
        report.check("reading, MB of values per CPU second",
                     report.median("mb_per_s", bench="parquet", library="spillway", mode="read"), 500, True)
        return report.verdict()

    # ---- start and idle ----------------------------------------------------------------------------

    def start(self):
        server = Spillway(self.directory("data"))
        first = server.start()
        server.stop()
        self.report.add({"bench": "start", "mode": "first", "ms": round(first * 1e3, 2)})
        for run in range(20):
            took = server.start()
            server.stop()
            self.report.add({"bench": "start", "mode": "again", "run": run, "ms": round(took * 1e3, 2)})
        server.remove()
        again = self.report.median("ms", bench="start", mode="again")
        self.report.table("exec to `ready`", ["start", "ms"],
                          [["the very first", first * 1e3], ["again (median of 20)", again]])
        self.report.check("start on an initialised empty directory, ms", again, 15, False)
        return self.report.verdict()

    def idle(self):
        with Spillway(self.directory("data")) as server:
            time.sleep(3)
            cpu, wakeups = thread_totals(server.pid)
            time.sleep(60)
            cpu_after, wakeups_after = thread_totals(server.pid)
            rss = status_kib(server.pid, "VmRSS") * 1024 / 1e6
        result = self.report.add({"bench": "idle", "seconds": 60, "rss_mb": round(rss, 2),
                                  "cpu_ms": round((cpu_after - cpu) / 1e6, 2),
                                  "wakeups": wakeups_after - wakeups})
        self.report.check("idle: RSS MB", result["rss_mb"], 10, False)
        self.report.check("idle: CPU ms in 60 s", result["cpu_ms"], 10, False)
        self.report.check("idle: wake-ups in 60 s", result["wakeups"], 60, False)
        return self.report.verdict()


def counters(server):
    """Spillway's own metrics without labels, by name; empty for others."""
    if server.name != "spillway":
        return {}
    request = urllib.request.Request(f"http://{server.http}/metrics",
                                     headers={"Authorization": "Bearer " + TOKEN})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            text = reply.read().decode()
    except (urllib.error.URLError, OSError) as e:
        raise Failed(f"no metrics from {server.http}: {e}") from e
    rows = (line.split() for line in text.splitlines() if line.startswith("spillway_") and "{" not in line)
    return {name.removeprefix("spillway_"): float(value) for name, value in rows}


def stored_since(server, before):
    """What Spillway stored since its counters were `before`, and the share of it for which it took new pages
    of the page cache: neither written past it nor into pages that it had dropped before."""
    if not before:
        return {}
    after = counters(server)
    stored, direct, dropped = (after[name] - before[name] for name in
                               ("commit_bytes_total", "direct_write_bytes_total", "page_cache_dropped_bytes_total"))
    return {"stored_bytes": stored, "fresh_share": round(max(0.0, 1 - (direct + dropped) / max(stored, 1)), 3)}


def thread_totals(pid):
    """Nanoseconds on a CPU and voluntary context switches of all threads."""
    cpu = wakeups = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f:
            cpu += int(f.read().split()[0])
        with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as f:
            wakeups += sum(int(line.split()[1]) for line in f
                           if line.startswith("voluntary_ctxt_switches"))
    return cpu, wakeups


def status_kib(pid, field):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(field + ":"))


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(prog="./x bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME",
                        choices=("ingest", "fetch", "peers", "start", "idle", "cdc", "restore", "parquet"),
                        help="ingest, fetch, peers, start, idle, cdc, restore, parquet")
    parser.add_argument("--runs", type=int, default=5, help="interleaved runs (5)")
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement (10)")
    parser.add_argument("--seed", type=int, default=1, help="of the events (1)")
    parser.add_argument("--directory", help="where the data goes; on a disk, not tmpfs (/var/tmp)")
    parser.add_argument("--build", help="build directory to measure (build-release, else build)")
    parser.add_argument("--shapes", type=int, nargs="+", default=list(SHAPES), choices=list(SHAPES),
                        help="ingest: events in each request (1 100 1000)")
    parser.add_argument("--gigabytes", type=float, default=2, help="fetch: size of the log (2)")
    parser.add_argument("--codecs", nargs="+", default=["lz4", "none"], help="peers: (lz4 none)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 1024], help="peers: (200 1024)")
    parser.add_argument("--full-only", action="store_true", help="peers: not at half load")
    parser.add_argument("--documents", type=int, default=1000000, help="cdc, restore: (1000000)")
    parser.add_argument("--changes", type=int, default=1000000, help="cdc, restore: after those (1000000)")
    parser.add_argument("--large", action="store_true", help="restore: memory with ten times the documents")
    parser.add_argument("--postgres", action="store_true", help="restore: beside PostgreSQL's recovery of the same rows")
    return parser.parse_args(arguments)


def check_surroundings(names, work):
    kind = subprocess.run(["stat", "-f", "-c", "%T", work], capture_output=True, text=True).stdout
    if "tmpfs" in kind:
        raise Failed(f"{work} is in memory: give --directory on a disk")
    if "ingest" in names and not os.access(NGINX, os.X_OK):
        raise Failed("nginx is missing: ./x bench installs it")


def main():
    options = parse_arguments(sys.argv[1:])
    if options.build:
        build_choice[:] = [os.path.abspath(options.build)]
    work = tempfile.mkdtemp(prefix="spillway-bench.", dir=options.directory or "/var/tmp")
    os.chmod(work, 0o755)  # nginx's worker is another user
    status = 0
    try:
        check_surroundings(options.names, work)
        for name in options.names:
            status |= getattr(Bench(options, work), name)()
    except Failed as failure:
        print(f"bench: {failure}", file=sys.stderr)
        status = 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
