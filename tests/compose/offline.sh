#!/bin/sh
# Runs `make compose-test` on a Debian machine that cannot pull images: with its own Docker engine in its own network namespace, which has
# only the local images of standins.sh, and which ends with this script. It needs root, and the packages named there. If `docker compose` is
# missing, it and buildx are built from their Go modules, once, into .tools.
#
#   tests/compose/offline.sh              or with the name of a test: tests/compose/offline.sh ThreeNodes
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
engine=

end() {
  if [ -n "$engine" ]; then
    kill "$engine" 2>/dev/null || true
    while kill -0 "$engine" 2>/dev/null; do sleep 0.2; done
  fi
  rm -rf "$work"
}
trap end EXIT
trap 'exit 1' INT TERM

# Their go.mod files replace modules, which `go install` refuses, so they are built in their own folders.
plugin() {
  name=$1; module=$2; package=$3; flags=$4
  path=$root/.tools/$name-${module##*@}/$name
  if [ ! -x "$path" ]; then
    from=$(cd / && GOWORK=off go mod download -json "$module" | sed -n 's/.*"Dir": "\(.*\)",/\1/p')
    cp -r "$from" "$work/$name" && chmod -R u+w "$work/$name"
    (cd "$work/$name" && GOWORK=off GOFLAGS=-mod=mod CGO_ENABLED=0 go build -ldflags "-s -w $flags" -o "$path" "$package")
  fi
  mkdir -p "$DOCKER_CONFIG/cli-plugins"
  ln -s "$path" "$DOCKER_CONFIG/cli-plugins/$name"
}

if ! docker compose version > /dev/null 2>&1; then
  export DOCKER_CONFIG="$work/config"
  plugin docker-compose github.com/docker/compose/v2@v2.40.3 ./cmd ""
  plugin docker-buildx github.com/docker/buildx@v0.30.1 ./cmd/buildx "-X github.com/docker/buildx/version.Version=v0.30.1"
fi

export DOCKER_HOST="unix://$work/docker.sock"
# shellcheck disable=SC2016 # the inner shell's own
unshare --net --mount sh -c 'ip link set lo up
  exec dockerd --data-root "$0/data" --exec-root "$0/exec" --pidfile "$0/pid" --host "unix://$0/docker.sock" > "$0/log" 2>&1' "$work" &
engine=$!
for _ in $(seq 100); do docker version > /dev/null 2>&1 && break; sleep 0.2; done
docker version > /dev/null || { cat "$work/log"; exit 1; }

"$root/tests/compose/standins.sh"
eval "$("$root/tests/compose/standins.sh" settings)"
cd "$root/tests"
go test -c -o "$work/compose.test" ./compose
cd compose
export SIGNRELAY_TEST_COMPOSE=1
nsenter --target "$engine" --net -- "$work/compose.test" -test.v -test.timeout 40m -test.run "${1:-.}"
