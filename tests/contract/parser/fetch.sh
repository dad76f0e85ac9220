#!/bin/sh
# Fetches the parser of package.json into .tools/asyncapi-parser-<version>, once (about 50 MB), and prints that folder. Several
# may run at the same time: each fetches into a folder of its own, and the first that is complete takes the name.
set -eu
cd "$(dirname "$0")"
version=$(sed -n 's/.*"@asyncapi\/parser": "\(.*\)".*/\1/p' package.json)
mkdir -p ../../../.tools
folder=$(cd ../../../.tools && pwd)/asyncapi-parser-$version
if [ ! -d "$folder" ]; then
  fresh=$(mktemp -d "$folder.XXXXXX")
  trap 'rm -rf "$fresh"' EXIT
  cp package.json package-lock.json "$fresh"
  (cd "$fresh" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
  chmod 755 "$fresh"
  # Where another one was faster this one lands inside its folder, where nobody looks, or is thrown away.
  mv -T "$fresh" "$folder" 2>/dev/null || [ -d "$folder" ] || mv "$fresh" "$folder"
fi
echo "$folder"
