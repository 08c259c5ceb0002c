#!/usr/bin/env bash
#
# Measures our PromQL engine and Prometheus' own, one after the other, on the same expressions, series and
# steps, and prints a table in Markdown: microseconds of a query by both, and ours as a part of theirs. The
# samples are in memory. Needs Go.
#
#   scripts/bench-promql.sh [REGEX]      only those of crates/promql/benches/expressions.txt whose names match

set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$here"
only="${1:-.*}"

program="$(scripts/go-tools.sh promql-bench)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

printf 'bench-promql.sh: Prometheus\n' >&2
GOMAXPROCS=1 "$program" -test.run '^$' -test.bench "Engine/^($only)\$/" -test.benchtime 0.3s \
    -expressions crates/promql/benches/expressions.txt >"$work/go"
printf 'bench-promql.sh: our engine\n' >&2
cargo bench --quiet -p promql --bench engine -- --noplot --warm-up-time 0.2 --measurement-time 0.5 \
    --sample-size 10 "promql/($only)/" >"$work/rust" 2>&1 || { cat "$work/rust" >&2; exit 1; }

criterion="${CARGO_TARGET_DIR:-target}/criterion/promql"
printf '| expression | series | steps | Prometheus, us | ours, us | ours / theirs |\n|---|---:|---:|---:|---:|---:|\n'
# BenchmarkEngine/NAME/SERIESxSTEPS  RUNS  NANOSECONDS ns/op ..
while read -r id _ theirs _; do
    [[ $id =~ ^BenchmarkEngine/(.+)/([0-9]+)x([0-9]+)(-[0-9]+)?$ ]] || continue
    name="${BASH_REMATCH[1]}" series="${BASH_REMATCH[2]}" steps="${BASH_REMATCH[3]}"
    estimates="$criterion/$name/${series}x$steps/new/estimates.json"
    ours="$(sed -n 's/.*"median":{"confidence_interval":{[^}]*},"point_estimate":\([0-9.e+]*\).*/\1/p' "$estimates")"
    awk -v name="$name" -v series="$series" -v steps="$steps" -v theirs="$theirs" -v ours="$ours" 'BEGIN {
        printf "| %s | %d | %d | %.1f | %.1f | %.2f |\n", name, series, steps, theirs / 1e3, ours / 1e3, ours / theirs
    }'
done <"$work/go"
