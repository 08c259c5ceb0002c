# Everything a fresh machine needs besides Rust, make and a C compiler is obtained by the targets.

.PHONY: help run test soak fuzz bench bench-coldstart events lint fmt

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: ## Run emulator, connector and a real Prometheus on this machine; Ctrl-C stops them
	@scripts/run.sh

test: ## Run all tests; obtains a Prometheus and the Python they need
	@scripts/prometheus.sh prometheus >/dev/null
	@scripts/prometheus.sh promtool >/dev/null
	@scripts/python.sh >/dev/null
	cargo test --workspace

soak: ## Run everything under faults for SOAK_MINUTES (5) and compare every sample
	@# As the tests are built, see scripts/run.sh.
	cargo build --workspace --bins --tests
	$${CARGO_TARGET_DIR:-target}/debug/soak "$${SOAK_MINUTES:-5}" "$$(scripts/prometheus.sh)"

fuzz: ## Fuzz each target for FUZZ_SECONDS (60); needs a C++ compiler
	@scripts/fuzz.sh

bench: ## Measure writes to and queries of the emulator
	cargo bench -p timestream-emulator --bench throughput

bench-coldstart: ## Measure time, memory and size of a cold start in Lambda
	cargo bench --bench coldstart

events: ## Write the example events of Lambda anew
	cargo run --quiet --example events

lint: ## Check formatting, lints and documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps

fmt: ## Format the code
	cargo fmt --all
