#!/bin/sh
# Makes a Python environment with an S3 server in .tools/moto-<checksum>, once (about 140 MB), and prints that folder. Several may run at the
# same time: the first creates it, the others wait.
set -eu
cd "$(dirname "$0")"
root=$(cd ../../.. && pwd)
folder=$root/.tools/moto-$(cksum requirements.txt | cut -d ' ' -f 1)
mkdir -p "$root/.tools"
exec 9>"$folder.lock"
flock 9
if [ ! -e "$folder/complete" ]; then
  rm -rf "$folder"
  python3 -m venv "$folder" >&2
  "$folder/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: -r requirements.txt >&2
  touch "$folder/complete"
fi
echo "$folder"
