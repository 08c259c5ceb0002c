#!/usr/bin/env bash
#
# Obtains a Chromium without a window for tests, and prints the absolute path of the program as the only
# line on standard output. Progress and errors go to standard error.
#
# Uses the first of these that works:
#
#   1. the program named by $CHROMIUM;
#   2. chromium-headless-shell, chromium, google-chrome or chromium-browser on PATH;
#   3. the distribution's package with those of its dependencies that this system lacks, fetched by apt-get
#      and unpacked into the cache of scripts/prometheus.sh, without installing them.
#
# If none works, it lists the attempts and exits with status 1.

# exclusively calls some functions:
# shellcheck disable=SC2329

set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=scripts/exclusively.sh
source "$here/exclusively.sh"

readonly package=chromium-headless-shell

say() { printf 'chromium.sh: %s\n' "$*" >&2; }

# A program that only asks for another package, such as Ubuntu's chromium-browser, does not pass.
runs() {
    [[ -x $1 ]] && "$1" --headless --no-sandbox --version 2>/dev/null | grep -q 'Chrom'
}

found() {
    printf '%s\n' "$1"
    exit 0
}

if [[ -n ${CHROMIUM:-} ]]; then
    path="$(type -P -- "$CHROMIUM")" && runs "$path" && found "$(realpath "$path")"
    say "\$CHROMIUM: $CHROMIUM does not run"
fi
for name in chromium-headless-shell chromium google-chrome chromium-browser; do
    path="$(type -P "$name")" && runs "$path" && found "$path"
done

cache="${TIMESTREAM_CONNECTOR_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set, and neither is TIMESTREAM_CONNECTOR_CACHE}/.cache}/timestream-prometheus-connector}"
[[ $cache == /* ]] || cache="$PWD/$cache"
folder="$cache/chromium-$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)"
program="$folder/chromium"

obtain() {
    runs "$program" && return
    type -P apt-get >/dev/null && type -P dpkg-deb >/dev/null || return 1
    say "fetching the package $package"
    if [[ $EUID -eq 0 ]]; then apt-get -q update >&2 || true; fi
    local options archive libraries
    # As root, apt-get would fetch as another user without access to the folder.
    options=(-q -y -o Debug::NoLocking=true -o "Dir::Cache::archives=$folder/archives" -o Dir::Cache::pkgcache=
        -o Dir::Cache::srcpkgcache= -o "APT::Sandbox::User=$(id -un)")
    rm -rf "$folder"
    mkdir -p "$folder/archives/partial" "$folder/tree" || return 1
    apt-get "${options[@]}" --download-only --no-install-recommends install "$package" >&2 || return 1
    for archive in "$folder"/archives/*.deb; do
        dpkg-deb --extract "$archive" "$folder/tree" || return 1
    done
    rm -r "$folder/archives"
    # Some libraries are in folders of their own.
    libraries="$(find "$folder/tree/usr/lib" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)"
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%q${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec %q "$@"\n' \
        "$libraries" "$folder/tree/usr/lib/chromium/$package" >"$program.new" || return 1
    chmod 755 "$program.new" && mv -f "$program.new" "$program" || return 1
    runs "$program"
}

mkdir -p "$cache"
if exclusively "$cache/chromium.lock" obtain; then found "$program"; fi
say "could not obtain a Chromium: neither \$CHROMIUM nor the PATH has one that runs, and there is no"
say "package $package that could be fetched and runs here; see the lines above"
exit 1
