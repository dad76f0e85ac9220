#!/bin/sh
# Fetches the Kafka broker of pom.xml into .tools/kafka-<version>, once (about 45 MB), and prints that folder. Several may
# run at the same time: each fetches into a folder of its own, and the first that is complete takes the name.
set -eu
cd "$(dirname "$0")"
version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' pom.xml)
mkdir -p ../../.tools
folder=$(cd ../../.tools && pwd)/kafka-$version
if [ ! -d "$folder" ]; then
  fresh=$(mktemp -d "$folder.XXXXXX")
  trap 'rm -rf "$fresh"' EXIT
  mvn --batch-mode --quiet dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$fresh" >&2
  chmod 755 "$fresh"
  # If another process was faster, this folder is removed, or stays unused inside the other process's folder.
  mv -T "$fresh" "$folder" 2>/dev/null || [ -d "$folder" ] || mv "$fresh" "$folder"
  rm -rf "$fresh"
fi
# An archive of the classes that a broker loads (Java's class data sharing) makes each broker's start cheaper. It is for one version of Java, which ignores
# the archive of another, and for the jars in this folder. If it cannot be made, brokers start without it.
exec 9>"$folder.lock"
flock 9
java=$(java -version 2>&1 | cksum)
if [ "$(cat "$folder/classes.of" 2>/dev/null)" != "$java" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  port=$((33000 + $$ % 1000 * 2)) # above it the kernel takes ports for connections, but few of them
  cat >"$work/properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$port
listeners=PLAINTEXT://127.0.0.1:$((port + 1)),CONTROLLER://127.0.0.1:$port
controller.listener.names=CONTROLLER
log.dirs=$work/data
EOF
  java -cp "$folder/*" kafka.tools.StorageTool format --cluster-id=AAAAAAAAAAAAAAAAAAAAAA --config "$work/properties" >"$work/said" 2>&1 || true
  java -XX:ArchiveClassesAtExit="$work/classes.jsa" -XX:+UseSerialGC -cp "$folder/*" kafka.Kafka "$work/properties" >"$work/said" 2>&1 &
  broker=$!
  for _ in $(seq 300); do
    grep -q "Kafka Server started" "$work/said" && break
    kill -0 $broker 2>/dev/null || break
    sleep 0.2
  done
  kill $broker 2>/dev/null || true
  wait $broker || true
  if [ -s "$work/classes.jsa" ]; then
    mv "$work/classes.jsa" "$folder/classes.jsa"
    echo "$java" >"$folder/classes.of"
  fi
fi
echo "$folder"
