#!/usr/bin/env bash
#
# Builds a program that `make conformance` or `make bench-promql` runs from a Go module in
# tests/conformance, and prints the absolute path of the program as the only line on standard output.
# Progress and errors go to standard error.
#
#   scripts/go-tools.sh amtool|api-client|collector|deployment-judge|helm|lambda-emulator|promql|promql-bench|promql-judge|telegraf|telemetrygen|victoria-metrics|vmagent|vmctl
#
# go.mod and go.sum of the module pin all its sources. The program is stored in the cache of
# scripts/prometheus.sh, in a folder named after a checksum of the module, so a change of a module
# builds it again; the cache can be deleted at any time. Go's own settings (GOPROXY, GONOSUMDB, GOFLAGS,
# ...) apply.

# exclusively calls these functions:
# shellcheck disable=SC2329

set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=scripts/exclusively.sh
source "$here/exclusively.sh"

say() { printf 'go-tools.sh: %s\n' "$*" >&2; }

program="${1:-}"
case "$program" in
    api-client) module=client build=(build) package=. ;;
    # Its receiver of Prometheus brings a client of each service discovery, which the tests do not need.
    collector) module=$program build=(build -tags remove_all_sd) package=. ;;
    deployment-judge) module=deployments build=(build) package=. ;;
    helm) module=deployments build=(build) package=helm.sh/helm/v3/cmd/helm ;;
    telegraf) module=$program build=(build) package=. ;;
    promql) module=promql build=(test -c) package=. ;;
    promql-bench) module=promql build=(test -c) package=./bench ;;
    promql-judge) module=promql build=(build) package=./judge ;;
    lambda-emulator)
        module=$program build=(build)
        package=github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie
        ;;
    amtool) module=alertmanager build=(build) package=github.com/prometheus/alertmanager/cmd/amtool ;;
    telemetrygen)
        module=telemetrygen build=(build)
        package=github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen
        ;;
    victoria-metrics | vmagent | vmctl)
        module=victoriametrics build=(build) package="github.com/VictoriaMetrics/VictoriaMetrics/app/$program" ;;
    *) module= ;;
esac
if [[ $# -ne 1 || -z $module ]]; then
    printf 'usage: scripts/go-tools.sh amtool|api-client|collector|deployment-judge|helm|lambda-emulator|promql|promql-bench|promql-judge|telegraf|telemetrygen|victoria-metrics|vmagent|vmctl\n' >&2
    exit 2
fi
folder="$here/../tests/conformance/$module"

cache="${TIMESTREAM_CONNECTOR_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set, and neither is TIMESTREAM_CONNECTOR_CACHE}/.cache}/timestream-prometheus-connector}"
[[ $cache == /* ]] || cache="$PWD/$cache"
platform="$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)"
files=("$folder"/go.*)
case "$module" in
    alertmanager | lambda-emulator | telemetrygen | victoriametrics) ;;
    *) files+=("$folder"/*.go) ;;
esac
[[ $module != promql ]] || files+=("$folder"/*/*.go)
checksum="$(cat "${files[@]}" | sha256sum | cut -c1-16)"
built="$cache/conformance-$module-$checksum-$platform/$program"

obtain() {
    # Another run may have built it while this one waited.
    [[ ! -x $built ]] || return 0
    if ! type -P go >/dev/null; then
        say "there is no go on PATH to build $program: install Go"
        say "$(sed -n 's/^go //p' "$folder/go.mod") or later, with access to a module proxy"
        return 1
    fi
    say "building $program with $(go env GOVERSION); this takes a minute or two the first time"
    mkdir -p "$(dirname "$built")" || return 1
    local staged
    staged="$(mktemp "$built.XXXXXX")" || return 1
    # For this machine, even if the environment selects another.
    if (
        cd "$folder" || exit 1
        GOOS="$(go env GOHOSTOS)" GOARCH="$(go env GOHOSTARCH)" || exit 1
        export GOOS GOARCH
        GOWORK=off CGO_ENABLED=0 go "${build[@]}" -mod=readonly -buildvcs=false -trimpath \
            -ldflags '-s -w' -o "$staged" "$package" >&2
    ) && chmod 755 "$staged" && mv -f "$staged" "$built"; then
        return 0
    fi
    rm -f "$staged"
    say "could not build $program; see the lines above"
    return 1
}

if ! mkdir -p "$cache" || [[ ! -w $cache ]]; then
    say "cannot write to $cache, the cache of $program: set TIMESTREAM_CONNECTOR_CACHE to a folder"
    exit 1
fi
[[ -x $built ]] || exclusively "$cache/go-tools.lock" obtain
printf '%s\n' "$built"
