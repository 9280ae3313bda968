#!/bin/sh
# Prints a Java class path with Apache Kafka and all that it needs. Gets it once, from Maven Central,
# into .cache/kafka-VERSION/libs; needs java and mvn. Used by tests (its log dump tool) and bench
# (as a peer).
set -eu
version=3.9.1
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
cache=$root/.cache/kafka-$version

if [ ! -e "$cache/installed" ]; then
    mkdir -p "$cache"
    cat >"$cache/pom.xml" <<XML
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>spillway.tests</groupId><artifactId>kafka</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies><dependency>
    <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
    <version>$version</version>
  </dependency><dependency>
    <groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version>
  </dependency></dependencies>
</project>
XML
    (cd "$cache" && mvn -q -B dependency:copy-dependencies -DoutputDirectory=libs >&2)
    : >"$cache/installed"
fi
printf '%s/libs/*\n' "$cache"
