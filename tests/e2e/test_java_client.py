"""The Java client as a producer: its batches (its snappy has a framing of its own) and its way of asking."""
import subprocess

import pytest

from conftest import java_classpath


@pytest.mark.parametrize("codec", ["none", "snappy", "zstd"])
def test_the_java_producer_is_understood(server, run, codec):
    lines = [f"{codec} line {n}" for n in range(500)]
    subprocess.run(["java", "-Xmx128m", "-cp", java_classpath("kafka"), "kafka.tools.ConsoleProducer",
                    "--bootstrap-server", server.kafka, "--topic", "t", "--compression-codec", codec,
                    "--producer-property", "enable.idempotence=false"],
                   input="\n".join(lines), text=True, check=True, timeout=120)
    assert [m.value().decode() for m in server.consume("t")] == lines
    dumped = run("log", "dump", "--data", server.data, "t")
    assert dumped.returncode == 0, dumped.stderr
    assert [line.split(" ", 2)[2] for line in dumped.stdout.splitlines()] == lines
