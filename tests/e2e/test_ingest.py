"""POST /ingest: what is taken, what is refused, and that a refusal stores nothing."""
import gzip
import io
import json
import uuid

import pytest
import requests
import zstandard

NOW = "2026-11-20T12:00:00.000Z"


def event(**fields):
    return {"type": "order.paid", "ts": NOW, **fields}


def values(server, **kwargs):
    return [m.value() for m in server.consume(**kwargs)]


@pytest.mark.short
def test_events_come_back_byte_for_byte(server):
    first = b'{ "type":"a.b" ,"ts":"2026-11-20T12:00:00Z", "n":1.0e+2,"s":"\\u00e9\xc3\xa9" }'
    second = b'{"ts":"2026-11-20T12:00:00+02:00","type":"c","deep":{"x":[1,{"y":null}]}}'
    reply = server.post("/ingest", b'{"events":[' + first + b" ,\n" + second + b"]}")
    assert reply.status_code == 200, reply.text
    body = reply.json()
    assert body["ok"] is True and body["received"] == 2
    assert (body["namespace"], body["stream"], body["shard"], body["lsn"]) == ("default", "events", 0, 1)
    messages = server.consume()
    assert [m.value() for m in messages] == [first, second]
    assert [dict(m.headers())["type"] for m in messages] == [b"a.b", b"c"]
    assert [m.key() for m in messages] == [None, None]
    assert messages[1].timestamp()[1] == 1795168800000  # 10:00:00 UTC
    assert [m.offset() for m in messages] == [0, 1]


def test_arrays_ndjson_and_the_short_path(server):
    lines = [json.dumps(event(n=n)).encode() for n in range(6)]
    assert server.post("/e", b"[" + lines[0] + b"," + lines[1] + b"]").json()["received"] == 2
    ndjson = {"Content-Type": "application/x-ndjson"}
    assert server.post("/ingest", b"\n".join(lines[2:4]) + b"\n", ndjson).json()["received"] == 2
    assert server.post("/ingest", b"\r\n".join(lines[4:6]), ndjson).json()["received"] == 2
    assert values(server) == lines


@pytest.mark.short
def test_compressed_bodies(server):
    body = json.dumps({"events": [event(n=n) for n in range(500)]}).encode()
    assert server.post("/ingest", gzip.compress(body), {"Content-Encoding": "gzip"}).json()["received"] == 500
    packed = zstandard.ZstdCompressor().compress(body)
    assert server.post("/ingest", packed, {"Content-Encoding": "zstd"}).json()["received"] == 500
    assert server.post("/ingest", body, {"Content-Encoding": "br"}).status_code == 415
    assert server.post("/ingest", gzip.compress(body)[:-20], {"Content-Encoding": "gzip"}).status_code == 400
    assert len(server.consume()) == 1000


def test_an_empty_events_array(server):
    reply = server.post("/ingest", b'{"events":[]}')
    assert reply.status_code == 200 and reply.json()["received"] == 0
    assert server.consume() == []


@pytest.mark.short
def test_a_repeated_batch_is_stored_once(server):
    first = server.ingest(event(n=1), event(n=2), batchId="b-1")
    again = server.ingest(event(n=1), event(n=2), batchId="b-1")
    assert "deduplicated" not in first
    assert again["deduplicated"] is True
    assert (again["lsn"], again["received"]) == (first["lsn"], 2)
    server.restart(kill=True)
    assert server.ingest(event(n=3), batchId="b-1")["deduplicated"] is True
    server.restart()
    assert server.ingest(event(n=3), batchId="b-1")["deduplicated"] is True
    assert len(server.consume()) == 2


def test_idempotency_key_with_another_body(server):
    key = {"Idempotency-Key": str(uuid.uuid4())}
    body = json.dumps({"events": [event(n=1)]})
    assert server.post("/ingest", body, key).status_code == 200
    assert server.post("/ingest", body, key).json()["deduplicated"] is True
    other = server.post("/ingest", json.dumps({"events": [event(n=2)]}), key)
    assert other.status_code == 422 and other.json()["code"] == "KEY_REUSED"
    assert len(server.consume()) == 1


BAD_BODIES = [
    ("malformed", b'{"events":[{"type":"a","ts":"' + NOW.encode() + b'"},]}', 400, "INVALID_JSON"),
    ("cut short", b'{"events":[{"type":"a"', 400, "INVALID_JSON"),
    ("empty", b"", 400, "INVALID_JSON"),
    ("trailing", b'{"events":[]} x', 400, "INVALID_JSON"),
    ("invalid UTF-8", b'{"events":[{"type":"a","ts":"' + NOW.encode() + b'","x":"\xff"}]}', 400, "INVALID_JSON"),
    ("overlong UTF-8", b'{"events":[{"type":"a","ts":"' + NOW.encode() + b'","x":"\xc0\xaf"}]}', 400, "INVALID_JSON"),
    ("surrogate bytes", b'{"events":[{"type":"a","ts":"' + NOW.encode() + b'","x":"\xed\xa0\x80"}]}', 400, "INVALID_JSON"),
    ("deep nesting", b"[" * 1_000_000, 400, "INVALID_JSON"),
    ("deep in an event", b'{"events":[{"type":"a","ts":"' + NOW.encode() + b'","x":' + b'{"a":' * 9_00 + b"1" + b"}" * 900 + b"}]}", 400, "INVALID_JSON"),
    ("no events", b"{}", 400, "INVALID_BATCH"),
    ("a number", b"7", 400, "INVALID_BATCH"),
    ("events is no array", b'{"events":{}}', 400, "INVALID_BATCH"),
    ("too many", json.dumps({"events": [event()] * 1001}).encode(), 400, "INVALID_BATCH"),
    ("event is no object", b'{"events":[1]}', 400, "INVALID_EVENT"),
    ("no type", json.dumps({"events": [event(), {"ts": NOW}]}).encode(), 400, "INVALID_EVENT"),
    ("bad type", json.dumps({"events": [{"type": "a b", "ts": NOW}]}).encode(), 400, "INVALID_EVENT"),
    ("long type", json.dumps({"events": [{"type": "a" * 129, "ts": NOW}]}).encode(), 400, "INVALID_EVENT"),
    ("no ts", b'{"events":[{"type":"a"}]}', 400, "INVALID_EVENT"),
    ("bad ts", b'{"events":[{"type":"a","ts":"yesterday"}]}', 400, "INVALID_EVENT"),
    ("naive ts", b'{"events":[{"type":"a","ts":"2026-11-20T12:00:00"}]}', 400, "INVALID_EVENT"),
    ("future ts", b'{"events":[{"type":"a","ts":"2999-01-01T00:00:00Z"}]}', 400, "INVALID_EVENT"),
    ("too large", json.dumps({"events": [event(), event(x="y" * 10_300)]}).encode(), 400, "EVENT_TOO_LARGE"),
    ("body over the limit", json.dumps({"events": [event(x="y" * 9_000)] * 130}).encode(), 413, "PAYLOAD_TOO_LARGE"),
]


@pytest.mark.short
def test_bad_bodies_store_nothing_and_the_connection_goes_on(server):
    session = requests.Session()
    problems = []
    for name, body, status, code in BAD_BODIES:
        reply = session.post(server.url("/ingest"), data=body, headers={"Content-Type": "application/json"}, timeout=30)
        answer = reply.json()
        if (reply.status_code, answer.get("code")) != (status, code) or not answer.get("error"):
            problems.append(f"{name}: {reply.status_code} {reply.text[:200]}")
    assert not problems, "\n".join(problems)
    assert server.consume() == []
    reply = session.post(server.url("/ingest"), json={"events": [event()]}, timeout=30)
    assert reply.status_code == 200 and reply.json()["lsn"] == 0


def test_errors_name_index_and_place(server):
    body = json.dumps({"events": [event(), event(), {"type": "a b", "ts": NOW}, event(), {"type": "a"}]})
    details = server.post("/ingest", body).json()["details"]
    assert 2 in details["indices"]
    text = b'{"events":[{"type":"a","ts":"2026-11-20T12:00:00Z","n":01}]}'
    assert str(text.index(b"01") + 1) in server.post("/ingest", text).json()["error"]


def test_a_repeated_field_counts_once_and_as_the_last(server):
    """Two `type` fields must not pass validation as one and be stored as the other."""
    twice = b'{"type":"a","type":"no good","ts":"' + NOW.encode() + b'"}'
    reply = server.post("/ingest", b'{"events":[' + twice + b"]}")
    assert reply.status_code == 400, reply.text
    assert server.consume() == []


@pytest.mark.short
def test_bombs_cost_bounded_memory(server):
    def rss_kib():
        for line in open(f"/proc/{server.pid}/status"):
            if line.startswith("VmHWM"):
                return int(line.split()[1])
        raise AssertionError("no VmHWM")

    server.ingest(event())
    before = rss_kib()
    zeros = b" " * (256 << 20)
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=9) as pack:
        pack.write(b'{"events":[')
        pack.write(zeros)
    bombs = [("gzip", out.getvalue()), ("zstd", zstandard.ZstdCompressor(19).compress(zeros))]
    for encoding, bomb in bombs:
        assert len(bomb) < 1 << 20
        reply = server.post("/ingest", bomb, {"Content-Encoding": encoding})
        assert reply.status_code == 413 and reply.json()["code"] == "PAYLOAD_TOO_LARGE", encoding
    # Generous for sanitizers' shadow memory; a decompressed bomb would be 256 MiB.
    assert rss_kib() - before < 64 << 10
    assert len(server.consume()) == 1


def test_tokens(make_server):
    keys = json.dumps({"ns_acme_k1": "acme"})
    server = make_server(env={"AUTH_TOKEN": "admin-secret", "NAMESPACE_API_KEYS": keys})
    body = json.dumps({"events": [event()]})

    def post(authorization=None):
        return server.post("/ingest", body, {"Authorization": authorization} if authorization else {})

    assert post().status_code == 401 and post().json()["code"] == "AUTH_REQUIRED"
    assert post("Basic eDp5").json()["code"] == "INVALID_AUTH_FORMAT"
    for wrong in ("Bearer admin-secre", "Bearer admin-secret2", "Bearer ns_acme_k2", "Bearer "):
        assert post(wrong).status_code == 401, wrong
    assert post("Bearer admin-secret").json()["stream"] == "events"
    reply = post("Bearer ns_acme_k1").json()
    assert (reply["namespace"], reply["stream"]) == ("acme", "acme.events")
    assert len(server.consume()) == 1 and len(server.consume(topic="acme.events")) == 1


def test_without_tokens_production_takes_nothing(make_server):
    server = make_server()
    reply = server.post("/ingest", json.dumps({"events": [event()]}))
    assert reply.status_code == 500 and reply.json()["code"] == "INTERNAL_ERROR"  # a misconfiguration, as the reference says
    assert server.get("/health").status_code == 200


@pytest.mark.short
def test_routes_and_methods(server):
    assert server.get("/health").json()["status"] == "ok"
    assert server.get("/ingest").status_code == 405
    assert server.get("/nowhere").status_code == 404
    head = requests.head(server.url("/health"), timeout=10)
    assert head.status_code == 200 and head.content == b"" and int(head.headers["Content-Length"]) > 0
    first, second = server.get("/health"), server.get("/health")
    assert first.headers["X-Correlation-ID"] != second.headers["X-Correlation-ID"]
