#!/usr/bin/env bash
#
# Fuzzes each target in fuzz/ for FUZZ_SECONDS (60), or the targets that are named. Stops at the first
# input that fails and prints the file that it wrote the input to. New inputs gather in fuzz/corpus, which is
# not part of the repository; fuzz/seeds is.
#
#   scripts/fuzz.sh
#   FUZZ_SECONDS=600 scripts/fuzz.sh wire sql
#
# Needs a C++ compiler, but no nightly toolchain. cargo-fuzz comes from the PATH, or is installed into
# the cache of scripts/prometheus.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../fuzz"

cache="${TIMESTREAM_CONNECTOR_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set, and neither is TIMESTREAM_CONNECTOR_CACHE}/.cache}/timestream-prometheus-connector}"
PATH="$PATH:$cache/cargo-fuzz/bin"
if ! type -P cargo-fuzz >/dev/null; then
  cargo install --locked cargo-fuzz --version 0.13.2 --root "$cache/cargo-fuzz"
fi

# Without this, only nightly accepts the flags of libFuzzer's instrumentation.
export RUSTC_BOOTSTRAP=1
# The versions that are shipped; cargo adds the dependencies of fuzzing.
cp ../Cargo.lock Cargo.lock

if (($# == 0)); then
  for target in fuzz_targets/*.rs crates/fuzz_targets/*.rs; do
    set -- "$@" "$(basename "$target" .rs)"
  done
fi
for target in "$@"; do
  printf '\n%s\n' "$target"
  mkdir -p "corpus/$target"
  # Targets in crates/ need the crates of the workspace alone and build without the AWS SDK.
  package=.
  if [[ -e "crates/fuzz_targets/$target.rs" ]]; then
    package=crates
  fi
  # All of it is safe Rust, so the address sanitizer would find nothing.
  cargo fuzz run --fuzz-dir "$package" --sanitizer none "$target" "corpus/$target" "seeds/$target" -- \
    -max_total_time="${FUZZ_SECONDS:-60}" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1
done
