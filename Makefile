# What is done with this repository. `make` alone lists it; .ci/run is the whole of what has to hold before a change lands.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS   += --no-print-directory

GO     ?= go
TOOLS  := $(CURDIR)/.cache/bin
OUT    := artifacts
FUZZTIME ?= 5s
BENCHTIME ?= 1s
BENCH  ?= .
COUNT  ?= 1
TESTFLAGS ?= -timeout 20m -count=$(COUNT)
SCENARIO ?= fanout

GOFUMPT_VERSION   := v0.12.0
GOLANGCI_VERSION  := v2.15.0
GOTESTSUM_VERSION := v1.13.0
BENCHSTAT_VERSION := v0.0.0-20260908200009-22c9c6c9d4da
VERSITYGW_VERSION := v1.7.0

# Tests that spend their time in other processes (Node, Chromium, killed servers): the race detector would see little
# of it and cost a lot.
HEAVY := /difftest$$|/internal/browser$$|/internal/e2e

# Names of tests that are skipped under the race detector, which makes up allocations and times: they run without it.
UNRACED := Alloc|TakesTime

# The Go files that are or may become part of the repository.
SOURCES := git ls-files --cached --others --exclude-standard --deduplicate '*.go' | while read -r f; do [ ! -e "$$f" ] || echo "$$f"; done

# gotestsum shows what runs, keeps the record, and sums up at the end, skipped tests included.
SUM = $(TOOLS)/gotestsum --format pkgname-and-test-fails --format-icons text --jsonfile $(OUT)/$@.json --

.PHONY: help
help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  \033[1m%-13s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: export YSERVERD_TEST_REQUIRE = 1
test: needs $(TOOLS)/gotestsum ## run every test; installs what they need, and a test that lacks something fails
	@$(MAKE) --keep-going test-race test-unraced test-heavy

.PHONY: test-race test-unraced test-heavy
test-race: $(TOOLS)/gotestsum
	@mkdir -p $(OUT) && echo "== with the race detector"
	@$(SUM) -race $(TESTFLAGS) $$($(GO) list ./... | grep -vE '$(HEAVY)')
test-unraced: $(TOOLS)/gotestsum
	@mkdir -p $(OUT) && echo "== allocations and times, which the race detector would falsify"
	@$(SUM) -run '$(UNRACED)' $(TESTFLAGS) $$($(GO) list ./... | grep -vE '$(HEAVY)')
test-heavy: $(TOOLS)/gotestsum
	@mkdir -p $(OUT) && echo "== differential, browser and crash tests"
	@$(SUM) $(TESTFLAGS) $$($(GO) list ./... | grep -E '$(HEAVY)')

.PHONY: test-short
test-short: $(TOOLS)/gotestsum ## run the quick tests; what needs a missing program is skipped
	@mkdir -p $(OUT)
	@$(SUM) -short -timeout 10m ./...

.PHONY: test-long
test-long: export YSERVERD_TEST_REQUIRE = 1
test-long: export YSERVERD_TEST_LONG = 1
test-long: TESTFLAGS := -timeout 4h
test-long: needs $(TOOLS)/gotestsum ## run every test in its long form; takes hours
	@$(MAKE) --keep-going TESTFLAGS='$(TESTFLAGS)' test-race test-unraced test-heavy

.PHONY: lint
lint: ## check format, vet, linters and the direction of the packages
	@$(MAKE) --keep-going lint-format lint-vet lint-linters lint-direction

.PHONY: lint-format lint-vet lint-linters lint-direction
lint-format: $(TOOLS)/gofumpt
	@unformatted=$$($(TOOLS)/gofumpt -l $$($(SOURCES))); \
	if [ -n "$$unformatted" ]; then echo "not formatted (make format):"; echo "$$unformatted"; exit 1; fi
lint-vet:
	$(GO) vet ./...
lint-linters: $(TOOLS)/golangci-lint
	$(TOOLS)/golangci-lint run --allow-parallel-runners ./...
lint-direction:
	$(GO) test -count=1 ./internal/deps

.PHONY: format
format: $(TOOLS)/gofumpt ## format the Go files
	$(TOOLS)/gofumpt -w $$($(SOURCES))

.PHONY: fuzz-short
fuzz-short: ## fuzz every target for FUZZTIME (5s)
	@.ci/fuzz $(FUZZTIME)

.PHONY: fuzz
fuzz: ## fuzz every target for five minutes
	@.ci/fuzz 5m

.PHONY: bench
bench: ## run the benchmarks that match BENCH (.) into artifacts/bench.txt
	@mkdir -p $(OUT)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -benchtime $(BENCHTIME) -count $(COUNT) ./... | grep -v '\[no test files\]' | tee $(OUT)/bench.txt

.PHONY: bench-engine
bench-engine: ## compare the document engine with yjs on this machine, and run its benchmarks
	@mkdir -p $(OUT)
	YSERVERD_TEST_REQUIRE=1 YSERVERD_TEST_LONG=1 $(GO) test -count=1 -v -run TestEngineAgainstYjs ./internal/e2e | tee $(OUT)/engine-against-yjs.txt
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -benchtime $(BENCHTIME) -count $(COUNT) ./protocol/... | grep -v '\[no test files\]' | tee $(OUT)/bench-engine.txt

.PHONY: bench-stores
bench-stores: needs ## compare appends with what the medium does at least, joins with and without a long log, and storage
	@mkdir -p $(OUT)
	YSERVERD_TEST_REQUIRE=1 $(GO) test -count=$(COUNT) -v -run 'TestAppendAgainst|TestStorageCost' ./persist/pebble ./persist/postgres | tee $(OUT)/stores.txt
	YSERVERD_TEST_REQUIRE=1 YSERVERD_TEST_LONG=1 $(GO) test -count=$(COUNT) -v -run 'TestJoinWithLongTail|TestStorageOfB4' ./internal/e2e | tee -a $(OUT)/stores.txt

.PHONY: load
load: build ## put a fresh server under load: SCENARIO (fanout, awareness, join, idle) with the flags in ARGS
	$(GO) run ./fixtures/load $(SCENARIO) -cmd 'bin/yserverd dev --listen 127.0.0.1:{port} --data {dir}' -url 'ws://127.0.0.1:{port}/{room}' $(ARGS)

.PHONY: build
build: ## build bin/yserverd
	$(GO) build -trimpath -o bin/yserverd ./cmd/yserverd

.PHONY: dev
dev: ## run a development server on 127.0.0.1:1234
	$(GO) run ./cmd/yserverd dev

.PHONY: needs
needs: ## install the programs that the tests need, where that is possible
	@.ci/needs gcc node npm chromium postgresql versitygw

.PHONY: tools
tools: $(TOOLS)/gofumpt $(TOOLS)/golangci-lint $(TOOLS)/gotestsum $(TOOLS)/benchstat ## install the tools into .cache/bin

.PHONY: clean
clean: ## remove what was built and recorded here
	rm -rf bin .cache $(OUT)

# A tool is installed again when its version changes: the stamp carries it.
$(TOOLS)/gofumpt: .cache/gofumpt-$(GOFUMPT_VERSION)
$(TOOLS)/golangci-lint: .cache/golangci-lint-$(GOLANGCI_VERSION)
$(TOOLS)/gotestsum: .cache/gotestsum-$(GOTESTSUM_VERSION)
$(TOOLS)/benchstat: .cache/benchstat-$(BENCHSTAT_VERSION)
$(TOOLS)/versitygw: .cache/versitygw-$(VERSITYGW_VERSION)

define install
	@mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) $(GO) install $(1)
	@touch $@
endef

.cache/gofumpt-%:
	$(call install,mvdan.cc/gofumpt@$*)
.cache/golangci-lint-%:
	$(call install,github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$*)
.cache/gotestsum-%:
	$(call install,gotest.tools/gotestsum@$*)
.cache/benchstat-%:
	$(call install,golang.org/x/perf/cmd/benchstat@$*)
.cache/versitygw-%:
	$(call install,github.com/versity/versitygw/cmd/versitygw@$*)
