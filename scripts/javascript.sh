#!/usr/bin/env bash
#
# Obtains the packages of tests/conformance/javascript with npm, and prints the absolute path of a folder with them and
# the programs of that folder as the only line on standard output. Progress and errors go to standard error.
#
# package-lock.json pins all packages. The folder is in the cache of scripts/prometheus.sh, and named after a checksum of
# its files; the cache can be deleted at any time. npm's own settings apply. It needs Node.js 20.6 or later.

# exclusively calls these functions:
# shellcheck disable=SC2329

set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=scripts/exclusively.sh
source "$here/exclusively.sh"

say() { printf 'javascript.sh: %s\n' "$*" >&2; }

folder="$here/../tests/conformance/javascript"
cache="${TIMESTREAM_CONNECTOR_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set, and neither is TIMESTREAM_CONNECTOR_CACHE}/.cache}/timestream-prometheus-connector}"
[[ $cache == /* ]] || cache="$PWD/$cache"
checksum="$(cat "$folder"/* | sha256sum | cut -c1-16)"
made="$cache/javascript-$checksum"

obtain() {
    # Another run may have made it while this one waited.
    [[ ! -d $made ]] || return 0
    local staged
    staged="$(mktemp -d "$made.XXXXXX")" || return 1
    say "installing the packages of $folder"
    if cp "$folder"/* "$staged" &&
        (cd "$staged" && npm ci --ignore-scripts --no-audit --no-fund >&2) &&
        chmod 755 "$staged" && mv "$staged" "$made"; then
        return 0
    fi
    rm -rf "$staged"
    say "npm could not install the packages; see the lines above"
    return 1
}

if ! type -P node >/dev/null || ! type -P npm >/dev/null; then
    say "there is no node and npm on PATH: install Node.js 20.6 or later"
    exit 1
fi
mkdir -p "$cache"
[[ -d $made ]] || exclusively "$cache/javascript.lock" obtain
printf '%s\n' "$made"
