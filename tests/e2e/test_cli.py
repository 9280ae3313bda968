"""The commands beside `serve`: ingest, tail, log, status."""
import json
import os
import re
import socket
import subprocess
import threading

import pytest
from conftest import SPILLWAY, clean_environment

TS = "2026-11-20T12:00:00Z"


def event(n, kind="page.view"):
    return f'{{"type": "{kind}", "ts":"{TS}", "n":{n}}}'


def url(server):
    return f"http://{server.http}"


def values(server):
    return [message.value().decode() for message in server.consume()]


# ---- ingest --------------------------------------------------------------------------------------


@pytest.mark.short
def test_ingest_reads_lines_and_arrays_byte_for_byte(server, run, tmp_path):
    lines = [event(n) for n in range(2500)]
    (tmp_path / "lines.ndjson").write_text("\n".join(lines[:1]) + "\n\n" + "\r\n".join(lines[1:]))
    done = run("ingest", "--server", url(server), "--json", tmp_path / "lines.ndjson")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["events"] == 2500 and result["requests"] == 3 and result["position"] == "events/0/2499"
    assert values(server) == lines
    array = "[\n" + ",\n".join(lines[:7]) + "\n]\n"
    done = run("ingest", "--server", url(server), "-b", "3", input=array)
    assert done.returncode == 0 and done.stdout.startswith("7 events ingested"), done
    assert values(server)[2500:] == lines[:7]
    assert done.stderr == ""  # no bar where standard error is no terminal


@pytest.mark.short
def test_a_bar_is_drawn_on_a_terminal(server, tmp_path):
    (tmp_path / "events").write_text("\n".join(event(n) for n in range(5000)))
    ours, theirs = os.openpty()
    done = subprocess.run([SPILLWAY, "ingest", "--server", url(server), tmp_path / "events"], stderr=theirs,
                          stdout=subprocess.PIPE, text=True, env=clean_environment(), timeout=60, check=True)
    os.close(theirs)
    drawn = os.read(ours, 65536).decode()
    os.close(ours)
    assert re.search(r"events +\d+% \[#+ *\] [\d.]+ MB  \d+ events/s  ETA \d+:\d\d", drawn), drawn
    assert drawn.endswith("\r\x1b[K")  # and taken away again
    assert done.stdout.startswith("5000 events ingested")


@pytest.mark.short
def test_ingest_of_nothing_is_a_success(server, run):
    for nothing in ("", "\n\n", "[]", " [ ] \n"):
        done = run("ingest", "--server", url(server), "--json", input=nothing)
        assert done.returncode == 0 and json.loads(done.stdout)["events"] == 0, done


@pytest.mark.short
def test_the_same_import_run_again_stores_nothing_twice(server, run):
    lines = "\n".join(event(n) for n in range(30))
    for repeat in range(2):
        done = run("ingest", "--server", url(server), "--key", "import-1", "-b", "10", "--json", input=lines)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["deduplicated"] == 30 * repeat
    assert len(values(server)) == 30


@pytest.mark.short
@pytest.mark.parametrize("bad, line", [
    ('{"type":"a"}', 6),
    (event(1, "no spaces please"), 6),
    ('{"type":"a","ts":nope}', 6),
    ("}", 6),
])
def test_ingest_errors_name_the_line(server, run, bad, line):
    lines = [event(n) for n in range(3)] + ["", event(4), bad, event(6)]
    done = run("ingest", "--server", url(server), input="\n".join(lines))
    assert done.returncode == 1 and done.stdout == ""
    assert f"standard input:{line}: the server answered 400" in done.stderr, done.stderr
    assert "0 events before that are stored" in done.stderr
    assert values(server) == []


@pytest.mark.short
@pytest.mark.parametrize("text, says", [
    ('[{"type":"a"', "input:1:"), ("[\n1\n2]", "input:3: a comma or ]"), ("[1] x", "something follows"),
    ("[\n\n", "not closed"), ('[{"a":}]', "input:1:"),
])
def test_a_malformed_array_is_named_by_line(server, run, text, says):
    done = run("ingest", "--server", url(server), input=text)
    assert done.returncode == 1 and says in done.stderr, done.stderr
    assert values(server) == []


@pytest.mark.short
def test_ingest_without_a_server_or_a_file(run, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        done = run("ingest", "--server", f"http://127.0.0.1:{port}", "--retries", "1", input=event(1))
    assert done.returncode == 1 and f"127.0.0.1:{port}" in done.stderr
    done = run("ingest", tmp_path / "missing.ndjson")
    assert done.returncode == 1 and "missing.ndjson" in done.stderr
    for flags in (["--batch", "0"], ["--server", "https://x"], ["--key", "a b"], ["a", "b"]):
        assert run("ingest", *flags, input="").returncode == 2, flags


class LosingProxy:
    """Passes bytes on to the server, but closes every second connection when the reply comes back."""

    def __init__(self, target):
        host, port = target.rsplit(":", 1)
        self.target = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.lost = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        count = 0
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            count += 1
            threading.Thread(target=self.serve, args=(client, count % 2 == 1), daemon=True).start()

    def serve(self, client, lose):
        with client, socket.create_connection(self.target) as server:
            requests = threading.Thread(target=self.copy, args=(client, server), daemon=True)
            requests.start()
            while data := server.recv(65536):
                if lose:
                    self.lost += 1
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)

    @staticmethod
    def copy(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass


@pytest.mark.short
def test_a_lost_reply_is_tried_again_and_stored_once(server, run):
    proxy = LosingProxy(server.http)
    lines = [event(n) for n in range(50)]
    done = run("ingest", "--server", f"http://{proxy.address}", "-b", "10", "--json", input="\n".join(lines))
    proxy.listener.close()
    assert done.returncode == 0, done.stderr
    assert proxy.lost >= 1
    assert json.loads(done.stdout)["deduplicated"] >= 10
    assert values(server) == lines


@pytest.mark.short
def test_ingest_uses_the_token(make_server, run):
    server = make_server(env={"AUTH_TOKEN": "right"})
    done = run("ingest", "--server", url(server), "--token", "wrong", input=event(1))
    assert done.returncode == 1 and "401" in done.stderr
    assert run("ingest", "--server", url(server), "--token", "right", input=event(1)).returncode == 0
    assert run("ingest", "--server", url(server), input=event(2), env={"AUTH_TOKEN": "right"}).returncode == 0
    assert len(values(server)) == 2


# ---- tail ----------------------------------------------------------------------------------------


@pytest.fixture
def filled(server):
    for n, kind in enumerate(["page.view", "track", "page.leave", "webhook.github.push"]):
        server.post("/ingest", '{"events":[{"type":"%s",\r\n"ts":"2026-11-20T12:00:0%dZ"}]}' % (kind, n))
    return server


@pytest.mark.short
def test_tail_chooses_by_type_and_place(filled, run):
    def types(*flags):
        done = run("tail", "--kafka", filled.kafka, "--exit", *flags)
        assert done.returncode == 0, done.stderr
        return [json.loads(line)["type"] for line in done.stdout.splitlines()]

    everything = ["page.view", "track", "page.leave", "webhook.github.push"]
    assert types("--from", "start") == everything
    assert types("--from", "start", "-n", "2") == everything[:2]
    assert types("--from", "2") == everything[2:]
    assert types("--from", "end") == [] and types() == []
    assert types("--from", "2026-11-20T12:00:02Z") == everything[2:]
    assert types("--from", "2026-11-20T13:00:01+01:00") == everything[1:]
    assert types("--from", "start", "page.*") == ["page.view", "page.leave"]
    assert types("--from", "start", "**.push") == ["webhook.github.push"]
    assert types("--from", "start", "webhook.**") == ["webhook.github.push"]
    assert types("--from", "start", "*") == ["track"]


@pytest.mark.short
def test_tail_prints_lines_and_positions(filled, run):
    done = run("tail", "--kafka", filled.kafka, "--from", "1", "-n", "1")
    assert done.stdout == '{"type":"track",  "ts":"2026-11-20T12:00:01Z"}\n'
    done = run("tail", "--kafka", filled.kafka, "--from", "1", "-n", "1", "--json")
    assert json.loads(done.stdout) == {
        "position": "events/0/1", "ts": "2026-11-20T12:00:01.000Z", "type": "track",
        "event": {"type": "track", "ts": "2026-11-20T12:00:01Z"}}


@pytest.mark.short
def test_tail_follows_live(server):
    server.ingest({"type": "before", "ts": TS})
    with subprocess.Popen([SPILLWAY, "tail", "--kafka", server.kafka, "--from", "start", "-n", "3"],
                          env=clean_environment(), stdout=subprocess.PIPE, text=True) as tail:
        assert "before" in tail.stdout.readline()
        server.ingest({"type": "live", "ts": TS})
        assert "live" in tail.stdout.readline()
        server.ingest({"type": "last", "ts": TS}, {"type": "beyond", "ts": TS})
        assert "last" in tail.stdout.readline() and tail.stdout.read() == ""
    assert tail.returncode == 0


@pytest.mark.short
def test_tail_goes_on_after_a_restart_of_the_server(make_server):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = make_server("--dev", "--kafka", f"127.0.0.1:{port}")
    server.ingest({"type": "first", "ts": TS})
    with subprocess.Popen([SPILLWAY, "tail", "--kafka", server.kafka, "--from", "start", "-n", "3"],
                          env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tail:
        assert "first" in tail.stdout.readline()
        server.restart(kill=True)
        server.ingest({"type": "second", "ts": TS})
        assert "second" in tail.stdout.readline()
        server.stop()
        server.start()
        server.ingest({"type": "third", "ts": TS})
        assert "third" in tail.stdout.readline() and tail.stdout.read() == ""
        said = tail.stderr.read().splitlines()
    assert tail.returncode == 0
    assert len(said) == 2 and all(str(port) in line and line.endswith("; trying again") for line in said), said


@pytest.mark.short
def test_tail_of_what_is_not_there(filled, run):
    done = run("tail", "--kafka", filled.kafka, "--stream", "no-such")
    assert done.returncode == 1 and "no-such" in done.stderr
    done = run("tail", "--kafka", filled.kafka, "--namespace", "acme")
    assert done.returncode == 1 and "acme.events" in done.stderr
    done = run("tail", "--kafka", filled.kafka, "--from", "99", "-n", "1")
    assert done.returncode == 1 and "offset" in done.stderr
    done = run("tail", "--kafka", filled.kafka, "--shard", "1")
    assert done.returncode == 1 and "shard 1" in done.stderr
    for flags in (["--from", "2026-11-20T12:00:00"], ["--from", "-1"], ["a..b"], ["--stream", "a", "--namespace", "b"]):
        assert run("tail", "--kafka", filled.kafka, *flags).returncode == 2, flags


# ---- log -----------------------------------------------------------------------------------------


@pytest.mark.short
def test_dump_prints_records_and_batches(filled, run):
    def dump(*flags):
        done = run("log", "dump", "--data", filled.data, *flags)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    assert len(dump()) == 4
    assert dump("events/0/2")[0].startswith('events/0/2 2026-11-20T12:00:02.000Z {"type":"page.leave",')
    assert len(dump("events", "-n", "3")) == 3
    assert [json.loads(line)["position"] for line in dump("-j", "events/0/2")] == ["events/0/2", "events/0/3"]
    batches = [json.loads(line) for line in dump("--batches", "--json", "events")]
    assert sum(batch["records"] for batch in batches) == 4 and batches[0]["codec"] == "none"
    for target, status in (("nowhere", 1), ("events/7", 1), ("events/x", 2), ("/0", 2)):
        assert run("log", "dump", "--data", filled.data, target).returncode == status, target
    assert run("log", "verify", "--data", filled.data / "log").returncode == 1


@pytest.mark.short
def test_verify_as_json(filled, run):
    done = run("log", "verify", "--data", filled.data, "--json")
    (shard,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert (shard["stream"], shard["shard"], shard["nextOffset"], shard["damage"]) == ("events", 0, 4, 0)


# ---- status --------------------------------------------------------------------------------------


@pytest.mark.short
def test_status_of_a_server(filled, run):
    done = run("status", "--server", url(filled))
    assert done.returncode == 0 and "events" in done.stdout and filled.http in done.stdout, done
    both = json.loads(run("status", "--server", url(filled), "--json").stdout)
    assert both["health"]["status"] == "ok"
    (shard,) = both["status"]["shards"]
    assert shard["highWatermark"] == 4 and shard["status"] == "open"
    assert both["status"]["pid"] == filled.pid and both["status"]["kafka"]["address"] == filled.kafka
    filled.stop()
    gone = run("status", "--server", url(filled))
    assert gone.returncode == 1 and gone.stdout == "" and filled.http in gone.stderr


@pytest.mark.short
def test_status_needs_the_admins_token(make_server, run):
    server = make_server(env={"AUTH_TOKEN": "admin", "NAMESPACE_API_KEYS": '{"ns_acme_1":"acme"}'})
    for token, status in (("admin", 0), ("ns_acme_1", 1), ("wrong", 1)):
        done = run("status", "--server", url(server), "--token", token)
        assert done.returncode == status, (token, done.stderr)
    assert server.get("/admin/status").status_code == 401
    assert server.get("/admin/status", headers={"Authorization": "Bearer ns_acme_1"}).status_code == 403
    assert server.get("/health").status_code == 200


# ---- all -----------------------------------------------------------------------------------------


@pytest.mark.short
def test_mistakes_are_explained(run):
    for arguments, says in ((["serv"], "did you mean serve"), (["ingest", "--jsn"], "did you mean --json"),
                            (["tail", "-n"], "needs a value"), (["log"], "verify or dump"), ([], "help"),
                            (["status", "--json=1"], "takes no value"), (["tail", "-n", "x"], "not a number"),
                            (["tail", "-ejn", "x"], "not a number"), (["tail", "-eqj"], "unknown option -eqj")):
        done = run(*arguments)
        assert done.returncode == 2 and done.stdout == "" and says in done.stderr, (arguments, done.stderr)
    for arguments in (["help"], ["help", "tail"], ["--help"], ["tail", "-h"]):
        assert "Example" in run(*arguments).stdout


@pytest.mark.short
def test_a_full_standard_output_is_a_failure(run):
    with open("/dev/full", "w") as full:
        done = subprocess.run([SPILLWAY, "help"], stdout=full, stderr=subprocess.PIPE, text=True,
                              env=clean_environment(), check=False)
    assert done.returncode == 1 and "standard output" in done.stderr
