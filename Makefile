# The targets obtain everything that a fresh machine needs besides Rust, make and a C compiler.

.PHONY: help run programs watch test conformance manifests soak soak-connectors fuzz bench bench-coldstart bench-dashboard bench-promql \
	events build-lambda build-lambda-x86-64 validate deploy dist macos advisories lint fmt

help: ## List the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

run: ## Run emulator, connector, an exporter and a real Prometheus on this machine; Ctrl-C stops them
	@scripts/run.sh

# One build for all three, with the package of the tests' tools: its features of the libraries are those of the tests.
programs: ## Build the programs of `make run`
	cargo build --package timestream-prometheus-connector --package timestream-emulator --package soak \
		--bin bootstrap --bin timestream-emulator --bin exporter

watch: ## Run the function in cargo lambda watch, with the emulator; Ctrl-C stops them
	@scripts/watch.sh

test: ## Run all tests; obtains a Prometheus, a node exporter, the Python and the Lambda tools they need
	@scripts/prometheus.sh prometheus >/dev/null
	@scripts/prometheus.sh promtool >/dev/null
	@scripts/node-exporter.sh >/dev/null
	@scripts/python.sh strangers >/dev/null
	@scripts/python.sh queue >/dev/null
	@scripts/python.sh lambda >/dev/null
	@scripts/python.sh password >/dev/null
	@scripts/arm64.sh rustc >/dev/null
	@scripts/arm64.sh run >/dev/null
	cargo test --workspace

conformance: ## Run Prometheus' PromQL scripts, real senders, vmctl, a browser and Wine against the connector; needs Go and Node.js
	@set -e; for program in amtool api-client promql promql-judge collector deployment-judge helm lambda-emulator \
		telegraf telemetrygen vmagent vmctl victoria-metrics; do \
		scripts/go-tools.sh $$program >/dev/null; done
	@scripts/prometheus.sh prometheus >/dev/null
	@scripts/prometheus.sh promtool >/dev/null
	@scripts/node-exporter.sh >/dev/null
	@scripts/python.sh clients >/dev/null
	@scripts/python.sh otlp >/dev/null
	@scripts/python.sh queue >/dev/null
	@scripts/javascript.sh >/dev/null
	@scripts/chromium.sh >/dev/null
	@scripts/system-tools.sh strace >/dev/null
	@scripts/system-tools.sh systemd-analyze >/dev/null
	@[ "$$(uname -sm)" != 'Linux x86_64' ] || { scripts/windows.sh gcc && scripts/windows.sh run; } >/dev/null
	cargo test --workspace --test conformance -- --show-output

manifests: ## Make deploy/kubernetes of the Helm chart again; needs Go
	@scripts/manifests.sh

soak: ## Run everything under faults for SOAK_MINUTES (5) and compare every sample
	@# Built like the tests, see scripts/run.sh.
	cargo build --workspace --bins --tests
	$${CARGO_TARGET_DIR:-target}/debug/soak write "$${SOAK_MINUTES:-5}" "$$(scripts/prometheus.sh)"

soak-connectors: ## The same with scrapes, syncs and a sink, for SOAK_MINUTES (10)
	cargo build --workspace --bins --tests
	$${CARGO_TARGET_DIR:-target}/debug/soak connectors "$${SOAK_MINUTES:-10}" "$$(scripts/prometheus.sh)"

fuzz: ## Fuzz each target for FUZZ_SECONDS (60); needs a C++ compiler
	@scripts/fuzz.sh

bench: ## Measure writes (stages, end to end, bill), reads, scraped text, syncs and sinks, and the emulator
	cargo bench --bench stages -- --warm-up-time 1 --measurement-time 3
	cargo bench -p prom-wire --bench decode -- --warm-up-time 1 --measurement-time 3
	cargo bench -p otlp --bench translate -- --warm-up-time 1 --measurement-time 3
	cargo bench --bench write
	cargo bench --bench read
	cargo bench --bench pushdown
	cargo bench --bench exposition
	cargo bench --bench connectors
	cargo bench -p timestream-emulator --bench throughput

bench-promql: ## Measure our PromQL engine and Prometheus' own; needs Go
	@scripts/bench-promql.sh

bench-dashboard: ## Measure a dashboard by the query API, beside a Prometheus with remote read
	@scripts/prometheus.sh prometheus >/dev/null
	cargo bench --bench dashboard

bench-coldstart: ## Measure time, memory and size of a cold start in Lambda
	cargo bench --bench coldstart

events: ## Generate the example events of Lambda again
	cargo run --quiet --example events

# The workspace has a second binary.
build-lambda: ## Build the function for arm64: target/lambda/bootstrap/bootstrap.zip
	scripts/lambda.sh --arm64 cargo lambda build --locked --release --arm64 --bin bootstrap --output-format zip

build-lambda-x86-64: ## The same for x86-64: target/lambda-x86-64/bootstrap/bootstrap.zip
	scripts/lambda.sh cargo lambda build --locked --release --x86-64 --disable-optimizations --bin bootstrap \
		--output-format zip --lambda-dir target/lambda-x86-64

validate: ## Check template.yaml
	scripts/lambda.sh sam validate --lint

deploy: ## Build the function, deploy the stack and check it; four questions, see scripts/deploy.sh
	@scripts/deploy.sh

dist: ## Build the archives of a release, with checksums, in target/dist
	@scripts/dist.sh

lint: ## Check formatting, lints, documentation, imports, language, and licences of dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps
	cargo test --test layers --test links --test prose
	@# cargo deny is a program of its own: see scripts/python.sh. Advisories need the network: see the workflow.
	PATH="$$(dirname "$$(scripts/python.sh lint)"):$$PATH" cargo deny --locked check -D warnings licenses bans sources

macos: ## Build the program for macOS on both architectures, and check its headers
	@set -e; for target in aarch64-apple-darwin:arm64 x86_64-apple-darwin:x86_64; do \
		scripts/macos.sh cargo build --locked --target "$${target%:*}" --bin bootstrap; \
		scripts/mach-o.py "$${target#*:}" "$${CARGO_TARGET_DIR:-target}/$${target%:*}/debug/bootstrap"; done

advisories: ## Check dependencies against the database of known vulnerabilities; needs the network
	PATH="$$(dirname "$$(scripts/python.sh lint)"):$$PATH" cargo deny --locked check advisories

fmt: ## Format the code
	cargo fmt --all
