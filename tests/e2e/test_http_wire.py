"""HTTP/1.1 as bytes on a socket: pipelining, chunks, limits, smuggling, slow clients."""
import json
import socket
import time

import pytest

EVENT = b'{"events":[{"type":"a","ts":"2026-11-20T12:00:00Z"}]}'


class Wire:
    """One connection; reads whole responses."""

    def __init__(self, server, seconds=20):
        host, port = server.http.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=seconds)
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data)
        return self

    def response(self):
        """(status, headers, body); None when the server closed instead."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.fill():
                return None
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
        size = int(headers.get("content-length", 0))
        while len(self.buffer) < size:
            assert self.fill(), "closed inside a body"
        body, self.buffer = self.buffer[:size], self.buffer[size:]
        return int(lines[0].split()[1]), headers, body

    def fill(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        self.buffer += data
        return bool(data)

    def closed(self):
        """True once the server has closed and nothing more came."""
        while self.fill():
            pass
        return self.buffer == b""


def request(body=EVENT, headers=b"", target=b"/ingest"):
    return (b"POST " + target + b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" %
            len(body) + headers + b"\r\n" + body)


@pytest.mark.short
def test_pipelined_requests_are_answered_in_order(server):
    wire = Wire(server)
    wire.send(request() * 20 + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" + request(b"{bad") + request())
    answers = [wire.response() for _ in range(23)]
    assert [a[0] for a in answers] == [200] * 21 + [400, 200]
    lsns = [json.loads(a[2])["lsn"] for a in answers[:20] + answers[22:]]
    assert lsns == sorted(lsns) and len(set(lsns)) == 21


@pytest.mark.short
def test_chunked_bodies_byte_by_byte(server):
    wire = Wire(server)
    head = b"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (EVENT[:7], EVENT[7:8], EVENT[8:])) + b"0\r\n\r\n"
    for byte in head + chunks:
        wire.send(bytes([byte]))
    assert wire.response()[0] == 200
    assert wire.send(request()).response()[0] == 200


@pytest.mark.short
def test_expect_100_continue(server):
    wire = Wire(server)
    wire.send(request(headers=b"Expect: 100-continue\r\n")[:-len(EVENT)])
    assert wire.response()[0] == 100
    assert wire.send(EVENT).response()[0] == 200
    # A body that is too large is refused before it is sent.
    wire = Wire(server)
    wire.send(b"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n")
    status, _, body = wire.response()
    assert status == 413 and json.loads(body)["code"] == "PAYLOAD_TOO_LARGE"


@pytest.mark.short
@pytest.mark.parametrize("bad", [
    b"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /ingest HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /ingest HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    b"POST /ingest HTTP/1.1\r\nBad Header: x\r\n\r\n",
    b"POST /ingest HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
    b"NONSENSE\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
], ids=["length-and-chunked", "two-lengths", "negative-length", "huge-length", "bad-chunk-size", "huge-chunk",
        "space-in-header-name", "nul-in-header", "nonsense", "tls-hello"])
def test_malformed_requests_get_400_and_the_connection_ends(server, bad):
    wire = Wire(server).send(bad)
    answer = wire.response()
    assert answer is not None and answer[0] in (400, 413), answer
    assert wire.closed()
    assert server.consume() == []
    assert Wire(server).send(request()).response()[0] == 200


@pytest.mark.short
def test_header_floods(server):
    for flood in (b"X: " + b"a" * 70_000 + b"\r\n", b"".join(b"X-%d: a\r\n" % n for n in range(5000))):
        wire = Wire(server)
        try:
            wire.send(request(headers=flood))
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = wire.response()
        assert answer is None or answer[0] == 431, answer
    long_target = Wire(server).send(b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n").response()
    assert long_target is None or long_target[0] in (414, 431)
    assert server.consume() == []


def test_slow_clients_are_let_go(make_server):
    server = make_server("--dev", "--set", "http.header_seconds=1", "--set", "http.body_idle_seconds=1",
                         "--set", "http.keepalive_seconds=1")
    slow_head = Wire(server).send(b"POST /ingest HTTP/1.1\r\nHo")
    slow_body = Wire(server).send(request()[:-10])
    idle = Wire(server).send(request())
    assert idle.response()[0] == 200
    began = time.monotonic()
    for wire in (slow_head, slow_body):
        answer = wire.response()
        assert answer is None or answer[0] == 408
        assert wire.closed()
    assert idle.closed()
    assert time.monotonic() - began < 10
    # Slow but steady is fine: a byte of the body now and then.
    steady = Wire(server).send(request()[:-len(EVENT)])
    for at in range(0, len(EVENT), 9):
        steady.send(EVENT[at:at + 9])
        time.sleep(0.25)
    assert steady.response()[0] == 200


def test_a_client_that_never_reads_does_not_hold_others(server):
    deaf = Wire(server)
    deaf.socket.settimeout(0.2)
    try:
        for _ in range(2000):
            deaf.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
    except (TimeoutError, BrokenPipeError, ConnectionResetError):
        pass
    assert Wire(server, 5).send(request()).response()[0] == 200


def test_connections_above_the_limit(make_server):
    server = make_server("--dev", "--set", "http.max_connections=10")
    held = [Wire(server) for _ in range(10)]
    for wire in held:
        assert wire.send(request()).response()[0] == 200
    extra = Wire(server)
    try:
        answer = extra.send(request()).response()
    except (BrokenPipeError, ConnectionResetError):
        answer = None
    assert answer is None or answer[0] == 503
    held.pop().socket.close()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if Wire(server).send(request()).response():
                return
        except (BrokenPipeError, ConnectionResetError):
            pass
        time.sleep(0.05)
    raise AssertionError("no new connection after one was closed")
