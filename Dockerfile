# One image for each service, with the program only: docker build --build-arg SERVICE=ingest -t signrelay/ingest .
# SERVICE is one of the stages below; `make images` builds all images. The build needs BuildKit, Docker's default.
ARG SERVICE=signrelay
# Named by digest, because a tag may be moved. docker-library/repo-info has the digest of the tag.
ARG GO_IMAGE=golang:1.26.8-bookworm@sha256:9fdc884aacc3bec89b20ffc69f4bb369c78210e3e4f600387b5128b12c199f81

# This stage builds all programs, for every image: they share most packages, so eight images need only one build.
FROM ${GO_IMAGE} AS build
ARG VERSION=unknown
ARG COMMIT=unknown
# The compiler and standard library, verified by the Go checksum database. The version is GO_RELEASE of the Makefile.
ARG GO_RELEASE=go1.27.3
# GOPROXY comes from the machine that builds; if it is not set, Go uses its default.
ARG GOPROXY
ENV CGO_ENABLED=0 GOTOOLCHAIN=${GO_RELEASE} GOMODCACHE=/cache/modules GOCACHE=/cache/build
WORKDIR /src
# /out/data is an empty folder of the image's user, so that a volume that is mounted there belongs to this user.
RUN --mount=type=bind,target=/src \
    --mount=type=cache,target=/cache \
    mkdir -p /out/data && \
    VERSION=$VERSION COMMIT=$COMMIT .ci/build /src /out && \
    programs=$(find /out -maxdepth 1 -type f) && \
    cd supply && GOWORK=off go run ./bill -out /out -version "$VERSION" $programs

FROM scratch AS image
ARG SERVICE
ARG VERSION=unknown
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="signrelay ${SERVICE}" \
      org.opencontainers.image.description="Stores e-signature callbacks in one durable log, and sends the messages that follow" \
      org.opencontainers.image.source="https://github.com/signrelay/signrelay" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build /out/${SERVICE} /service
# The SBOM of the program (CycloneDX), and the licences of third-party code in it.
COPY --from=build /out/${SERVICE}.cdx.json /sbom.cdx.json
COPY --from=build /out/${SERVICE}.third-party.txt /THIRD-PARTY.txt
# The user "nobody", as a number: Kubernetes' runAsNonRoot cannot check a name. Only `signrelay run` writes files, in /data, so the root
# file system may be read-only.
USER 65532:65532
WORKDIR /data
# The admin listener. Set SIGNRELAY_ADMIN_ADDR=:9090 for probes and Prometheus; by default it is on loopback.
EXPOSE 9090
STOPSIGNAL SIGTERM
# The image has no shell, so the program itself calls its admin listener.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/service", "healthcheck"]
ENTRYPOINT ["/service"]

# <services: stages>, written by make generate: a stage for each service, with its own listeners
FROM image AS ingest
EXPOSE 8080
FROM image AS enricher
FROM image AS shortener
EXPOSE 8083
FROM image AS sms-sender
EXPOSE 8084
FROM image AS email-sender
FROM image AS kafka-bridge
FROM image AS sandbox
EXPOSE 8082 2525
FROM image AS reminder
FROM image AS reconciler
FROM image AS keeper
FROM image AS archiver
FROM image AS console
EXPOSE 8081
FROM image AS indexer
# </services: stages>
# The command line, with all services in one process: docker run signrelay/signrelay run
FROM image AS signrelay
EXPOSE 8080 8082

FROM ${SERVICE}
