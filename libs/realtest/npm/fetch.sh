#!/bin/sh
# fetch.sh FOLDER: fetches the packages of FOLDER/package.json into .tools/<name>-<version>, once, and prints that folder. Several
# processes may run at the same time: each fetches into its own folder, and the first complete folder gets the name.
set -eu
cd "$1"
field() { sed -n 's/^  "'"$1"'": "\(.*\)".*/\1/p' package.json; }
root=$(while [ ! -e go.work ]; do cd ..; done; pwd)
mkdir -p "$root/.tools"
folder=$root/.tools/$(field name)-$(field version)
if [ ! -d "$folder" ]; then
  fresh=$(mktemp -d "$folder.XXXXXX")
  trap 'rm -rf "$fresh"' EXIT
  cp package.json package-lock.json "$fresh"
  (cd "$fresh" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
  chmod 755 "$fresh"
  # If another process was faster, this copy ends up unused inside its folder, or is removed.
  mv -T "$fresh" "$folder" 2>/dev/null || [ -d "$folder" ] || mv "$fresh" "$folder"
fi
echo "$folder"
