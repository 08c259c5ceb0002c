#!/usr/bin/env bash
#
# Obtains a node exporter for tests, and prints the absolute path of the program as the only line on
# standard output. Progress and errors go to standard error.
#
# Uses the first of these that works:
#
#   1. the program named by $NODE_EXPORTER;
#   2. prometheus-node-exporter or node_exporter on PATH;
#   3. the distribution's package, fetched by apt-get and unpacked into the cache of
#      scripts/prometheus.sh, without installing it, so no service is set up;
#   4. a build of the pinned version from its Go module, also cached.
#
# If none works, it lists the attempts and exits with status 1.

# exclusively calls these functions:
# shellcheck disable=SC2329

set -euo pipefail

readonly version=1.12.1
readonly module=github.com/prometheus/node_exporter

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=scripts/exclusively.sh
source "$here/exclusively.sh"
# shellcheck source=scripts/packages.sh
source "$here/packages.sh"

say() { printf 'node-exporter.sh: %s\n' "$*" >&2; }

runs() { "$1" --version >/dev/null 2>&1; }

found() {
    printf '%s\n' "$1"
    exit 0
}

if [[ -n ${NODE_EXPORTER:-} ]]; then
    path="$(type -P -- "$NODE_EXPORTER")" && runs "$path" && found "$(realpath "$path")"
    say "\$NODE_EXPORTER: $NODE_EXPORTER does not run"
fi
for name in prometheus-node-exporter node_exporter; do
    path="$(type -P "$name")" && runs "$path" && found "$(realpath "$path")"
done

cache="${TIMESTREAM_CONNECTOR_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set, and neither is TIMESTREAM_CONNECTOR_CACHE}/.cache}/timestream-prometheus-connector}"
[[ $cache == /* ]] || cache="$PWD/$cache"
folder="$cache/node-exporter-$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)"
packaged="$folder/tree/usr/bin/prometheus-node-exporter"
built="$folder/node_exporter-$version"

obtain() {
    if runs "$packaged" || runs "$built"; then return; fi
    say "fetching the package prometheus-node-exporter"
    if unpack "$folder" prometheus-node-exporter && runs "$packaged"; then return; fi
    say "there is no package that runs here; building $module $version"
    type -P go >/dev/null || return 1
    (GOBIN="$folder/bin" CGO_ENABLED=0 go install "$module@v$version" >&2) || return 1
    mv "$folder/bin/node_exporter" "$built"
}

mkdir -p "$folder"
if exclusively "$cache/node-exporter.lock" obtain; then
    runs "$packaged" && found "$packaged"
    runs "$built" && found "$built"
fi
say "could not obtain a node exporter: neither \$NODE_EXPORTER nor the PATH has one, and neither a"
say "package nor a build with go worked; see the lines above"
exit 1
