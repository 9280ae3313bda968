#!/bin/sh
# java_classpath.sh kafka|parquet: prints a Java class path with that program and all that it needs.
# Gets it once, from Maven Central, into .cache/NAME-VERSION/libs; needs java and mvn.
#   kafka    Apache Kafka: its log dump and its producer in tests, a peer in bench
#   parquet  parquet-java's command-line tool, which reads our files in a test; its messages by log4j
set -eu
case ${1:-} in
kafka)
    name=kafka-3.9.1
    artifacts='org.apache.kafka:kafka_2.13:3.9.1 org.slf4j:slf4j-nop:1.7.36'
    ;;
parquet)
    name=parquet-cli-1.15.2
    artifacts='org.apache.parquet:parquet-cli:1.15.2 com.google.guava:guava:33.4.8-jre org.slf4j:slf4j-reload4j:1.7.36
        org.apache.hadoop:hadoop-client-api:3.3.6 org.apache.hadoop:hadoop-client-runtime:3.3.6'
    ;;
*)
    echo "Usage: java_classpath.sh kafka|parquet" >&2
    exit 2
    ;;
esac
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
cache=$root/.cache/$name

# A dependency for each group:artifact:version.
dependencies()
{
    for artifact in $artifacts; do
        group=${artifact%%:*} rest=${artifact#*:}
        echo "<dependency><groupId>$group</groupId><artifactId>${rest%:*}</artifactId><version>${rest#*:}</version></dependency>"
    done
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # several tests may ask at once
if [ ! -e "$cache/installed" ]; then
    cat >"$cache/pom.xml" <<XML
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>spillway.tests</groupId><artifactId>$1</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies>$(dependencies)</dependencies>
</project>
XML
    (cd "$cache" && mvn -q -B dependency:copy-dependencies -DoutputDirectory=libs >&2)
    : >"$cache/installed"
fi
printf '%s/libs/*\n' "$cache"
