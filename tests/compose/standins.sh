#!/bin/sh
# Makes local replacements for the public images of the Dockerfile and docker-compose.yml, with the same names, from programs on this
# machine: for a Docker engine that cannot pull images. They contain the real programs (Go, nats-server, redis-server, Kafka, Prometheus)
# with the few files that these need, and read the same variables, as far as we use these.
#
#   DOCKER_HOST=unix:///… tests/compose/standins.sh             its last line sets variables for the shell that runs Compose
#
# Debian packages: docker.io busybox-static redis-server openjdk-17-jre-headless maven ca-certificates, and prometheus for
# the profile "observe". The programs' modules are included, so `docker build` needs no network.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# image prints an image's name in the compose file, without the digest, which a local image cannot have.
image() { sed -n "s,.*\${$1_IMAGE:-\([^@}]*\).*,\1,p" "$root/docker-compose.yml" | head -1; }

# libraries copies the libraries of a program into the folder $1.
libraries() {
  into=$1; shift
  for file; do ldd "$file" 2>/dev/null || true; done | sed -n 's,.*[[:space:]]\(/[^ ]*\) (0x.*,\1,p' | sort -u |
    while read -r library; do mkdir -p "$into/$(dirname "$library")"; cp -Ln "$library" "$into/$library"; done
}

# skeleton makes the folder $1 with a shell, the usual small programs, and a user.
skeleton() {
  mkdir -p "$1/bin" "$1/etc/ssl/certs" "$1/tmp" "$1/usr/bin"
  chmod 1777 "$1/tmp"
  cp "$(command -v busybox)" "$1/bin/busybox"
  for small in sh mkdir cp cat find grep sed wget sleep env ls id chown; do ln -sf busybox "$1/bin/$small"; done
  cp -L /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"
  printf 'root:x:0:0::/:/bin/sh\n%s:x:%s:%s::/:/bin/sh\n' "$2" "$3" "$3" > "$1/etc/passwd"
  printf 'root:x:0:\n%s:x:%s:\n' "$2" "$3" > "$1/etc/group"
}

# import makes the image $2 from the folder $1; the other arguments are Dockerfile lines.
import() {
  from=$1; name=$2; shift 2
  for line; do set -- "$@" -c "$line"; shift; done
  tar -C "$from" --numeric-owner -cf - . | docker import "$@" - "$name" > /dev/null
  echo "$name"
}

golang() {
  name=$(sed -n 's/^ARG GO_IMAGE=\([^@]*\).*/\1/p' "$root/Dockerfile")
  r=$work/golang
  skeleton "$r" go 1000
  goroot=$(go env GOROOT)
  mkdir -p "$r/usr/local" "$r/modules"
  cp -a "$goroot" "$r/usr/local/go"
  # Only the modules in go.sum; GOPROXY then is a folder.
  for module in proto libs supply "$root"/services/*; do
    (cd "$root/${module#"$root"/}" && GOWORK=off GOFLAGS=-mod=mod GOMODCACHE="$work/modules" \
      GOPROXY="file://$(go env GOMODCACHE)/cache/download,$(go env GOPROXY)" go mod download)
  done
  # The Go toolchain is a module, too.
  release=$(sed -n 's/^ARG GO_RELEASE=//p' "$root/Dockerfile")
  (cd "$work" && GOMODCACHE="$work/modules" go mod download "golang.org/toolchain@v0.0.1-$release.$(go env GOOS)-$(go env GOARCH)")
  cp -a "$work/modules/cache/download/." "$r/modules/"
  import "$r" "$name" 'ENV PATH=/usr/local/go/bin:/bin:/usr/bin' 'ENV GOPATH=/go' 'ENV GOPROXY=file:///modules' 'ENV GOSUMDB=off' 'ENV HOME=/root'
}

nats() {
  r=$work/nats
  skeleton "$r" nats 1000
  (cd "$root/tests" && CGO_ENABLED=0 go build -o "$r/bin/nats-server" github.com/nats-io/nats-server/v2)
  import "$r" "$(image NATS)" 'ENTRYPOINT ["/bin/nats-server"]' 'EXPOSE 4222 8222 6222'
}

redis() {
  r=$work/redis
  skeleton "$r" redis 999
  cp "$(command -v redis-server)" "$(command -v redis-cli)" "$r/usr/bin/"
  libraries "$r" "$r/usr/bin/redis-server" "$r/usr/bin/redis-cli"
  mkdir "$r/data"
  chown 999:999 "$r/data"
  import "$r" "$(image REDIS)" 'ENV PATH=/usr/bin:/bin' 'WORKDIR /data' 'VOLUME /data' 'CMD ["redis-server"]'
}

kafka() {
  r=$work/kafka
  skeleton "$r" appuser 1000
  jars=$("$root/tests/kafka/fetch.sh")
  java=$(readlink -f "$(command -v java)")
  java=${java%/bin/java}
  cp "$(command -v bash)" "$r/bin/bash"
  libraries "$r" "$r/bin/bash"
  mkdir -p "$r/opt/kafka" "$r/opt/java" "$r/var/lib/kafka/data"
  cp -aL "$jars" "$r/opt/kafka/libs"
  tar -C "$java" -ch --exclude=src.zip bin lib conf | tar -C "$r/opt/java" -x
  find "$java" -name '*.so' > "$work/libraries"
  # shellcheck disable=SC2046 # none of the names has a space
  libraries "$r" "$java/bin/java" $(cat "$work/libraries")
  cp "$root/tests/compose/kafka.sh" "$r/opt/kafka/run"
  chown -R 1000:1000 "$r/opt/kafka" "$r/var/lib/kafka"
  import "$r" "$(image KAFKA)" 'ENV PATH=/opt/java/bin:/bin:/usr/bin' 'USER appuser' 'VOLUME /var/lib/kafka/data' 'CMD ["/opt/kafka/run"]'
}

prometheus() {
  r=$work/prometheus
  skeleton "$r" nobody 65534
  cp "$(sh -c 'command -v prometheus')" "$r/bin/prometheus" # here the name prometheus means this function
  libraries "$r" "$r/bin/prometheus"
  mkdir -p "$r/prometheus"
  chown 65534:65534 "$r/prometheus"
  import "$r" "$(image PROMETHEUS)" 'USER nobody' 'WORKDIR /prometheus' 'VOLUME /prometheus' 'ENTRYPOINT ["/bin/prometheus"]'
}

# settings prints the variables with which the compose files use the local images: the files name most images by digest.
settings() {
  echo "export GO_IMAGE=$(sed -n 's/^ARG GO_IMAGE=\([^@]*\).*/\1/p' "$root/Dockerfile") REDIS_IMAGE=$(image REDIS) PROMETHEUS_IMAGE=$(image PROMETHEUS)"
}

[ $# -gt 0 ] || set -- golang nats redis kafka settings
for one; do "$one"; done
