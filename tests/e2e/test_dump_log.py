"""A sealed segment is a Kafka segment: Apache Kafka's own DumpLogSegments reads it and both of its indexes."""
import random
import re
import subprocess

from confluent_kafka import Producer

from conftest import java_classpath

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
# What the tool prints beside records: the files that it dumps and where each starts.
EXPECTED = re.compile(r"Dumping |Starting offset: |Log starting offset: |baseOffset: |\| offset: |offset: \d+ position: |"
                      r"timestamp: \d+ offset: ")


def dump(*files):
    done = subprocess.run(["java", "-Xmx256m", "-cp", java_classpath("kafka"), "kafka.tools.DumpLogSegments",
                           "--deep-iteration", "--files", ",".join(map(str, files))],
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done


def complaints(done):
    """Lines of either output that the tool would not print of a good segment."""
    odd = [line for line in done.stdout.splitlines() if line and not EXPECTED.match(line)]
    invalid = [line for line in done.stdout.splitlines() if "isvalid: false" in line]
    return odd + invalid + done.stderr.splitlines()


def check(server, topic, records):
    """Dumps every sealed segment of shard 0; returns the tool's output and how many there were."""
    sealed = sorted((server.data / "log" / topic / "0").glob("*.log"))[:-1]
    files = [file for log in sealed for file in (log, log.with_suffix(".index"), log.with_suffix(".timeindex"))]
    assert sealed and all(file.stat().st_size > 0 for file in files)
    done = dump(*files)
    assert not complaints(done)
    offsets = [int(n) for n in re.findall(r"^\| offset: (\d+)", done.stdout, re.M)]
    assert offsets == list(range(len(offsets))) and 0 < len(offsets) <= records
    return done.stdout, len(sealed)


def test_sealed_segments_pass_kafkas_own_log_dump(make_server):
    server = make_server("--dev", "--set", "storage.segment_bytes=64KiB")
    for n in range(40):
        server.ingest(*({"type": f"kind.{n % 7}", "ts": f"2026-11-20T12:{n:02}:00Z", "note": random.randbytes(60).hex()}
                        for _ in range(100)))
    sent = 0
    for codec in CODECS:
        producer = Producer({"bootstrap.servers": server.kafka, "compression.type": codec, "linger.ms": 5,
                             "batch.size": 20000})
        for n in range(1500):
            producer.produce("t", random.randbytes(60).hex() * 2, key=str(n),
                             headers={"n": str(n)}, timestamp=1_800_000_000_000 + (n * 7919) % 100_000)
            sent += 1
        assert producer.flush(60) == 0
    server.stop()
    text, segments = check(server, "events", 4000)
    assert segments > 1 and "compresscodec: lz4" in text
    text, segments = check(server, "t", sent)
    assert segments > 1
    for codec in CODECS:
        assert f"compresscodec: {codec}" in text, codec
    # The check can fail: one flipped bit of a batch is noticed.
    damaged = server.data / "00000000000000000000.log"
    data = bytearray((server.data / "log/events/0/00000000000000000000.log").read_bytes())
    data[40] ^= 1  # in the timestamps, which the CRC covers
    damaged.write_bytes(data)
    assert complaints(dump(damaged))
