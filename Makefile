# Everything a fresh machine needs besides Rust, make and a C compiler is obtained by the targets.

.PHONY: help run test bench bench-coldstart events lint fmt

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: ## Run emulator, connector and a real Prometheus on this machine; Ctrl-C stops them
	@scripts/run.sh

test: ## Run all tests; obtains a Prometheus and the Python they need
	@scripts/prometheus.sh prometheus >/dev/null
	@scripts/prometheus.sh promtool >/dev/null
	@scripts/python.sh >/dev/null
	cargo test --workspace

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
