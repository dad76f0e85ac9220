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
  # Where another one was faster this one lands inside its folder, where nobody looks, or is thrown away.
  mv -T "$fresh" "$folder" 2>/dev/null || [ -d "$folder" ] || mv "$fresh" "$folder"
fi
echo "$folder"
