#!/bin/sh
# Makes a Python environment with the packages of requirements.txt and the examples' event_pb2.py in
# .tools/python-<checksum>, once (about 70 MB), and prints that folder. Several may run at the same time: the first creates
# it, the others wait.
set -eu
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
sum=$(cat requirements.txt "$root/examples/python/requirements.txt" "$root/proto/signrelay/signing/v1/event.proto" | cksum | cut -d ' ' -f 1)
folder=$root/.tools/python-$sum
mkdir -p "$root/.tools"
exec 9>"$folder.lock"
flock 9
if [ ! -e "$folder/complete" ]; then
  rm -rf "$folder"
  python3 -m venv "$folder" >&2
  "$folder/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: -r requirements.txt >&2
  mkdir "$folder/contract"
  "$folder/bin/python" -m grpc_tools.protoc -I "$root/proto" --python_out="$folder/contract" signrelay/signing/v1/event.proto
  touch "$folder/complete"
fi
echo "$folder"
