# The everyday commands. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

SERVICES := $(filter-out signrelay demo,$(notdir $(wildcard services/*/cmd/*)))
# The modules of go.work. One module holds all programs (docs/adr/0023-few-modules.md).
MODULES  := . proto examples/go tests
# These modules are not in go.work: the versions that the libraries of Kubernetes and KEDA and the supply chain's tools require must not
# affect the programs.
APART    := tests/helm supply

BUF_VERSION           := v1.75.0
GOLANGCI_LINT_VERSION := v2.15.0
# The plugin's version is the runtime's, which proto/go.mod pins.
PROTOC_GEN_GO_VERSION := v1.36.12
NATSCLI_VERSION       := v0.5.1
GOVULNCHECK_VERSION   := v1.9.0
# The Go version of releases and images; the Dockerfile names it, too.
GO_RELEASE            := go1.27.3
BUF           := $(CURDIR)/.tools/buf-$(BUF_VERSION)/buf
GOLANGCI_LINT := $(CURDIR)/.tools/golangci-lint-$(GOLANGCI_LINT_VERSION)/golangci-lint
PROTOC_GEN_GO := $(CURDIR)/.tools/protoc-gen-go-$(PROTOC_GEN_GO_VERSION)/protoc-gen-go
NATSCLI       := $(CURDIR)/.tools/natscli-$(NATSCLI_VERSION)/nats
GOVULNCHECK   := $(CURDIR)/.tools/govulncheck-$(GOVULNCHECK_VERSION)/govulncheck

# A release sets VERSION, because git describe may return the other tag of a commit with two tags.
VERSION := $(or $(VERSION),$(shell git describe --tags --always --dirty 2>/dev/null || echo unknown))
COMMIT  := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
GOFLAGS_BUILD := -trimpath -buildvcs=auto -ldflags "-s -w -X github.com/signrelay/signrelay/libs/service.version=$(VERSION) -X github.com/signrelay/signrelay/libs/service.commit=$(COMMIT)"

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  \033[1m%-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: bin/signrelay ## Build and run everything in one process: start here
	@./bin/signrelay run

# The packages of tests/ that start programs. Those with the longest waits are first, so that they wait at the same time.
WAITING := kafka examples observe permissions restore console e2e security contract month subscribe
# These also run code of libs/ in their own process, so they use the race detector, if any. The other packages start programs that are built
# without it.
RACED   := permissions security
module  := github.com/signrelay/signrelay
waiting  = $(addprefix $(module)/tests/,$(filter-out $(RACED),$(WAITING)))
raced    = $(addprefix $(module)/tests/,$(RACED))
others   = $$(go list $(module)/tests/... | grep -v -e /faults -e /helm $(addprefix -e /,$(WAITING)))
own      = $(addprefix $(module)/,libs/... services/... proto/... examples/go/...)
# The race detector is on in CI (CI=true), and with RACE=-race. Without it, the tests of our own code use the packages that the other tests
# have compiled already: a first `make test` compiles each package once instead of twice.
RACE := $(if $(CI),-race)
# Go's test cache does not track files outside a test's module, but it tracks the environment variables that a test reads. So tests of
# such files also read SIGNRELAY_TEST_FILES, a checksum of the files: $(call checksum,<files>).
checksum = SIGNRELAY_TEST_FILES=$(shell { git ls-files -co --exclude-standard -- $(1); git ls-files -zco --exclude-standard -- $(1) | xargs -0 cat 2>/dev/null; } | sha256sum | cut -c1-16)
files    = $(call checksum,.)
# A value of this run of make: a test builds each program once for each value, see tests/testenv/programs.go.
run     := SIGNRELAY_TEST_RUN=$(shell date +%s%N)
apart    = GOWORK=off $(call checksum,deployments docs services supply '*.md' ':!*_test.go')

.PHONY: check
check: ## Vet, gofmt, and every test that starts no server and no program
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go' | grep -v '\.pb\.go$$')); [ -z "$$unformatted" ] || { echo "run gofmt -w on: $$unformatted"; exit 1; }
	@go vet $(module)/...
	@for m in $(APART); do (cd $$m && GOWORK=off go vet ./...) || exit 1; done
	@env $(files) go test -vet=off -short -timeout 2m $(own) $(waiting) $(raced) $(others) | grep -v 'no test files'
	@for m in $(APART); do (cd $$m && env $(apart) go test -vet=off -short -timeout 2m ./...) || exit 1; done

# The tests of tests/ wait for servers and programs most of the time. Meanwhile the dependencies of the other tests are compiled, with a lower
# priority: some parts compile them in a way that the others do not use, with the race detector or for other versions. The tests of libs/ and
# services/ run afterwards, because beside the others some waited too long for a processor.
#
# go test would also vet each package and, for the facts that vet needs, every dependency of it from its source. make check and make lint vet.
.PHONY: test
test: redis-server postgres chromium prometheus kcat python npm ## Run every module's tests; with CI=true, also the race detector
	@$(MAKE) --no-print-directory -j3 compile-own test-programs test-apart
	@$(MAKE) --no-print-directory test-own

.PHONY: compile-own
compile-own:
	@nice go build $(RACE) $(own)

# These tests may use cached results.
.PHONY: test-own
test-own:
	@go test -vet=off $(RACE) -timeout 15m -p 4 $(TESTFLAGS) $(own)

# These tests start programs, which Go's test cache does not track.
.PHONY: test-programs
test-programs: kafka-broker node-packages $(NATSCLI)
	@$(run) go test -vet=off -timeout 15m -count=1 -p 4 -parallel 8 $(TESTFLAGS) $(waiting) $(others)
	@$(run) go test -vet=off $(RACE) -timeout 15m -count=1 -p 4 -parallel 8 $(TESTFLAGS) $(raced)

.PHONY: test-apart
test-apart:
	@for m in $(APART); do (cd $$m && env $(apart) nice go test -vet=off -timeout 15m $(TESTFLAGS) ./... | sed "s,^,$$m: ,") || exit 1; done

.PHONY: build
build: ## Build every program into bin/
	@CGO_ENABLED=0 go build $(GOFLAGS_BUILD) -o bin/ ./services/standalone/cmd/signrelay $(foreach s,$(SERVICES),./services/$(s)/cmd/$(s))

.PHONY: demo
demo: build redis-server ## Send the sample callbacks to a new instance in one process, and show the resulting messages
	@go run ./services/standalone/cmd/demo

.PHONY: e2e
e2e: build redis-server chromium ## Run the end-to-end and security tests: in one process, and with a process for each service
	@cd tests && $(run) go test -race -timeout 15m -count=1 ./e2e/... ./security/...

.PHONY: faults
faults: redis-server ## Kill programs, cut connections and fill disks, and check that nothing is lost or sent twice (two minutes)
	@cd tests/faults && go test -count=1 -parallel 8 -timeout 20m

.PHONY: faults-all
faults-all: redis-server ## Run make faults with every row of its table
	@cd tests/faults && SIGNRELAY_TEST_FAULTS=all go test -count=1 -parallel 4 -timeout 30m
	@cd tests/month && SIGNRELAY_TEST_FAULTS=all go test -count=1 -timeout 30m
	@cd tests/reconcile && SIGNRELAY_TEST_FAULTS=all go test -count=1 -timeout 30m

.PHONY: guards
guards: redis-server node-packages ## Remove each guard against an attack in turn, and check that the attack's test fails (20 minutes on two cores)
	@cd tests && SIGNRELAY_TEST_GUARDS=1 go test -v -count=1 -parallel 2 -timeout 60m -run '^TestGuards$$' ./security/

.PHONY: bench
bench: build redis-server ## Measure: callbacks per second, CPU per callback, memory, start, replicas, the cost of a million callbacks (up to an hour)
	@cd tests && go test -run '^$$' -bench . -benchtime 1x -timeout 90m ./bench/... ./kafka

.PHONY: screenshots
screenshots: chromium node-packages ## Take the pictures of docs/console.md again
	@mkdir -p docs/console && cd tests && SIGNRELAY_TEST_SCREENSHOTS=$(CURDIR)/docs/console go test -vet=off -count=1 -run '^TestBusyPagesAreAccessible$$' ./console

.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZTIME (30s), and print the number of executions
	@.ci/fuzz

# The packages of the released programs, by import path.
SHIPPED := $(addprefix github.com/signrelay/signrelay/,proto/... libs/... services/...)
.PHONY: vulncheck
vulncheck: ## Look for known vulnerabilities in the code that the programs reach; VULNDB=https://vuln.go.dev uses the database itself
	@(cd supply && GOWORK=off go build -o $(CURDIR)/.tools/vulncheck ./vulncheck)
	@[ -x $(GOVULNCHECK) ] || $(MAKE) --no-print-directory $(GOVULNCHECK) || [ -n "$${VULNDB_REQUIRED:-}" ] || \
	  { echo "VULNERABILITY CHECK SKIPPED: govulncheck is not available here"; exit 0; }; \
	[ ! -x $(GOVULNCHECK) ] || .tools/vulncheck -tool $(GOVULNCHECK) -go $(GO_RELEASE) -copy .ci/vulndb.jsonl \
	  $${VULNDB:+-db $$VULNDB} $${VULNDB_REQUIRED:+-required} $(SHIPPED)

.PHONY: vulndb
vulndb: ## Take a new copy of the vulnerability database, .ci/vulndb.jsonl, through the Go module proxy
	@(cd supply && GOWORK=off go build -o $(CURDIR)/.tools/vulncheck ./vulncheck)
	@.tools/vulncheck -refresh -go $(GO_RELEASE) -copy .ci/vulndb.jsonl $(SHIPPED)

.PHONY: licences
licences: build ## Fail if a program contains a module whose licence is not allowed
	@cd supply && GOWORK=off go run ./bill -check $(addprefix $(CURDIR)/bin/,signrelay $(SERVICES))

.PHONY: reproducible
reproducible: ## Build a program in two folders and fail unless the files are equal
	@.ci/reproducible signrelay

.PHONY: release
release: ## Build the release's files into dist/: archives, SBOMs, notices, checksums (docs/release.md)
	@GO_RELEASE=$(GO_RELEASE) .ci/release

.PHONY: images
images: ## Build an image of each program, signrelay/<program>, with Docker
	@for p in $(SERVICES) signrelay; do \
	  DOCKER_BUILDKIT=1 docker build --quiet --build-arg SERVICE=$$p --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) $${GOPROXY:+--build-arg GOPROXY} $${GO_IMAGE:+--build-arg GO_IMAGE} \
	    --tag signrelay/$$p:$(VERSION) --tag signrelay/$$p:dev . || exit 1; done

.PHONY: programs
programs:
	@echo $(SERVICES) signrelay

.PHONY: compose-test
compose-test: ## Start the compose files and kill containers during stories (ten minutes; needs a Docker engine and Compose 2.20)
	@cd tests && SIGNRELAY_TEST_COMPOSE=1 go test -v -count=1 -timeout 40m ./compose/

# One run lints all modules of go.work: a run for each would analyse the packages of the others again (190 s of CPU instead of 80).
.PHONY: lint
lint: $(GOLANGCI_LINT) $(BUF) ## Lint Go and protobuf
	@$(GOLANGCI_LINT) run --config $(CURDIR)/.golangci.yml ./... $(patsubst %,./%/...,$(filter-out .,$(MODULES)))
	@for m in $(APART); do echo "== $$m"; (cd $$m && GOWORK=off $(GOLANGCI_LINT) run --config $(CURDIR)/.golangci.yml ./...) || exit 1; done
	@cd proto && $(BUF) lint && $(BUF) breaking --against released.binpb

.PHONY: generate
generate: $(BUF) $(PROTOC_GEN_GO) ## Generate code and JSON Schema from proto/, and the README's picture, the accounts of NATS and Redis, and the chart's tables from libs/flow
	@cd proto && PATH="$(dir $(PROTOC_GEN_GO)):$$PATH" $(BUF) generate
	@go run ./libs/flow/picture -write README.md && go run ./libs/flow/accounts -write deployments
	@go run ./libs/flow/scaling -write deployments/helm/signrelay/files/flow.yaml && go run ./services/sections/names -write deployments/helm/signrelay/files/settings.yaml
	@go run ./services/standalone/tables -root .
	@cd tests/helm && GOWORK=off go test -count=1 -run '^TestReadmeDocumentsEveryValue$$' . -update >/dev/null
	@(cd proto && $(BUF) build -o -) | go run ./libs/event/schema -write docs
	@go work sync && for m in $(MODULES); do (cd $$m && go mod tidy) || exit 1; done
	@for m in $(APART); do (cd $$m && GOWORK=off go mod tidy) || exit 1; done
	@.ci/linked > docs/linked.txt

GENERATED := proto README.md docs/linked.txt docs/operate.md deployments docker-compose.yml Dockerfile .env.example docs/event.schema.json docs/asyncapi.yaml '*go.mod' '*go.sum' go.work
.PHONY: generate-check
generate-check: generate ## Fail when generated files, go.mod or go.sum files are stale
	@if [ -n "$$(git status --porcelain -- $(GENERATED))" ]; then \
	  git --no-pager diff -- $(GENERATED) | head -60 || true; echo "stale: run make generate and commit"; exit 1; fi

.PHONY: proto-release
proto-release: $(BUF) ## Make the current contract the reference for breaking changes (at a release)
	@cd proto && $(BUF) build -o released.binpb

.PHONY: clean
clean: ## Remove built programs and tools
	rm -rf bin dist .tools

# Dependencies of the tests that are not Go modules.
.PHONY: redis-server
redis-server:
	@command -v redis-server >/dev/null || [ -n "$${SIGNRELAY_TEST_REDIS_URL:-}" ] || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing redis-server for the tests"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server >/dev/null; \
	  else echo "the tests need redis-server: install the package redis-server (Debian) or redis (Homebrew, Fedora), or set SIGNRELAY_TEST_REDIS_URL"; exit 1; fi; }

# Programs that only some tests need. In CI, make installs them: $(call in-ci,<test for the program>,<packages>).
in-ci = @$(1) >/dev/null 2>&1 || [ "$${CI:-}" != true ] || { echo "installing $(2) for the tests"; \
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(2) >/dev/null; }

.PHONY: postgres
postgres: # the search index is tested with a real PostgreSQL
	$(call in-ci,command -v initdb || ls /usr/lib/postgresql/*/bin/initdb,postgresql)

.PHONY: chromium
chromium: # pages are tested in a real browser
	$(call in-ci,command -v chromium,chromium)

.PHONY: prometheus
prometheus: # alert rules and the dashboard are tested in a real Prometheus
	$(call in-ci,command -v promtool,prometheus)

.PHONY: kcat
kcat: # docs/subscribe.md's commands are run
	$(call in-ci,command -v kcat,kcat)

.PHONY: python
python: # the examples are run; the tests install the packages
	$(call in-ci,python3 -c 'import ensurepip',python3 python3-venv)

.PHONY: npm
npm:
	$(call in-ci,command -v npm,nodejs npm)

.PHONY: node-packages
node-packages: npm # asyncapi.yaml is read with the AsyncAPI initiative's own parser; titles are tested with linkifiers; pages with axe-core
	@if command -v npm >/dev/null; then for folder in tests/contract/parser tests/console/axe libs/realtest/npm/linkifier; do libs/realtest/npm/fetch.sh $$folder >/dev/null || exit 1; done; fi

# Without Java and Maven, the tests use a protocol server in their own process instead of a broker, and report it. In CI they fail.
.PHONY: kafka-broker
kafka-broker:
	@if command -v java >/dev/null && command -v mvn >/dev/null; then tests/kafka/fetch.sh >/dev/null; fi

# go build does not rebuild a program that is up to date.
.PHONY: bin/signrelay
bin/signrelay:
	@CGO_ENABLED=0 go build $(GOFLAGS_BUILD) -o bin/signrelay ./services/standalone/cmd/signrelay

.PHONY: $(addprefix bin/,$(SERVICES))
$(addprefix bin/,$(SERVICES)): bin/%:
	@CGO_ENABLED=0 go build $(GOFLAGS_BUILD) -o bin/$* ./services/$*/cmd/$*

# A tool's folder has the version in its name, so that make builds each version once.
$(GOLANGCI_LINT):
	@echo "building golangci-lint $(GOLANGCI_LINT_VERSION)"; GOWORK=off GOBIN=$(@D) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)

$(BUF):
	@echo "building buf $(BUF_VERSION)"; GOWORK=off GOBIN=$(@D) go install github.com/bufbuild/buf/cmd/buf@$(BUF_VERSION)

$(PROTOC_GEN_GO):
	@GOWORK=off GOBIN=$(@D) go install google.golang.org/protobuf/cmd/protoc-gen-go@$(PROTOC_GEN_GO_VERSION)

$(NATSCLI):
	@echo "building the nats command line $(NATSCLI_VERSION)"; GOWORK=off GOBIN=$(@D) go install github.com/nats-io/natscli/nats@$(NATSCLI_VERSION)

$(GOVULNCHECK):
	@echo "building govulncheck $(GOVULNCHECK_VERSION)"; GOWORK=off GOBIN=$(@D) go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
