"""How the Kafka door behaves over time: waking, order, large and many records, quiet when idle."""
import pathlib
import re
import statistics
import struct
import threading
import time

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from test_kafka import API_VERSIONS, FETCH, METADATA, Wire, frame, kcat, produce_frame

EVENT = {"type": "a.b", "ts": "2026-11-20T12:00:00Z"}
CODEC_NUMBERS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)


def segment(server, topic):
    (log,) = server.data.glob(f"log/{topic}/0/*.log")
    data = log.read_bytes()
    return data[:struct.unpack(">i", data[8:12])[0] + 12]  # the first batch; what follows may be prepared space


def fetch_frame(topic=b"t", offset=0, wait_ms=30_000, correlation=7, max_bytes=1 << 20):
    body = struct.pack(">iiiib", -1, wait_ms, 1, max_bytes, 0)
    body += struct.pack(">ih", 1, len(topic)) + topic + struct.pack(">iiqi", 1, 0, offset, max_bytes)
    return frame(FETCH, 4, body, correlation)


def fetched(answer, topic=b"t"):
    """(error, high watermark, records) of the one partition of a Fetch 4 reply."""
    at = 4 + 4 + 4 + 2 + len(topic) + 4 + 4
    error, watermark, _, _, size = struct.unpack(">hqqii", answer[at:at + 26])
    assert len(answer) == at + 26 + size
    return error, watermark, answer[at + 26:]


@pytest.mark.parametrize("codec", CODEC_NUMBERS)
def test_old_librdkafka_really_compresses(server, codec):
    lines = b"".join(b"%s line %d\n" % (codec.encode(), n) for n in range(2000))
    kcat(server, "-P", "-t", "t", "-z", codec, "-X", "linger.ms=200", input=lines)
    assert segment(server, "t")[22] & 7 == CODEC_NUMBERS[codec]
    assert kcat(server, "-C", "-t", "t", "-e", "-q") == lines


@pytest.mark.short
def test_large_messages_up_to_the_limit(server):
    producer = Producer({"bootstrap.servers": server.kafka, "message.max.bytes": 20_000_000})
    sent = [bytes([n]) * (n * 2_000_000) for n in (1, 2, 4)]
    outcomes = []
    for value in [*sent, b"x" * 9_000_000]:
        producer.produce("t", value, on_delivery=lambda e, _: outcomes.append(e and e.code()))
        producer.flush(60)
    assert outcomes == [None, None, None, KafkaError.MSG_SIZE_TOO_LARGE]
    assert [m.value() for m in server.consume("t")] == sent


def test_a_waiting_consumer_wakes_quickly(server):
    server.ingest(EVENT)
    consumer = Consumer({"bootstrap.servers": server.kafka, "group.id": "g", "fetch.wait.max.ms": 20_000,
                         "enable.auto.commit": False})
    consumer.assign([TopicPartition("events", 0, 0)])
    assert consumer.poll(20).offset() == 0
    delays = []
    for n in range(30):
        time.sleep(0.03)
        seen = []
        waiter = threading.Thread(target=lambda: seen.append((consumer.poll(20), time.monotonic())))
        waiter.start()
        server.ingest({**EVENT, "n": n})
        durable = time.monotonic()
        waiter.join()
        assert seen[0][0].offset() == n + 1
        delays.append(seen[0][1] - durable)
    consumer.close()
    assert statistics.median(delays) < 0.25, delays


@pytest.mark.short
def test_a_parked_fetch_keeps_its_place_in_line(server):
    producer = Producer({"bootstrap.servers": server.kafka})
    producer.produce("t", b"one")
    assert producer.flush(20) == 0
    batch = segment(server, "t")
    wire = Wire(server)
    wire.send(fetch_frame(offset=1, correlation=1) + frame(API_VERSIONS, 0, correlation=2)
              + frame(METADATA, 1, struct.pack(">i", 0), correlation=3))
    wire.socket.settimeout(0.7)
    with pytest.raises(TimeoutError):
        wire.socket.recv(1)
    wire.socket.settimeout(20)
    assert struct.unpack(">i", Wire(server).send(produce_frame(batch)).response()[:4]) == (7,)
    answers = [wire.response() for _ in range(3)]
    assert [struct.unpack(">i", a[:4])[0] for a in answers] == [1, 2, 3]
    error, watermark, records = fetched(answers[0])
    assert (error, watermark, len(records)) == (0, 2, len(batch))
    assert struct.unpack(">q", records[:8]) == (1,)
    assert records[12 + 4:] == batch[16:]  # all but base offset, length and leader epoch


@pytest.mark.short
def test_a_fetch_ends_with_its_time_and_out_of_range_at_once(server):
    server.ingest(EVENT)
    started = time.monotonic()
    error, watermark, records = fetched(Wire(server).send(fetch_frame(b"events", 1, 300)).response(), b"events")
    assert (error, watermark, records) == (0, 1, b"")
    assert 0.25 < time.monotonic() - started < 10
    started = time.monotonic()
    assert fetched(Wire(server).send(fetch_frame(b"events", 99)).response(), b"events")[0] == 1
    assert fetched(Wire(server).send(fetch_frame(b"nowhere", 0)).response(), b"nowhere")[0] == 3
    assert time.monotonic() - started < 10


@pytest.mark.short
def test_acks_0_has_no_response(server):
    producer = Producer({"bootstrap.servers": server.kafka, "acks": 0})
    for n in range(100):
        producer.produce("t", b"%d" % n)
    assert producer.flush(20) == 0
    wait_until(lambda: len(server.consume("t")) == 100)  # nothing else says when they are stored
    batch = segment(server, "t")
    wire = Wire(server).send(produce_frame(batch, acks=0) + frame(API_VERSIONS, 0, correlation=9))
    assert struct.unpack(">i", wire.response()[:4]) == (9,)
    wait_until(lambda: len(server.consume("t")) > 100)
    before = len(server.consume("t"))
    wire.send(produce_frame(batch, b"nowhere", acks=0))
    assert wire.response() is None  # the protocol has no other way to say it
    assert len(server.consume("t")) == before


def test_many_batches_in_flight_are_stored_in_their_order(server):
    producer = Producer({"bootstrap.servers": server.kafka, "linger.ms": 0, "batch.num.messages": 1})
    for n in range(3000):
        producer.produce("t", b"%d" % n)
        producer.poll(0)
    assert producer.flush(60) == 0
    readers = [threading.Thread(target=lambda: results.append([m.value() for m in server.consume("t")])) for _ in range(3)]
    results = []
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert results == [[b"%d" % n for n in range(3000)]] * 3


def test_fetches_are_sent_with_sendfile(server):
    producer = Producer({"bootstrap.servers": server.kafka})
    for n in range(2000):
        producer.produce("t", bytes(1000), key=str(n))
    assert producer.flush(60) == 0
    assert len(server.consume("t")) == 2000
    metrics = dict(line.rsplit(" ", 1) for line in server.get("/metrics").text.splitlines() if line[:1] != "#")
    assert int(metrics["spillway_kafka_fetch_bytes_total"]) > 2_000_000
    assert metrics["spillway_kafka_sendfile_bytes_total"] == metrics["spillway_kafka_fetch_bytes_total"]


def context_switches(pid):
    """Of the server's own threads; a sanitizer adds one that ticks."""
    count = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if task.name == str(pid) or (task / "comm").read_text().startswith(("reactor", "commit", "worker")):
            (line,) = re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.M)
            count += int(line)
    return count


def test_idle_connections_and_parked_fetches_wake_nobody(server):
    server.ingest(EVENT)
    wires = [Wire(server) for _ in range(20)]
    for wire in wires:
        assert wire.send(frame(API_VERSIONS, 0)).response()
    for wire in wires[:10]:
        wire.send(fetch_frame(b"events", 1, 60_000))
    time.sleep(3)  # what follows the last write (recovery point) is done
    before = context_switches(server.pid)
    time.sleep(3)
    assert context_switches(server.pid) - before <= 10


def test_claims_of_large_requests_take_no_memory(server):
    def resident():
        return int(pathlib.Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * 4096

    server.ingest(EVENT)
    before = resident()
    wires = [Wire(server).send(struct.pack(">ihhi", 100 << 20, 0, 3, 1)) for _ in range(200)]
    assert Wire(server).send(frame(API_VERSIONS, 0)).response()
    assert resident() - before < 20 << 20
    del wires
