# chatfleet: every command that a contributor types. `make` prints this file as a table of contents.

# What this checkout needs besides Go, git and make, it builds from pinned Go modules.
GO       ?= go
BUF       = $(GO) tool -modfile=.ci/tools/buf/go.mod buf
LINT      = $(GO) tool -modfile=.ci/tools/lint/go.mod golangci-lint
BIN       = bin
OUT       = out

# Where the demo's and other scenarios' fleets run.
LOCAL    ?= stores=3,shards=4

# The programs that have an image, each a folder with a main package, and what they are built for.
IMAGES    ?= chatd simulator $(patsubst %/main.go,%,$(wildcard operator/main.go))
PLATFORMS ?= linux/amd64,linux/arm64

export CGO_ENABLED ?= 0
# One set of flags, so that what lint, tests and programs have in common is compiled once.
export GOFLAGS := $(filter-out -trimpath,$(GOFLAGS)) -trimpath

.DEFAULT_GOAL := help
.PHONY: help
help: ## Print this table
	@echo 'chatfleet: a chat service as a fleet, and the proof of what it can take'
	@echo
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ First

.PHONY: demo
demo: build ## Run a broadcast to 20,000 subscribers on a local fleet, about 2 minutes; report in out/demo
	@echo 'demo: a fleet of real processes on loopback ($(LOCAL)), 20,000 WebSocket sessions, about 2 minutes'
	$(BIN)/simulator run scenarios/broadcast-20k.yaml --local $(LOCAL) --out $(OUT)/demo

.PHONY: test
test: ## Run all tests with the race detector, about 20 minutes on 2 cores, less when nothing has changed
	@command -v strace >/dev/null || { echo 'test: installing strace, which one test watches system calls with'; \
		apt-get update -qq && apt-get install -qq -y strace >/dev/null; } || echo 'test: no strace; the test of Fsync is skipped'
	@.ci/node || echo 'test: no Node.js; the test of the JavaScript example is skipped'
	@echo 'test: compiling with the race detector, then running; about 20 minutes on 2 cores, and more from nothing'
	@GO=$(GO) .ci/race -timeout 20m $$($(GO) list ./... | grep -v /chatd/internal/bus$$)
	@echo 'test: the stores, by themselves: their elections go by time, and beside other tests they find none (docs/decisions/003)'
	@GO=$(GO) .ci/race -timeout 20m ./chatd/internal/bus
	@echo 'test: one delivery in 100,000, which the race detector is too slow for'
	$(GO) test -run TestOneOfAHundredThousand ./simulator/internal/live
	$(GO) test -C simulator/bench .

##@ While working

.PHONY: build
build: ## Build chatd, the simulator and the operator into bin/
	@echo 'build: $(BIN)/chatd, $(BIN)/simulator and $(BIN)/operator, about 3 minutes the first time'
	@mkdir -p $(BIN)
	$(GO) build -trimpath -o $(BIN)/ ./chatd ./simulator ./operator

.PHONY: lint
lint: ## Check formatting, generated code, module files and the linters' findings
	@echo 'lint: building the pinned linters takes about 5 minutes the first time'
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -d $$(git ls-files '*.go'); echo 'lint: run `make fmt`' >&2; exit 1; }
	$(GO) mod tidy -diff
	$(BUF) lint
	.ci/crd --check
	$(LINT) run
	for module in .ci/tools/images .ci/tools/chart simulator/bench; do (cd $$module && $(GO) mod tidy -diff && $(GO) tool -modfile=$(CURDIR)/.ci/tools/lint/go.mod golangci-lint run) || exit 1; done
	$(GO) test -C .ci/tools/chart -run TestLint .

.PHONY: test-operator
test-operator: ## Test the operator, and what simulator plan writes, against a real API server, 3 minutes; Kubernetes' programs are built once, 10 minutes
	@echo 'test-operator: an API server, etcd and the controllers of Kubernetes from pinned modules: about 10 minutes the first time, then 3 minutes of tests'
	assets=$$(e2e/cluster/binaries etcd kubectl kube-apiserver kube-controller-manager) && \
		KUBEBUILDER_ASSETS=$$assets CHATFLEET_SKIP=never GO=$(GO) .ci/race -timeout 20m ./operator/... ./simulator/internal/planning

.PHONY: fmt
fmt: ## Format all Go code
	gofmt -w $$(git ls-files '*.go')

.PHONY: generate
generate: generate-api ## Regenerate what is generated: protocol code, custom resources, the scenarios' schema, docs/configuration.md
	@mkdir -p $(BIN)/tools
	cd .ci/tools/buf && $(GO) build -o ../../../$(BIN)/tools/ tool
	PATH="$(CURDIR)/$(BIN)/tools:$$PATH" $(BIN)/tools/buf generate
	$(GO) generate ./simulator/internal/scenario
	$(GO) run ./simulator schema > docs/scenario.schema.json
	$(GO) run ./chatd reference > $(BIN)/configuration.md && mv $(BIN)/configuration.md docs/

.PHONY: generate-api
generate-api: ## Regenerate what comes from api/v1alpha1: config/crd, deep copies, docs/chatcluster.md
	.ci/crd

.PHONY: scenario
scenario: build ## Run one scenario on a local fleet: make scenario NAME=smoke [LOCAL=stores=3,shards=4]
	$(BIN)/simulator run scenarios/$(NAME).yaml --local $(LOCAL) --out $(OUT)/$(NAME)

.PHONY: calibrate
calibrate: build ## Measure this machine and fit the model to it, about 40 minutes; goes on where it was stopped; result in out/calibration
	$(BIN)/simulator calibrate --commit "$$(git rev-parse --short=12 HEAD)" --out $(OUT)/calibration

.PHONY: capacity
capacity: build ## Search for the load that a local fleet bears; it says before each run how long the rest takes: make capacity [LOCAL=stores=3,shards=4]; result in out/capacity
	@echo 'capacity: runs of scenarios/capacity.yaml on fleets of real processes ($(LOCAL)), half a minute to a minute each; before each it says how long the rest takes; the machine should have nothing else to do'
	$(BIN)/simulator capacity scenarios/capacity.yaml --local $(LOCAL) --out $(OUT)/capacity

.PHONY: images
images: ## Pack container images into out/images: make images [TAG=…] [REGISTRY=host/path to push] [PLATFORMS=linux/amd64]
	@echo 'images: $(strip $(IMAGES)) for $(PLATFORMS); about 5 minutes from nothing on 2 cores, 2 seconds when nothing has changed'
	@mkdir -p $(BIN)/tools
	$(GO) build -C .ci/tools/images -o $(CURDIR)/$(BIN)/tools/images .
	$(BIN)/tools/images -go $(GO) -platforms $(PLATFORMS) -out $(OUT)/images -binaries $(BIN)/images -tag '$(TAG)' -registry '$(REGISTRY)' $(IMAGES)

.PHONY: images-test
images-test: ## Pack the newest commit twice and compare; check what is in the images, and run them, about 2 minutes
	@echo 'images-test: tests of the tool, then all images twice from the newest commit; about 2 minutes, 5 more from nothing on 2 cores'
	$(GO) test -C .ci/tools/images -count=1 -timeout 30m . -project=$(CURDIR) $(IMAGES)

.PHONY: chart-test
chart-test: ## Render the Helm chart with every two of its settings, and config/ with kustomize; compare, and look into it, half a minute
	@echo 'chart-test: half a minute; 4 minutes more from nothing on 2 cores, which compiling Helm takes'
	$(GO) test -C .ci/tools/chart -count=1 -timeout 10m .

.PHONY: bench
bench: ## Run the Go benchmarks of the hot paths, and then make bench-fanout
	$(GO) test -run '^$$' -bench . -benchmem ./chatd/... ./simulator/... ./client/...
	@$(MAKE) --no-print-directory bench-fanout

# Flags of the program, such as BENCH='-targets bare-1,chatd -sessions 5000'; bin/bench -h lists them.
BENCH    ?=

.PHONY: bench-fanout
bench-fanout: build ## Measure a broadcast over real sockets: chatd, others and the least possible side by side, 40 minutes; result in out/bench
	@echo 'bench-fanout: twelve servers in turns, 15,000 WebSocket sessions each, about 40 minutes; the machine should have nothing else to do'
	@.ci/npm simulator/bench/bun || echo 'bench-fanout: no npm; Bun is left out'
	$(GO) build -o $(BIN)/ ./chatd/internal/engine/alone
	$(GO) build -C simulator/bench -o $(CURDIR)/$(BIN)/bench .
	$(BIN)/bench -out $(OUT)/bench $(BENCH)

.PHONY: bench-fleet
bench-fleet: build ## Measure broadcasts to 100,000 sessions on six shards beside the least possible, 8 minutes; result in out/bench-fleet
	@echo 'bench-fleet: scenarios/broadcast-100k.yaml between two measurements of the floor, 8 minutes; the machine should have nothing else to do'
	$(GO) build -C simulator/bench -o $(CURDIR)/$(BIN)/bench .
	$(BIN)/bench -scenario scenarios/broadcast-100k.yaml -targets bare-2 -passes 1 -rounds 10 -out $(OUT)/bench-fleet $(BENCH)

.PHONY: bench-quiet-logs
bench-quiet-logs: ## The measurement of docs/decisions/001: 400,000 quiet logs, 5 GB a store; a quarter of an hour, 40 GB of disk
	$(GO) test ./chatd/internal/bus -run '^$$' -bench QuietLogs -benchtime 1x -timeout 2h -args -quiet.logs 400000 -quiet.for 20s

.PHONY: bench-members
bench-members: ## What a channel with 1,000,000 members costs, against one with 1,000
	$(GO) test ./chatd/internal/bus -run '^$$' -bench 'BenchmarkMembers$$' -benchtime 300x -timeout 1h -args -members.few 1000 -members.many 1000000

.PHONY: slowdown
slowdown: ## Try whether a planted slowdown of 10 % is found, and none where there is none: ten rounds, an hour; out/slowdown/table.md
	@echo 'slowdown: thirty runs of .ci/slowdown.yaml, an hour; the machine should have nothing else to do'
	@GO=$(GO) .ci/slowdown

.PHONY: election-surge
election-surge: ## What a correction does against a falsehood, and what that hangs on: 20 seeds, 5 minutes; result in out/election-surge
	@mkdir -p $(OUT)/election-surge
	$(GO) test ./simulator/internal/cascade -run '^$$' -bench ElectionSurge -benchtime 1x -timeout 1h -args -cascade.out $(CURDIR)/$(OUT)/election-surge
	@cat $(OUT)/election-surge/election-surge.md

.PHONY: fuzz
fuzz: ## Fuzz what strangers can send: make fuzz [FUZZTIME=10m]
	.ci/fuzz $(or $(FUZZTIME),1m)

##@ A cluster

# Which cluster of this machine; docs/clusters.md says what it is.
CLUSTER ?= chatfleet

# The programs, built from pinned modules where there are none; and by KUBECONFIG the cluster, without it the one of make cluster-up if that is there.
# The images are those that make images packs, with its TAG and REGISTRY.
HELM    ?= $(or $(shell command -v helm 2>/dev/null),$$(e2e/cluster/binaries helm)/helm)
KUBECTL ?= $(or $(shell command -v kubectl 2>/dev/null),$$(e2e/cluster/binaries kubectl)/kubectl)
install sample: export KUBECONFIG ?= $(wildcard $(or $(CHATFLEET_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/chatfleet)/clusters/$(CLUSTER)/kubeconfig)

.PHONY: cluster-up
cluster-up: ## Make a Kubernetes cluster of four nodes on this machine, 2 minutes; from nothing 20 to 45 more
	@echo 'cluster-up: 2 minutes; from nothing 20 to 45 more on 2 cores, which building Kubernetes takes'
	@e2e/cluster/up $(CLUSTER) >/dev/null

.PHONY: cluster-down
cluster-down: ## Delete it, and stop the container engine if make cluster-up has started it, a quarter of a minute
	@e2e/cluster/down $(CLUSTER)

.PHONY: cluster-status
cluster-status: ## Say what there is of it: engine, nodes, kubeconfig, pods that are not ready
	@e2e/cluster/status $(CLUSTER)

.PHONY: load-images
load-images: ## Pack images for this machine and put them into all nodes, half a minute: make load-images [TAG=dev]
	@$(MAKE) --no-print-directory images TAG=$(or $(TAG),dev) PLATFORMS=linux/$$($(GO) env GOHOSTARCH)
	@e2e/cluster/load $(CLUSTER)

.PHONY: install
install: ## Install or upgrade the operator on a cluster: make install TAG=… [REGISTRY=host/path] [KUBECONFIG=…]
	$(HELM) upgrade --install chatfleet charts/chatfleet --namespace chatfleet-system --create-namespace \
		--set image.repository=$(or $(REGISTRY),chatfleet)/operator --set-string image.tag=$(or $(TAG),dev) --wait

.PHONY: sample
sample: ## Make the sample's fleet in the namespace chat, which takes restricted pods only
	$(KUBECTL) create namespace chat --dry-run=client -o yaml | $(KUBECTL) apply -f -
	$(KUBECTL) label namespace chat pod-security.kubernetes.io/enforce=restricted --overwrite
	$(KUBECTL) apply --namespace chat -f config/samples/chatcluster.yaml

.PHONY: e2e
e2e: build ## Test the operator on a real cluster, made for it and removed after: make e2e [E2E_KUBECONFIG=…], 10 minutes
	@echo 'e2e: a cluster of four nodes, seven cases under load: 10 minutes; from nothing 20 to 45 more on 2 cores, which building Kubernetes takes'
	@e2e/run

.PHONY: e2e-full
e2e-full: build ## The same with the cases that break nodes, DNS and the operator, 11 minutes more
	@echo 'e2e-full: as make e2e, with the cases that break nodes, DNS and the operator: 21 minutes'
	@e2e/run --full

.PHONY: clean
clean: ## Remove what these commands have made
	rm -rf $(BIN) $(OUT)
