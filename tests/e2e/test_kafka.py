"""The Kafka door, used by kcat and librdkafka, and by bytes on a socket where those would not go."""
import json
import socket
import struct
import subprocess
import threading
import time

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

EVENT = {"type": "a.b", "ts": "2026-11-20T12:00:00Z"}


def kcat(server, *arguments, input=None, timeout=60):
    done = subprocess.run(["kcat", "-b", server.kafka, *arguments], input=input, capture_output=True, timeout=timeout)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.mark.short
def test_kcat_lists_produces_consumes_and_queries(server):
    server.ingest(EVENT)
    listing = json.loads(kcat(server, "-L", "-J"))
    assert [t["topic"] for t in listing["topics"]] == ["events"]
    assert len(listing["topics"][0]["partitions"]) == 1
    kcat(server, "-P", "-t", "orders", "-K", ":", "-H", "h=1", input=b"k1:v1\nk2:v2\n")
    assert kcat(server, "-C", "-t", "orders", "-e", "-q", "-f", "%o %k %s %h\n") == b"0 k1 v1 h=1\n1 k2 v2 h=1\n"
    assert kcat(server, "-C", "-t", "orders", "-e", "-q", "-o", "1") == b"v2\n"
    assert kcat(server, "-Q", "-t", "orders:0:-1").strip().endswith(b"offset 2")
    assert kcat(server, "-Q", "-t", "orders:0:-2").strip().endswith(b"offset 0")
    assert json.loads(kcat(server, "-C", "-t", "events", "-e", "-q")) == EVENT


@pytest.mark.short
@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_codec_round_trips(server, codec):
    producer = Producer({"bootstrap.servers": server.kafka, "compression.type": codec, "linger.ms": 20})
    sent = [(f"k{n}".encode(), (f"value {n} " * 20).encode()) for n in range(200)]
    failed = []
    for key, value in sent:
        producer.produce("t", value, key, on_delivery=lambda e, _: e and failed.append(e))
    assert producer.flush(30) == 0 and not failed, failed
    assert [(m.key(), m.value()) for m in server.consume("t")] == sent
    server.restart(kill=True)
    assert [(m.key(), m.value()) for m in server.consume("t")] == sent


@pytest.mark.short
def test_a_parked_fetch_wakes_on_append(server):
    server.ingest(EVENT)
    consumer = Consumer({"bootstrap.servers": server.kafka, "group.id": "g", "fetch.wait.max.ms": 20_000,
                         "enable.auto.commit": False})
    consumer.assign([TopicPartition("events", 0, 0)])
    assert consumer.poll(20).offset() == 0
    time.sleep(1)  # the next fetch is parked now
    seen = []
    waiter = threading.Thread(target=lambda: seen.append((consumer.poll(15), time.monotonic())))
    waiter.start()
    posted = time.monotonic()
    server.ingest({**EVENT, "n": 2})
    waiter.join()
    message, when = seen[0]
    assert message is not None and message.offset() == 1 and when - posted < 5
    consumer.close()


@pytest.mark.short
def test_offsets_by_time_and_out_of_range(server):
    for minute in range(3):
        server.ingest({"type": "a", "ts": f"2026-11-20T12:0{minute}:00Z"})
    consumer = Consumer({"bootstrap.servers": server.kafka, "group.id": "g", "auto.offset.reset": "error",
                         "enable.auto.commit": False})
    assert consumer.get_watermark_offsets(TopicPartition("events", 0), timeout=20) == (0, 3)
    noon = 1795176000000  # 2026-11-20T12:00:00Z
    for target, offset in ((noon, 0), (noon + 1, 1), (noon + 60_001, 2), (noon + 999_000, -1)):
        (found,) = consumer.offsets_for_times([TopicPartition("events", 0, target)], timeout=20)
        assert found.offset == offset, (target, found)
    consumer.assign([TopicPartition("events", 0, 4711)])
    message = consumer.poll(20)
    assert message.error() and message.error().code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)
    consumer.close()


def test_unknown_topics(make_server):
    server = make_server("--dev", "--set", "kafka.auto_create_topics=false")
    producer = Producer({"bootstrap.servers": server.kafka, "message.timeout.ms": 3000})
    errors = []
    producer.produce("nowhere", b"x", on_delivery=lambda e, _: errors.append(e))
    producer.flush(20)
    assert errors and errors[0] is not None
    topics = AdminClient({"bootstrap.servers": server.kafka}).list_topics(timeout=20).topics
    assert set(topics) == {"events"}
    for bad in ("a/b", "..", "x" * 250):
        found = AdminClient({"bootstrap.servers": server.kafka}).list_topics(bad, timeout=20).topics[bad]
        assert found.error is not None, bad


# ---- bytes on a socket ----

class Wire:
    def __init__(self, server, seconds=20):
        host, port = server.kafka.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=seconds)

    def send(self, data):
        self.socket.sendall(data)
        return self

    def exactly(self, count):
        data = b""
        while len(data) < count:
            try:
                piece = self.socket.recv(count - len(data))
            except ConnectionResetError:
                return None
            if not piece:
                return None
            data += piece
        return data

    def response(self):
        """The bytes of one response, without its size; None when the server closed."""
        size = self.exactly(4)
        return size and self.exactly(struct.unpack(">i", size)[0])


def frame(key, version, body=b"", correlation=7):
    header = struct.pack(">hhih", key, version, correlation, -1)
    return struct.pack(">i", len(header) + len(body)) + header + body


API_VERSIONS, METADATA, PRODUCE, FETCH = 18, 3, 0, 1


@pytest.mark.short
def test_api_versions_of_a_newer_client_get_version_0(server):
    answer = Wire(server).send(frame(API_VERSIONS, 99)).response()
    assert struct.unpack(">ih", answer[:6]) == (7, 35)  # UNSUPPORTED_VERSION
    count = struct.unpack(">i", answer[6:10])[0]
    rows = {key: (low, high) for key, low, high in struct.iter_unpack(">hhh", answer[10:10 + 6 * count])}
    assert rows[API_VERSIONS][0] == 0 and {PRODUCE, FETCH, METADATA} <= set(rows)
    assert len(answer) == 10 + 6 * count


@pytest.mark.short
@pytest.mark.parametrize("bad", [
    struct.pack(">i", -1),
    struct.pack(">i", 0x7fffffff) + b"x" * 100,
    struct.pack(">i", 3) + b"abc",
    frame(9999, 0),
    frame(METADATA, 500),
    frame(METADATA, 1, struct.pack(">i", 0x7fffffff)),
    frame(METADATA, 1, struct.pack(">ih", 1, 200) + b"short"),
    frame(PRODUCE, 3, b"\x00"),
    frame(FETCH, 4, struct.pack(">iiiibi", -1, 100, 1, 1 << 20, 0, 1 << 30)),
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
], ids=["negative-size", "huge-size", "no-header", "unknown-key", "unknown-version", "huge-array", "cut-string",
        "cut-produce", "cut-fetch", "http"])
def test_malformed_requests_end_only_their_connection(server, bad):
    server.ingest(EVENT)
    bystander = Wire(server)
    wire = Wire(server).send(bad)
    wire.socket.shutdown(socket.SHUT_WR)
    while wire.response() is not None:
        pass
    assert bystander.send(frame(API_VERSIONS, 0)).response() is not None
    assert len(server.consume()) == 1


@pytest.mark.short
def test_a_request_in_single_bytes_and_many_in_one_write(server):
    wire = Wire(server)
    for byte in frame(API_VERSIONS, 0, correlation=1):
        wire.send(bytes([byte]))
    assert wire.response()[:4] == b"\x00\x00\x00\x01"
    wire.send(b"".join(frame(API_VERSIONS, 0, correlation=n) for n in range(50)))
    assert [struct.unpack(">i", wire.response()[:4])[0] for n in range(50)] == list(range(50))


def produce_frame(records, topic=b"t", acks=-1):
    body = struct.pack(">hhi", -1, acks, 5000)  # no transactional id
    body += struct.pack(">i", 1) + struct.pack(">h", len(topic)) + topic
    body += struct.pack(">ii", 1, 0) + struct.pack(">i", len(records)) + records
    return frame(PRODUCE, 3, body)


def produce_error(wire, records):
    answer = wire.send(produce_frame(records)).response()
    # correlation, one topic, its name, one partition, index, then the error
    return struct.unpack(">h", answer[4 + 4 + 2 + 1 + 4 + 4:][:2])[0]


@pytest.mark.short
def test_bad_batches_are_refused_by_number(server):
    producer = Producer({"bootstrap.servers": server.kafka})
    producer.produce("t", b"hello", b"key")
    assert producer.flush(20) == 0
    (segment,) = server.data.glob("log/t/0/*.log")
    length = struct.unpack(">i", segment.read_bytes()[8:12])[0] + 12
    good = segment.read_bytes()[:length]
    wire = Wire(server)

    def changed(at, value):
        return good[:at] + value + good[at + len(value):]

    assert produce_error(wire, good) == 0
    assert produce_error(wire, changed(length - 1, bytes([good[-1] ^ 1]))) == 2  # CORRUPT_MESSAGE
    assert produce_error(wire, changed(17, b"\x00\x00\x00\x00")) == 2
    assert produce_error(wire, good[:-1]) in (2, 87)
    assert produce_error(wire, changed(16, b"\x01")) in (2, 43, 87)  # an old magic
    assert produce_error(wire, b"") in (2, 42, 87)
    assert len(server.consume("t")) == 2
