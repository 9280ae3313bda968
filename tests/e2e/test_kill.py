"""kill -9 in the middle of mixed load, again and again: nothing acknowledged is lost, nothing keyed is
doubled. A client retries what got no answer, with the same key; Kafka records are told apart by value."""
import collections
import json
import random
import threading
import time

import pytest
import requests
from confluent_kafka import Producer


class Load:
    """HTTP and Kafka senders against a server that comes and goes."""

    def __init__(self, server):
        self.server = server
        self.stopping = threading.Event()
        self.acked_keyed, self.acked_plain, self.acked_kafka = [], [], []
        self.sent_plain, self.sent_kafka = set(), set()
        self.threads = [threading.Thread(target=self.http, args=(n,)) for n in range(3)]
        self.threads.append(threading.Thread(target=self.kafka))

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()

    def post(self, name, keyed, session):
        body = {"events": [{"type": "load", "ts": "2026-11-20T12:00:00Z", "name": f"{name}.{i}"} for i in range(3)]}
        headers = {"Idempotency-Key": name} if keyed else {}
        while True:
            try:
                reply = session.post(self.server.url("/ingest"), json=body, headers=headers, timeout=10)
                if reply.status_code == 200:
                    return reply.json()
                assert reply.status_code == 503, reply.text
            except requests.RequestException:
                if not keyed:
                    return None
            if self.stopping.is_set():
                return None
            time.sleep(0.01)

    def http(self, worker):
        session, count = requests.Session(), 0
        while not self.stopping.is_set():
            count += 1
            keyed, name = count % 2 == 0, f"h{worker}-{count}"
            if not keyed:
                self.sent_plain.add(name)
            if self.post(name, keyed, session):
                (self.acked_keyed if keyed else self.acked_plain).append(name)

    def kafka(self):
        count = 0
        while not self.stopping.is_set():
            producer = Producer({"bootstrap.servers": self.server.kafka, "acks": "all", "retries": 0, "linger.ms": 1,
                                 "message.timeout.ms": 2000, "log_level": 0, "compression.type": "lz4"})
            port = self.server.kafka

            def delivered(error, message):
                if error is None:
                    self.acked_kafka.append(message.value().decode())

            while not self.stopping.is_set() and port == self.server.kafka:
                for _ in range(10):
                    count += 1
                    self.sent_kafka.add(f"k{count}")
                    producer.produce("kafka", f"k{count}", on_delivery=delivered)
                producer.flush(3)
            producer.flush(3)


def check(server, load):
    names = collections.Counter(json.loads(m.value())["name"].rsplit(".", 1)[0] for m in server.consume())
    lost = [n for n in load.acked_keyed + load.acked_plain if names[n] != 3]
    assert not lost, f"acknowledged, but not there exactly once: {[(n, names[n]) for n in lost[:10]]}"
    partial = [(n, count) for n, count in names.items() if count != 3]
    assert not partial, f"a request is in part or twice in the log: {partial[:10]}"
    records = server.consume("kafka")
    assert [m.offset() for m in records] == list(range(len(records)))
    values = collections.Counter(m.value().decode() for m in records)
    assert not [v for v in load.acked_kafka if values[v] != 1]
    assert set(values) <= load.sent_kafka and max(values.values(), default=1) == 1
    return len(names), len(records)


def cycles(make_server, count, seed):
    random_ = random.Random(seed)
    server = make_server("--dev", "--set", "storage.segment_bytes=256 KiB")
    load = Load(server)
    load.start()
    slowest = 0
    try:
        for _ in range(count):
            time.sleep(random_.uniform(0.05, 0.4))
            server.kill()
            began = time.monotonic()
            server.start()
            slowest = max(slowest, time.monotonic() - began)
    finally:
        load.stop()
    requests_seen, records_seen = check(server, load)
    assert load.acked_keyed and load.acked_plain and load.acked_kafka
    print(f"seed {seed}: {count} kills, {requests_seen} requests, {records_seen} Kafka records, "
          f"slowest restart {slowest * 1000:.0f} ms")


@pytest.mark.short
def test_a_few_kills_under_load(make_server):
    cycles(make_server, 8, seed=3)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_hundred_kills_under_load(make_server):
    cycles(make_server, 100, seed=int(time.time()))
