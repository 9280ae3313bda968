"""A start after kill -9 does not take longer because the log is large: 10 GB of real batches in sealed
segments, nothing of it in the page cache, ready in under a second."""
import os
import pathlib
import shutil
import time

import pytest
from confluent_kafka import Producer

LOG_BYTES = 10_000_000_000
RECORD_BYTES = 9_000
READY_SECONDS = 1.0


def fill(server, log_bytes):
    """Produces until the topic holds that many bytes; returns the number of records acknowledged."""
    producer = Producer({"bootstrap.servers": server.kafka, "acks": "all", "batch.size": 1_000_000, "linger.ms": 20,
                         "queue.buffering.max.kbytes": 65536, "compression.type": "none", "enable.idempotence": False})
    values = [os.urandom(RECORD_BYTES) for _ in range(50)]
    acked = 0

    def delivered(error, _message):
        nonlocal acked
        assert error is None, error
        acked += 1

    for i in range(log_bytes // RECORD_BYTES):
        while True:
            try:
                producer.produce("big", values[i % len(values)], on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(120) == 0
    return acked


def drop_page_cache():
    """True when it could be dropped, which takes root."""
    os.sync()
    try:
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")
    except OSError:
        return False
    return True


def log_files(server):
    return sorted((server.data / "log" / "big" / "0").glob("*.log"))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_start_after_a_kill_is_quick_with_a_large_log(make_server):
    server = make_server("--dev")
    assert shutil.disk_usage(server.data).free > 2 * LOG_BYTES, "this test needs 20 GB of free disk"
    acked = fill(server, LOG_BYTES)
    # Killed in the middle of appends.
    late = Producer({"bootstrap.servers": server.kafka, "message.timeout.ms": 1000, "log_level": 0})
    for _ in range(2000):
        late.produce("big", os.urandom(RECORD_BYTES))
    late.poll(0.05)
    server.kill()
    assert sum(f.stat().st_size for f in log_files(server)) > LOG_BYTES
    assert len(log_files(server)) > 10
    dropped = drop_page_cache()
    began = time.monotonic()
    server.start()
    took = time.monotonic() - began
    print(f"{sum(f.stat().st_size for f in log_files(server)) / 1e9:.1f} GB in {len(log_files(server))} segments, "
          f"page cache {'dropped' if dropped else 'kept (not root)'}: ready after {took * 1000:.0f} ms")
    last = [m.offset() for m in server.consume("big", offset=acked - 10)]
    assert last[:10] == list(range(acked - 10, acked)) and last == list(range(acked - 10, last[-1] + 1))
    assert took < READY_SECONDS
