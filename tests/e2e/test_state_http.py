"""State and recovery over HTTP: documents now and at a moment, changes, history, snapshots, restore."""
import concurrent.futures
import json
import select
import socket
import time
import urllib.parse

import pytest
import requests

TOKENS = {"AUTH_TOKEN": "admin-secret", "NAMESPACE_API_KEYS": '{"ns_acme_0123456789":"acme"}'}


def stamp(second):
    return f"2026-02-02T14:{second // 60:02d}:{second % 60:02d}.000Z"


def change(op, doc_id, doc=None, second=0, collection="users", **fields):
    event = {"type": f"collection.{op}", "ts": stamp(second), "collection": collection, "docId": doc_id, **fields}
    return event if doc is None else {**event, "doc": doc}


def lines(reply, status=200):
    assert reply.status_code == status, reply.text
    return [json.loads(line) for line in reply.text.splitlines()]


def documents(server, path="/state/default/users", **params):
    return {row["id"]: row["doc"] for row in lines(server.get(path, params=params))}


def restore(server, body, collection="users", status=200):
    reply = server.post(f"/restore/default/{collection}", json.dumps(body))
    assert reply.status_code == status, reply.text
    return reply.json()


def fill(server):
    """LSN 0-4 insert a-e, 5 updates b, 6 deletes c, 7 inserts f; a second apart."""
    for n, doc_id in enumerate("abcde"):
        server.ingest(change("insert", doc_id, {"n": n}, n))
    server.ingest(change("update", "b", {"n": 10}, 5, bookmark="mark"))
    server.ingest(change("delete", "c", second=6))
    server.ingest(change("insert", "f", {"n": 6}, 7))


NOW = {"a": {"n": 0}, "b": {"n": 10}, "d": {"n": 3}, "e": {"n": 4}, "f": {"n": 6}}
FIRST = {"a": {"n": 0}, "b": {"n": 1}, "c": {"n": 2}, "d": {"n": 3}, "e": {"n": 4}}


@pytest.mark.short
def test_documents_now_and_at_a_moment(server):
    fill(server)
    rows = lines(server.get("/state/default/users"))
    assert [row["id"] for row in rows] == ["a", "b", "d", "e", "f"]
    assert rows[1] == {"id": "b", "doc": {"n": 10}, "lsn": 5, "ts": stamp(5)}
    assert documents(server) == NOW
    assert documents(server, lsn=4) == FIRST
    assert documents(server, at=stamp(4)) == FIRST
    assert documents(server, at=stamp(5), exclusive="true") == FIRST
    assert documents(server, at="2026-02-02T15:14:04+01:14") == FIRST
    assert documents(server, at="2026-02-02T13:59:59Z") == {}
    assert documents(server, bookmark="mark", exclusive="true") == FIRST
    assert documents(server, bookmark="mark") == {**FIRST, "b": {"n": 10}}
    assert lines(server.get("/state/default/users/b")) == [rows[1]]
    assert lines(server.get("/state/default/users/b?lsn=4"))[0]["doc"] == {"n": 1}
    assert lines(server.get("/state/default/users/c?lsn=5"))[0]["doc"] == {"n": 2}
    assert server.get("/state/default/users/c").status_code == 404
    assert server.get("/state/default/users/f?lsn=6").status_code == 404


def test_the_same_after_a_flush_a_kill_and_a_restart(server):
    fill(server)
    assert server.post("/flush").status_code == 200
    for kill in (True, False):
        server.restart(kill=kill)
        assert documents(server) == NOW
        assert documents(server, lsn=4) == FIRST
        assert lines(server.get("/state/default/users/b?lsn=4"))[0]["doc"] == {"n": 1}


def test_documents_are_what_was_sent(server):
    doc = b'{ "e\\u0301":1.0e+2 ,\r\n "x":[null,{}],"x":"\xf0\x9f\x8d\x8e" }'
    event = b'{"type":"collection.insert","ts":"%s","collection":"c/d e","docId":"i/\\u0000..","doc":%s}'
    body = b'{"events":[' + event % (stamp(0).encode(), doc) + b"]}"
    assert server.post("/ingest", body).status_code == 200
    reply = server.get("/state/default/c%2Fd%20e/i%2F%00..")
    assert reply.status_code == 200, reply.text
    assert doc.replace(b"\r\n", b"  ") in reply.content
    assert lines(server.get("/state/default/c%2Fd%20e"))[0]["id"] == "i/\0.."


def test_a_large_collection_streams_while_writes_go_on(server):
    body = "\n".join(json.dumps(change("insert", f"{n:06d}", {"n": n, "x": "y" * 500})) for n in range(1500))
    for part in range(20):
        text = body.replace('"docId": "', f'"docId": "{part:02d}-')
        assert server.post("/ingest", text, {"Content-Type": "application/x-ndjson"}).status_code == 200
    with requests.get(server.url("/state/default/users"), stream=True, timeout=60) as reply:
        assert reply.headers["Transfer-Encoding"] == "chunked"
        rows = reply.iter_lines()
        first = json.loads(next(rows))
        server.ingest(change("delete", "19-001499"))
        ids = [first["id"]] + [json.loads(row)["id"] for row in rows]
    assert ids == [f"{part:02d}-{n:06d}" for part in range(20) for n in range(1500)]


@pytest.mark.short
def test_changes_and_history(server):
    fill(server)
    first = server.get("/changes/default/users?from=0&limit=5")
    assert [row["lsn"] for row in lines(first)] == [0, 1, 2, 3, 4]
    assert first.headers["X-Next-LSN"] == "5"
    rest = lines(server.get("/changes/default/users?from=5"))
    assert [(row["lsn"], row["op"], row["docId"]) for row in rest] == [(5, "update", "b"), (6, "delete", "c"), (7, "insert", "f")]
    assert rest[0]["bookmark"] == "mark" and rest[0]["doc"] == {"n": 10} and "doc" not in rest[1]
    history = lines(server.get("/state/default/users/b/history"))
    assert [(row["lsn"], row["doc"]["n"]) for row in history] == [(1, 1), (5, 10)]
    server.ingest(change("update", "a", {"n": 1}, 8, expect=99))
    assert lines(server.get("/changes/default/users?from=8"))[0]["skipped"] is True
    assert lines(server.get("/state/default/users/a/history"))[1]["skipped"] is True
    assert documents(server) == NOW


def test_long_polls_wake_with_the_change(server):
    fill(server)
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        polls = [pool.submit(server.get, "/changes/default/users?from=8&wait=25") for _ in range(20)]
        server.ingest(change("insert", "other", {}, collection="others"))
        server.ingest(change("insert", "g", {"n": 7}, 8))
        assert {tuple(row["docId"] for row in lines(poll.result())) for poll in polls} == {("g",)}
    begin = time.monotonic()
    assert lines(server.get("/changes/default/users?from=10&wait=1")) == []
    assert time.monotonic() - begin < 20


def slow_reader(server, path):
    """A connection that has asked, got the first bytes and stopped reading."""
    host, port = server.http.split(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sock.settimeout(60)
    sock.connect((host, int(port)))
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
    assert sock.recv(100).startswith(b"HTTP/1.1 200 OK")
    return sock


def read_rest(sock):
    rest = b""
    try:
        while piece := sock.recv(1 << 20):
            rest = rest[-100:] + piece
    except ConnectionResetError:
        pass
    return rest


def read_rest_until_last_chunk(sock):
    rest = b""
    while not rest.endswith(b"\r\n0\r\n\r\n"):
        piece = sock.recv(1 << 20)
        if not piece:
            return False
        rest = rest[-100:] + piece
    return True


def test_a_stop_answers_long_polls_and_lets_go_of_slow_readers(server):
    ingest_many(server, "insert", 30000, lambda k: {"n": k, "x": "y" * 500})
    patient = slow_reader(server, "/state/default/users")
    assert read_rest_until_last_chunk(patient)
    slow = slow_reader(server, "/state/default/users")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        polls = [pool.submit(server.get, "/changes/default/users?from=30000&wait=55") for _ in range(4)]
        assert server.get("/state/default/users/00001").status_code == 200
        begin = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begin < 25
        for poll in polls:  # one that came too late was refused
            assert poll.exception() is not None or lines(poll.result()) == []
    assert not read_rest(slow).endswith(b"0\r\n\r\n")  # cut: nobody takes it for the whole


@pytest.mark.short
def test_restore_dry_run_in_place_and_undo(server):
    fill(server)
    plan = restore(server, {"lsn": 4, "dryRun": True})
    assert (plan["inserts"], plan["updates"], plan["deletes"]) == (1, 1, 1)
    assert documents(server) == NOW
    done = restore(server, {"lsn": 4})
    assert done["lsnRange"] == [8, 10] and done["skipped"] == []
    assert (done["inserts"], done["updates"], done["deletes"]) == (1, 1, 1)
    assert documents(server) == FIRST
    again = restore(server, {"lsn": 4})
    assert again["lsnRange"] is None
    events = [json.loads(m.value()) for m in server.consume()][8:]
    assert all(event["restore"]["target"] == {"lsn": 4} for event in events)
    assert len({event["restore"]["id"] for event in events}) == 1
    undone = restore(server, {"undo": "8..10"})
    assert undone["inserts"] + undone["updates"] + undone["deletes"] == 3
    assert documents(server) == NOW


def test_the_command_restores_through_the_server(server, run):
    fill(server)
    place = ("default/users", "--server", server.url(""))
    assert "1 inserts, 1 updates, 1 deletes against the current state" in run("restore", *place, "--lsn", 4, "--in-place", "--dry-run").stdout
    assert documents(server) == NOW
    done = run("restore", *place, "--lsn", 4, "--in-place")
    assert done.returncode == 0 and "LSN 8 to 10" in done.stdout, done.stderr
    assert documents(server) == FIRST
    assert run("restore", *place, "--undo", "8..10", "--in-place").returncode == 0
    assert documents(server) == NOW
    refused = run("restore", *place, "--lsn", 99, "--in-place")
    assert refused.returncode == 1 and "400" in refused.stderr


def test_restore_of_some(server):
    fill(server)
    restore(server, {"lsn": 4, "maxChanges": 2}, status=400)
    assert documents(server) == NOW
    restore(server, {"lsn": 4, "only": "deletes"})
    assert documents(server) == {**NOW, "c": {"n": 2}}
    restore(server, {"lsn": 4, "ids": ["b", "nobody"]})
    assert documents(server) == {**NOW, "c": {"n": 2}, "b": {"n": 1}}


def ingest_many(server, op, count, doc, second=0):
    for first in range(0, count, 1000):
        server.ingest(*[change(op, f"{k:05d}", doc(k), second) for k in range(first, min(count, first + 1000))])


def test_writers_beside_a_restore_win(server):
    count = 5000
    ingest_many(server, "insert", count, lambda k: {"n": k})
    ingest_many(server, "delete", count, lambda k: None, 1)
    written = {}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(restore, server, {"lsn": count - 1})
        for k in range(count - 1, 0, -50):
            written[f"{k:05d}"] = server.ingest(change("insert", f"{k:05d}", {"mine": k}, 2))["lsn"]
        done = running.result()
    now = documents(server)
    assert len(now) == count
    first, last = done["lsnRange"]
    for doc_id, doc in now.items():
        mine, theirs = {"mine": int(doc_id)}, {"n": int(doc_id)}
        if doc_id not in written:
            assert doc == theirs
        elif written[doc_id] > first:  # the restore had looked by then
            assert doc == mine
        else:
            assert doc in (mine, theirs)
    assert done["skippedCount"] == len(done["skipped"])
    for row in done["skipped"]:
        assert row["docId"] in written and first <= row["lsn"] <= last
        assert now[row["docId"]] == {"mine": int(row["docId"])}


def test_a_restore_killed_half_way_converges(server):
    count = 20000
    ingest_many(server, "insert", count, lambda k: {"n": k})
    ingest_many(server, "update", count, lambda k: {"n": -1}, 1)
    wanted = {f"{k:05d}": {"n": k} for k in range(count)}
    end = 2 * count
    for _ in range(2):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(restore, server, {"lsn": count - 1})
            seen = lines(server.get(f"/changes/default/users?from={end}&wait=20&limit=1"))
            server.kill()
            running.exception()  # it may have been done already
        server.start()
        assert seen[0]["restore"]["target"] == {"lsn": count - 1}
        now = documents(server)
        assert all(doc in ({"n": -1}, wanted[doc_id]) for doc_id, doc in now.items())
        assert now[seen[0]["docId"]] == wanted[seen[0]["docId"]]
        if now == wanted:
            break
        end = int(server.get("/changes/default/users?from=" + str(end) + "&limit=100000").headers["X-Next-LSN"])
    restore(server, {"lsn": count - 1})
    assert documents(server) == wanted
    assert restore(server, {"lsn": count - 1})["lsnRange"] is None


def test_snapshots(server):
    fill(server)
    assert server.get("/snapshots/default/users").json() == {"snapshots": []}
    made = server.post("/snapshots/default/users")
    assert made.status_code == 201, made.text
    made = made.json()
    assert made["rowCount"] == 5 and made["lsn"] == 7 and made["type"] == "manual"
    server.ingest(change("delete", "a", second=8))
    assert server.get("/snapshots/default/users").json() == {"snapshots": [made]}
    assert documents(server, snapshot=made["name"]) == NOW
    restore(server, {"snapshot": made["name"]})
    assert documents(server) == NOW


def test_collections(server):
    fill(server)
    server.ingest(change("insert", "x", {}, collection="a/b"))
    rows = {row["name"]: row for row in server.get("/collections/default").json()["collections"]}
    assert set(rows) == {"users", "a/b"}
    assert rows["users"]["count"] == 5 and rows["users"]["lastLsn"] == 7 and rows["users"]["maxTs"] == stamp(7)
    assert rows["users"]["snapshots"] == 0
    server.post("/snapshots/default/users")
    rows = {row["name"]: row for row in server.get("/collections/default").json()["collections"]}
    assert (rows["users"]["snapshots"], rows["a/b"]["snapshots"]) == (1, 0)


def test_snapshots_in_one_second_and_their_end(server):
    fill(server)
    made = [server.post("/snapshots/default/users") for _ in range(6)]  # of one LSN; some in the same second
    assert {reply.status_code for reply in made} == {201}
    names = sorted({reply.json()["name"] for reply in made})
    assert len(names) < 6
    assert sorted(row["name"] for row in server.get("/snapshots/default/users").json()["snapshots"]) == names
    for name in names:
        url = server.url(f"/snapshots/default/users/{name}")
        assert requests.delete(url, timeout=30).json() == {"ok": True}
        assert requests.delete(url, timeout=30).status_code == 404
    assert server.get("/snapshots/default/users").json() == {"snapshots": []}
    assert not list((server.data / "store/default/users/snapshots").glob("*.parquet"))
    assert documents(server, lsn=4) == FIRST


def test_a_snapshot_that_is_needed_stays(server):
    fill(server)
    first = server.post("/snapshots/default/users").json()["name"]
    url = server.url("/snapshots/default/users/")
    cleaned = server.post("/snapshots/default/users/cleanup", '{"windowDays":0}').json()
    assert [row["path"].split("/")[2] for row in cleaned["removed"]] == ["deltas"]
    refused = requests.delete(url + first, timeout=30)
    assert refused.status_code == 409 and refused.json()["code"] == "CONFLICT" and first in refused.json()["error"]
    assert documents(server, lsn=7) == NOW
    server.ingest(change("delete", "a", second=8))
    second = server.post("/snapshots/default/users").json()["name"]
    assert requests.delete(url + second, timeout=30).status_code == 200  # the first and the deltas reach there
    assert documents(server, lsn=7) == NOW and documents(server).keys() == NOW.keys() - {"a"}
    server.post("/snapshots/default/users")
    server.post("/snapshots/default/users/cleanup", '{"windowDays":0}')
    assert requests.delete(url + first, timeout=30).status_code == 200  # a newer one stands in for the deltas now
    assert server.get("/state/default/users?lsn=7").status_code == 400


def test_a_cleanup_on_demand(server):
    fill(server)
    server.post("/snapshots/default/users")
    path = server.data / "store/default/users/snapshots"
    orphan = path / "2020-01-01.parquet"
    orphan.write_bytes(next(path.glob("*.parquet")).read_bytes())
    for dry in (True, False):
        reply = server.post("/snapshots/default/users/cleanup", json.dumps({"dryRun": dry}))
        assert reply.status_code == 200, reply.text
        assert reply.json() == {"ok": True, "dryRun": dry, "removed": [
            {"path": "default/users/snapshots/2020-01-01.parquet", "size": next(path.glob("2026*")).stat().st_size}]}
        assert orphan.exists() == dry
    assert server.post("/snapshots/default/users/cleanup").json()["removed"] == []
    assert documents(server) == NOW
    assert server.post("/snapshots/nowhere/users/cleanup").status_code == 404


@pytest.mark.short
def test_limits_metrics_and_what_pages_may_read(make_server):
    server = make_server(env={"AUTH_TOKEN": "t", "RATE_LIMIT_REQUESTS_PER_MINUTE": "6", "ALLOWED_ORIGINS": "https://app.example.com"})
    asked = {"Authorization": "Bearer t", "Origin": "https://app.example.com"}
    if time.time() % 60 > 50:  # not across the turn of a minute
        time.sleep(61 - time.time() % 60)
    event = {"events": [change("insert", "a", {})]}
    assert requests.post(server.url("/ingest"), json=event, headers=asked, timeout=30).status_code == 200
    reply = server.get("/changes/default/users?from=0", headers=asked)
    assert len(lines(reply)) == 1 and reply.headers["X-RateLimit-Remaining-Requests"] == "4"
    exposed = {name.strip().lower() for name in reply.headers["Access-Control-Expose-Headers"].split(",")}
    own = {name.lower() for name in reply.headers if name.lower().startswith("x-")}
    assert {"x-next-lsn", "x-ratelimit-reset", "x-correlation-id"} <= own <= exposed
    assert "retry-after" in exposed
    bad = server.get("/state/default/users?lsn=x", headers=asked)  # tells where its sender stands, and is not counted
    assert bad.status_code == 400 and bad.headers["X-RateLimit-Remaining-Requests"] == "4"
    streamed = server.get("/state/default/users", headers=asked)
    assert streamed.headers["X-RateLimit-Remaining-Requests"] == "3"
    assert server.post("/snapshots/default/users", headers=asked).status_code == 201
    assert server.post("/restore/default/users", '{"undo":"0..0"}', asked).json()["deletes"] == 1
    assert server.post("/flush", headers=asked).status_code == 200
    over = server.get("/state/default/users", headers=asked)
    assert over.status_code == 429 and over.json()["code"] == "RATE_LIMITED" and int(over.headers["Retry-After"]) >= 1
    assert server.get("/state/default/users").status_code == 401
    metrics = server.get("/metrics").text
    for line in ("spillway_snapshots_total 1", "spillway_restored_changes_total 1"):
        assert f"\n{line}\n" in metrics, line


BAD = [
    ("GET", "/state/default/users?at=2026-02-02T14:30:00", None, 400, "zone"),
    ("GET", "/state/default/users?at=2999-01-01T00:00:00Z", None, 400, "future"),
    ("GET", "/state/default/users?lsn=1000", None, 400, "VALIDATION_ERROR"),
    ("GET", "/state/default/users?lsn=-1", None, 400, "whole number"),
    ("GET", "/state/default/users?bookmark=none", None, 404, "none"),
    ("GET", "/state/default/users?snapshot=none", None, 404, "none"),
    ("GET", "/state/default/users?snapshot=../../x", None, 404, "NOT_FOUND"),
    ("GET", "/state/default/nothing", None, 404, "nothing"),
    ("GET", "/state/default/nothing?lsn=0", None, 404, "nothing"),
    ("GET", "/state/default/nothing/x/history", None, 404, "nothing"),
    ("GET", "/state/nowhere/users", None, 404, "nowhere"),
    ("GET", "/state/default/" + "c" * 300, None, 400, "256"),
    ("GET", "/state/default/..", None, 404, "NOT_FOUND"),
    ("GET", "/state/default/%2e%2e%2fevents", None, 404, "NOT_FOUND"),
    ("GET", "/state/default/users/%00", None, 404, "NOT_FOUND"),
    ("GET", "/state/default/users/" + "d" * 1100, None, 400, "1024"),
    ("GET", "/state/default/users?time=2026-02-02T14:30:00Z", None, 400, "time"),
    ("GET", "/state/default/users?lsn=1&lsn=2", None, 400, "twice"),
    ("GET", "/state/default/users?lsn=1&latest=true", None, 400, "give one of"),
    ("GET", "/state/default/users?latest=true&exclusive=true", None, 400, "exclusive"),
    ("GET", "/state/default/users%00x", None, 400, "NUL"),
    ("GET", "/changes/default/users?from=100", None, 400, "beyond the end"),
    ("GET", "/changes/default/users?since=1", None, 400, "from, limit, wait"),
    ("GET", "/collections/default?at=1", None, 400, "no parameters"),
    ("POST", "/restore/default/users?dryRun=true", '{"lsn":4}', 400, "dryRun"),
    ("POST", "/restore/default/users", '{"undo":"3..1"}', 400, "lesser first"),
    ("POST", "/snapshots/default/nothing/cleanup", "", 404, "nothing"),
    ("POST", "/restore/default/users", "", 400, "INVALID_JSON"),
    ("POST", "/restore/default/users", "{}", 400, "target"),
    ("POST", "/restore/default/users", '{"at":"2026-02-02T14:30:00"}', 400, "2026-02-02T15:30:00+01:00"),
    ("POST", "/restore/default/users", '{"at":"2999-01-01T00:00:00Z"}', 400, "future"),
    ("POST", "/restore/default/users", '{"lsn":4,"dryrun":true}', 400, "dryrun"),
    ("POST", "/restore/default/nothing", '{"lsn":4}', 404, "nothing"),
    ("POST", "/snapshots/default/nothing", "", 404, "nothing"),
]


@pytest.mark.short
def test_bad_requests_say_what_is_wrong_and_change_nothing(server):
    fill(server)
    session = requests.Session()
    problems = []
    for method, path, body, status, text in BAD:
        prepared = requests.Request(method, server.url("/"), data=body).prepare()
        prepared.url = server.url(path)  # requests would tidy the path up
        reply = session.send(prepared, timeout=30)
        if reply.status_code != status or text not in reply.text or "error" not in reply.text:
            problems.append((method, path, body, reply.status_code, reply.text))
    assert problems == []
    assert documents(server) == NOW
    assert len(server.consume()) == 8


def test_a_namespace_key_reads_its_own_namespace(make_server):
    server = make_server(env=TOKENS)
    acme = {"Authorization": "Bearer ns_acme_0123456789"}
    admin = {"Authorization": "Bearer admin-secret"}
    event = json.dumps({"events": [change("insert", "a", {"n": 1})]})
    for headers in (acme, admin):
        assert server.post("/ingest", event, headers).status_code == 200
    for path in ("/state/{}/users", "/state/{}/users/a", "/state/{}/users/a/history", "/changes/{}/users",
                 "/snapshots/{}/users", "/collections/{}"):
        assert server.get(path.format("acme"), headers=acme).status_code == 200, path
        assert server.get(path.format("acme"), headers=admin).status_code == 200, path
        assert server.get(path.format("default"), headers=acme).status_code == 403, path
        assert server.get(path.format("acme")).status_code == 401, path
    for path in ("/restore/default/users", "/snapshots/default/users"):
        assert server.post(path, '{"lsn":0}', acme).status_code == 403, path
    assert server.post("/flush", headers=acme).status_code == 200
    assert server.post("/flush", headers=admin).status_code == 200
    assert server.post("/flush").status_code == 401


def test_bodies_in_the_making_have_a_bound_together(server):
    fill(server)
    host, port = server.http.split(":")
    size = 4 << 20
    sockets = []
    for _ in range(17):  # one more than fits; the last byte of none comes
        sock = socket.create_connection((host, int(port)), 30)
        sock.sendall(b"POST /restore/default/users HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%s" % (size, b" " * (size - 1)))
        sockets.append(sock)
    refused, _, _ = select.select(sockets, [], [], 30)
    assert len(refused) == 1  # the one that came last
    assert refused[0].recv(4096).startswith(b"HTTP/1.1 503 ")
    for sock in sockets:
        sock.close()
    assert documents(server) == NOW


def test_ids_in_paths(server):
    ids = ["a/b", "..", ".", "%2e", "ü", "a b", "a+b", "🍎", "x" * 1000, '"', "\\", "?", "#"]
    server.ingest(*[change("insert", doc_id, {"n": n}) for n, doc_id in enumerate(ids)])
    for n, doc_id in enumerate(ids):
        path = "/state/default/users/" + urllib.parse.quote(doc_id, safe="").replace(".", "%2E")
        prepared = requests.Request("GET", server.url("/")).prepare()
        prepared.url = server.url(path)
        reply = requests.Session().send(prepared, timeout=30)
        assert reply.status_code == 200, (doc_id, reply.text)
        assert reply.json()["id"] == doc_id and reply.json()["doc"] == {"n": n}
