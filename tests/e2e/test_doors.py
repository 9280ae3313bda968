"""The HTTP doors in depth: large bodies, keys in flight, namespaces, rate limits, clients that go away."""
import concurrent.futures
import gzip
import json
import random
import socket
import time
import uuid

import pytest
import requests
import zstandard
from conftest import SECRETS
from test_webhooks import github_headers

NOW = "2026-11-20T12:00:00.000Z"
NDJSON = {"Content-Type": "application/x-ndjson"}


def event(**fields):
    return {"type": "order.paid", "ts": NOW, **fields}


def lines_of(count, pad=150, seed=1):
    """Distinct events that hardly compress, as their bytes."""
    noise = random.Random(seed)
    return [json.dumps(event(n=n, pad=noise.randbytes(pad // 2).hex())).encode() for n in range(count)]


def values(server, **kwargs):
    return [m.value() for m in server.consume(**kwargs)]


@pytest.mark.short
@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd", "deflate"])
@pytest.mark.parametrize("chunked", [False, True])
def test_large_bodies_come_back_in_order(server, coding, chunked):
    import zlib
    lines = lines_of(3000)
    body = b"\n".join(lines)
    assert 300_000 < len(body) < 1 << 20
    pack = {"identity": bytes, "gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress, "deflate": zlib.compress}
    packed = pack[coding](body)
    data = (packed[at:at + 10_007] for at in range(0, len(packed), 10_007)) if chunked else packed
    reply = server.post("/ingest", data, {**NDJSON, "Content-Encoding": coding})
    assert reply.status_code == 200, reply.text
    assert (reply.json()["received"], reply.json()["lsn"]) == (3000, 2999)
    assert values(server) == lines


def test_a_batch_of_a_thousand(server):
    lines = lines_of(1000)
    body = b'{"batchId":"first","events":[' + b",".join(lines) + b"]}"
    assert server.post("/ingest", body).json()["lsn"] == 999
    body = b'{"events":[' + b" ,\n".join(lines) + b'],"batchId":"second"}'
    assert server.post("/ingest", body).json()["lsn"] == 1999
    assert server.post("/ingest", body).json()["deduplicated"] is True
    assert values(server) == lines + lines


def test_a_bad_event_at_the_end_of_a_large_body_stores_nothing(server):
    lines = lines_of(900)
    for last, code in ((b'{"type":"a b"}', "INVALID_EVENT"), (b'{"type":', "INVALID_JSON"),
                       (json.dumps(event(x="y" * 11_000)).encode(), "EVENT_TOO_LARGE")):
        reply = server.post("/ingest", b"\n".join(lines + [last]), NDJSON)
        assert (reply.status_code, reply.json()["code"]) == (400, code)
        if code != "INVALID_JSON":
            assert reply.json()["details"]["index"] == 900
    assert server.consume() == []
    assert server.ingest(event())["lsn"] == 0


@pytest.mark.short
def test_a_key_sent_by_many_at_once_is_stored_once(server):
    body = json.dumps({"events": [event(n=n) for n in range(3)]})
    key = {"Idempotency-Key": str(uuid.uuid4())}
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        replies = [r.result() for r in [pool.submit(server.post, "/ingest", body, key) for _ in range(64)]]
    assert {r.status_code for r in replies} == {200}
    answers = [r.json() for r in replies]
    assert sum("deduplicated" not in a for a in answers) == 1
    assert {(a["lsn"], a["received"], a["shard"]) for a in answers} == {(2, 3, 0)}
    assert len(server.consume()) == 3


def test_batch_id_and_header_are_one_key(server):
    one = json.dumps({"events": [event(n=1)], "batchId": "k"})
    assert server.post("/ingest", one, {"Idempotency-Key": "k"}).status_code == 200
    assert server.post("/ingest", one).json()["deduplicated"] is True
    assert server.post("/ingest", json.dumps([event(n=1)]), {"Idempotency-Key": "k"}).status_code == 422
    differ = server.post("/ingest", one, {"Idempotency-Key": "other"})
    assert (differ.status_code, differ.json()["code"]) == (400, "INVALID_BATCH")
    for bad in ("", "x" * 1025):
        assert server.post("/ingest", one, {"Idempotency-Key": bad}).json()["code"] == "VALIDATION_ERROR"
    assert server.post("/ingest", one, {"Idempotency-Key": "x" * 1024}).status_code == 400  # differs from batchId
    assert len(server.consume()) == 1


def test_a_refused_request_leaves_no_key_behind(server):
    bad = json.dumps({"events": [event(), {"type": "x"}], "batchId": "again"})
    assert server.post("/ingest", bad).status_code == 400
    good = server.ingest(event(), event(), batchId="again")
    assert "deduplicated" not in good and good["received"] == 2


@pytest.mark.short
def test_namespaces_are_kept_apart(make_server):
    keys = json.dumps({"ns_acme_k1": "acme", "ns_my_team_k2": "my_team"})
    server = make_server(env={"AUTH_TOKEN": "admin-secret", "NAMESPACE_API_KEYS": keys})

    def post(token, number):
        body = json.dumps({"events": [event(n=number)], "batchId": "same"})
        return server.post("/ingest", body, {"Authorization": f"Bearer {token}"}).json()

    # Many first requests at once make one stream.
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        first = [r.result() for r in [pool.submit(post, "ns_acme_k1", 1) for _ in range(8)]]
    assert {(r["namespace"], r["stream"], r["received"], r["lsn"]) for r in first} == {("acme", "acme.events", 1, 0)}
    assert "deduplicated" not in post("ns_my_team_k2", 2) and "deduplicated" not in post("admin-secret", 3)
    for topic, number in (("acme.events", 1), ("my_team.events", 2), ("events", 3)):
        assert [json.loads(v)["n"] for v in values(server, topic=topic)] == [number]


def test_a_bad_first_request_makes_no_stream(make_server):
    from confluent_kafka.admin import AdminClient
    server = make_server(env={"NAMESPACE_API_KEYS": json.dumps({"ns_acme_k1": "acme"})})
    reply = server.post("/ingest", b'{"events":[{"type":"x"}]}', {"Authorization": "Bearer ns_acme_k1"})
    assert reply.status_code == 400
    topics = AdminClient({"bootstrap.servers": server.kafka}).list_topics(timeout=30).topics
    assert "acme.events" not in topics


def test_default_namespace_and_its_webhooks(make_server):
    server = make_server(env={"AUTH_TOKEN": "t", "DEFAULT_NAMESPACE": "main"})
    reply = server.post("/ingest", json.dumps([event()]), {"Authorization": "Bearer t"}).json()
    assert (reply["namespace"], reply["stream"], reply["lsn"]) == ("main", "main.events", 0)
    body = b'{"zen":"x"}'
    reply = server.post("/webhooks/github", body, github_headers(body)).json()
    assert (reply["namespace"], reply["stream"], reply["lsn"]) == ("main", "main.events", 1)


@pytest.mark.short
def test_rate_limits_of_requests_and_events(make_server):
    server = make_server(env={"AUTH_TOKEN": "t", "RATE_LIMIT_REQUESTS_PER_MINUTE": "5", "RATE_LIMIT_EVENTS_PER_MINUTE": "20"})
    auth = {"Authorization": "Bearer t"}
    if time.time() % 60 > 50:  # not across the turn of a minute
        time.sleep(61 - time.time() % 60)
    reply = server.post("/ingest", json.dumps([event()] * 15), auth)
    assert reply.status_code == 200
    shown = {k[12:]: int(v) for k, v in reply.headers.items() if k.startswith("X-RateLimit-")}
    assert shown.pop("Reset") % 60_000 == 0
    assert shown == {"Limit-Requests": 5, "Limit-Events": 20, "Remaining-Requests": 4, "Remaining-Events": 5}
    bad = server.post("/ingest", b"{bad", auth)  # tells where its sender stands, and is not counted
    assert bad.status_code == 400 and bad.headers["X-RateLimit-Remaining-Requests"] == "4"
    over = server.post("/ingest", json.dumps([event()] * 6), auth)
    assert over.status_code == 429
    answer = over.json()
    assert answer["error"] == "Too Many Requests" and answer["code"] == "RATE_LIMITED"
    assert answer["current"] == {"requestsRemaining": 4, "eventsRemaining": 5}
    assert 1 <= int(over.headers["Retry-After"]) == answer["retryAfterSeconds"] <= 60
    for _ in range(4):
        assert server.post("/ingest", json.dumps([event()]), auth).status_code == 200
    assert server.post("/ingest", json.dumps([event()]), auth).status_code == 429
    assert server.post("/ingest", json.dumps([event()]), {"Authorization": "Bearer x"}).status_code == 401
    body = b"{}"
    hook = server.post("/webhooks/github", body, github_headers(body))
    assert hook.status_code == 200 and hook.headers["X-RateLimit-Limit-Requests"] == "50"
    assert len(server.consume()) == 20


@pytest.mark.short
def test_what_the_head_can_get_wrong(server):
    body = json.dumps({"events": [event()]})
    cases = [
        ("/ingest", {"Content-Type": "application/xml"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("/ingest", {"Content-Type": "application/cloudevents+json"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("/ingest", {"Content-Type": "application/json; charset=utf-8"}, 200, None),
        ("/ingest", {"Content-Type": "application/x-www-form-urlencoded"}, 200, None),
        ("/ingest", {"Content-Encoding": "gzip, zstd"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("/ingest", {"Content-Encoding": "gzip"}, 400, "VALIDATION_ERROR"),
        ("/ingest?partial=1", {}, 400, "VALIDATION_ERROR"),
        ("/ingest?other=1", {}, 200, None),
    ]
    for path, headers, status, code in cases:
        reply = server.post(path, body, headers)
        assert (reply.status_code, reply.json().get("code")) == (status, code), (path, headers, reply.text)
        assert reply.headers["Access-Control-Allow-Origin"] == "*"
    preflight = requests.options(server.url("/ingest"), timeout=30, headers={
        "Origin": "https://shop.example", "Access-Control-Request-Method": "POST"})
    assert preflight.status_code == 200 and preflight.headers["Access-Control-Allow-Origin"] == "*"
    refused = server.get("/ingest")
    assert refused.status_code == 405 and refused.headers["Allow"] == "POST"


def test_webhooks_by_path_query_and_host(server):
    body = b'{"zen":"x"}'
    assert server.post("/webhooks?provider=github", body, github_headers(body)).status_code == 200
    assert server.post("/github", body, {**github_headers(body), "Host": "webhooks.example.com"}).status_code == 200
    assert server.post("/github", body, github_headers(body)).status_code == 404
    missing = server.post("/webhooks", body)
    assert (missing.status_code, missing.json()["error"]) == (400, "provider query param required")
    for name in ("GitHub", "nobody", "slack", "github/x", "%00"):
        reply = server.post(f"/webhooks/{name}", body, github_headers(body))
        assert (reply.status_code, reply.json()["errorCode"]) == (400, "UNSUPPORTED_PROVIDER"), name
        assert reply.json()["supported"] == ["github", "stripe"]
    form = server.post("/webhooks/github", b"payload=%7B%7D", {"Content-Type": "application/x-www-form-urlencoded"})
    assert form.status_code == 415
    assert len(server.consume()) == 2


def test_signed_bodies_that_are_no_objects(server):
    for body in (b"[1]", b'"s"', b"{bad", b"", b"\xff{}", b'{"a":"\xff"}', b"{} {}"):
        reply = server.post("/webhooks/github", body, github_headers(body))
        assert (reply.status_code, reply.json()["errorCode"]) == (400, "INVALID_JSON"), body
        assert reply.json()["details"]
    assert server.consume() == []


def test_large_webhooks(server):
    small, large = (b'{"pad":"' + b"x" * size + b'"}' for size in (10, 900_000))
    for body in (large, small):
        assert server.post("/webhooks/github", body, github_headers(body)).status_code == 200
    over = b'{"pad":"' + b"x" * (1 << 20) + b'"}'
    reply = server.post("/webhooks/github", over, github_headers(over))
    assert (reply.status_code, reply.json()["errorCode"]) == (413, "PAYLOAD_TOO_LARGE")
    assert reply.json()["contentLength"] == len(over)
    got = [v.partition(b'"payload":')[2][:-1] for v in values(server)]
    assert got == [large, small]


def test_webhook_without_secret(make_server):
    server = make_server("--dev", env={name: "" for name in SECRETS})
    reply = server.post("/webhooks/github", b"{}", github_headers(b"{}"))
    assert (reply.status_code, reply.json()["errorCode"]) == (503, "SECRET_NOT_CONFIGURED")


def abandon(server, sent, linger):
    """Opens a connection, sends bytes and goes away without reading."""
    host, port = server.http.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as s:
        if linger:  # a reset instead of an orderly end
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        s.sendall(sent)


@pytest.mark.short
def test_clients_that_go_away_cost_nothing(server):
    lines = b"\n".join(lines_of(2000))
    packed = gzip.compress(lines)
    for number in range(60):
        key = f"Idempotency-Key: k{number % 7}\r\n" if number % 3 else ""
        body, coding = (packed, "gzip") if number % 2 else (lines, "identity")
        head = (f"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n{key}"
                f"Content-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n").encode()
        cut = len(body) if number % 5 == 0 else number * len(body) // 60
        abandon(server, head + body[:cut], linger=number % 4 == 0)
    head = b"POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n"
    abandon(server, head + b"{" * 100, linger=True)
    stored = server.ingest(event())["lsn"]
    # Whole requests or nothing: each of those that arrived has all of its 2000 events.
    assert stored % 2000 == 0
    assert server.get("/health").status_code == 200
