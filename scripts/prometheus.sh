#!/usr/bin/env bash
#
# Obtains a Prometheus server (or promtool) for local runs and tests, and prints
# the absolute path of the program as the only line on standard output. Progress
# and errors go to standard error.
#
#   scripts/prometheus.sh [prometheus|promtool]
#
#   prometheus="$(scripts/prometheus.sh)"
#   "$prometheus" --config.file=prometheus.yml
#
# Uses the first of these that works:
#
#   1. the program named by $PROMETHEUS (or $PROMTOOL), of any version;
#   2. the program on PATH, if its version is 3 or later;
#   3. the cache, filled by an earlier run:
#      <cache>/prometheus-<version>-<platform>/<program>, where <cache> is
#      $TIMESTREAM_CONNECTOR_CACHE, or else timestream-prometheus-connector in
#      $XDG_CACHE_HOME (by default ~/.cache). It can be deleted at any time;
#   4. a build of the pinned version from its Go module, if there is a recent
#      enough go. Go's own settings (GOPROXY, GONOSUMDB, GOFLAGS, ...) apply;
#   5. the distribution's package, fetched by apt-get and unpacked into the cache.
#      It is not installed, so no service is set up. It is Prometheus 2 on
#      Debian 12, and the script says so;
#   6. an older program on PATH, skipped in step 2.
#
# If none works, it lists the attempts and exits with status 1.
#
# The build has everything that scraping, rules, storage, the HTTP API, remote write
# and remote read need. It omits two things:
#
#   - service discovery, apart from static_configs, file_sd_configs and
#     http_sd_configs, because the clients of the others make the build large (the build
#     tag remove_all_sd);
#   - the web UI, whose compiled assets are not part of the Go module. The HTTP
#     API and /metrics work as usual; the pages of the UI return an error.

# exclusively calls some functions:
# shellcheck disable=SC2329

set -euo pipefail

# To change the version: the module version of 3.<minor>.<patch> is
# v0.3<minor, two digits>.<patch>; the sum is the h1: line of
# `go mod download -json github.com/prometheus/prometheus@<module version>`, and
# the Go version is that of the module's go.mod.
readonly version=3.15.0
readonly module=github.com/prometheus/prometheus
readonly module_version=v0.315.0
readonly module_sum=h1:sFGZWmC2Hk9N1NBJGCnXYZb5hyLCq8yuAMoEjLAg6ac=
readonly go_version=1.26.0
readonly build_tags=netgo,remove_all_sd

tried=()

say() {
    printf 'prometheus.sh: %s\n' "$*" >&2
}

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=scripts/exclusively.sh
source "$here/exclusively.sh"

# Records the failure of a step, for now and for the final message.
gave_up() {
    say "$*"
    tried+=("$*")
}

# Prints the version a program reports ("3.15.0"); fails if it does not run.
version_of() {
    local output
    output="$("$1" --version 2>&1)" || return 1
    [[ $output =~ version\ ([0-9]+\.[0-9]+\.[0-9]+[^ ]*) ]] || return 1
    printf '%s\n' "${BASH_REMATCH[1]}"
}

# Prints the absolute path of a command given by name or path; fails if there is
# none.
absolute() {
    local path
    path="$(type -P -- "$1")" || return 1
    [[ $path == /* ]] || path="$PWD/$path"
    printf '%s\n' "$path"
}

# Puts a program into the cache in one step, so that others find either the whole
# file or none: place <file> <destination>.
place() {
    local staged
    mkdir -p "$(dirname "$2")" || return 1
    staged="$(mktemp "$2.XXXXXX")" || return 1
    if cp "$1" "$staged" && chmod 755 "$staged" && mv -f "$staged" "$2"; then
        return 0
    fi
    rm -f "$staged"
    return 1
}

# Builds the program from the Go module and puts it at $cached.
build() {
    if ! type -P go >/dev/null; then
        gave_up "build: there is no go on PATH"
        return 1
    fi

    # An otherwise empty module that requires Prometheus' Go version: go may then
    # choose another toolchain, if its settings allow it.
    local scratch="$work/scratch"
    mkdir -p "$scratch" || return 1
    printf 'module scratch\n\ngo %s\n' "$go_version" >"$scratch/go.mod"

    local have
    have="$(cd "$scratch" && GOWORK=off go env GOVERSION 2>/dev/null)" || have="$(go version)"
    if ! [[ $have =~ go([0-9]+)\.([0-9]+) ]] ||
        ((BASH_REMATCH[1] * 1000 + BASH_REMATCH[2] < ${go_version%%.*} * 1000 + $(cut -d. -f2 <<<"$go_version"))); then
        gave_up "build: Prometheus $version needs Go $go_version or later, this is $have"
        return 1
    fi

    say "building $program $version with $have; this takes a few minutes the first time"
    local download
    if ! download="$(cd "$scratch" && GOWORK=off go mod download -json "$module@$module_version")"; then
        printf '%s\n' "$download" >&2
        gave_up "build: go could not download $module@$module_version"
        return 1
    fi
    local dir sum
    dir="$(sed -n 's/^[[:space:]]*"Dir": "\(.*\)",\{0,1\}$/\1/p' <<<"$download")"
    sum="$(sed -n 's/^[[:space:]]*"Sum": "\(.*\)",\{0,1\}$/\1/p' <<<"$download")"
    if [[ $sum != "$module_sum" ]]; then
        gave_up "build: $module@$module_version has the checksum $sum, not the expected $module_sum"
        return 1
    fi

    # Built in the module's own folder, as its main module: `go install` rejects
    # it because of the replace directive in its go.mod, and in this way the
    # dependencies are those of its go.mod and are checked against its go.sum.
    # Nothing is written there.
    local info=github.com/prometheus/common/version
    if ! (
        cd "$dir" || exit 1
        # For this machine, even if the environment selects another.
        GOOS="$(go env GOHOSTOS)" GOARCH="$(go env GOHOSTARCH)" || exit 1
        export GOOS GOARCH
        GOWORK=off CGO_ENABLED=0 go build -mod=readonly -buildvcs=false -trimpath \
            -tags "$build_tags" \
            -ldflags "-s -w -X $info.Version=$version -X $info.Revision=$module_version -X $info.Branch=module" \
            -o "$work/$program" "./cmd/$program" >&2
    ); then
        gave_up "build: go build of $program $version failed"
        return 1
    fi
    if [[ "$(version_of "$work/$program")" != "$version" ]]; then
        gave_up "build: the built $program does not run"
        return 1
    fi
    if ! place "$work/$program" "$cached"; then
        gave_up "build: could not write $cached"
        return 1
    fi
    say "built $cached"
}

# Unpacks the program from the distribution's package and sets $packaged.
unpack_package() {
    if ! type -P apt-get >/dev/null || ! type -P dpkg-deb >/dev/null; then
        gave_up "package: there is no apt-get here"
        return 1
    fi

    # Without root the existing package lists are used.
    if [[ -z "$(apt-cache show --no-all-versions prometheus 2>/dev/null)" && $EUID -eq 0 ]]; then
        say "updating the package lists"
        apt-get -q update >&2 || true
    fi
    local package_version
    package_version="$(apt-cache show --no-all-versions prometheus 2>/dev/null | sed -n 's/^Version: //p')" || true
    if [[ -z $package_version ]]; then
        gave_up "package: apt-get knows no package prometheus (as root: apt-get update)"
        return 1
    fi

    packaged="$cache/prometheus-$package_version-package-$platform/$program"
    if ! version_of "$packaged" >/dev/null; then
        say "fetching the package prometheus $package_version"
        local folder="$work/package"
        mkdir -p "$folder" || return 1
        if ! (cd "$folder" && apt-get -q download "prometheus=$package_version" >&2 && dpkg-deb -x ./*.deb tree); then
            gave_up "package: could not fetch and unpack prometheus $package_version"
            return 1
        fi
        if ! version_of "$folder/tree/usr/bin/$program" >/dev/null; then
            gave_up "package: $program of prometheus $package_version does not run here"
            return 1
        fi
        if ! place "$folder/tree/usr/bin/$program" "$packaged"; then
            gave_up "package: could not write $packaged"
            return 1
        fi
    fi

    if [[ ${package_version%%.*} -lt 3 ]]; then
        say "note: the distribution's package is Prometheus $package_version, not version 3"
    fi
}

# Another run may have built it while this one waited.
build_unless_cached() {
    is_cached || build
}

is_cached() {
    [[ -x $cached && "$(version_of "$cached")" == "$version" ]]
}

program="${1:-prometheus}"
case "$program" in
    prometheus) variable=PROMETHEUS ;;
    promtool) variable=PROMTOOL ;;
    *) variable= ;;
esac
if [[ $# -gt 1 || -z $variable ]]; then
    printf 'usage: scripts/prometheus.sh [prometheus|promtool]\n' >&2
    exit 2
fi

# 1. The one that a variable names.
wanted="${!variable:-}"
if [[ -n $wanted ]]; then
    if path="$(absolute "$wanted")" && found="$(version_of "$path")"; then
        say "using \$$variable, version $found"
        printf '%s\n' "$path"
        exit 0
    fi
    gave_up "\$$variable: $wanted does not run"
fi

# 2. The one on PATH.
older=
if path="$(absolute "$program")"; then
    if ! found="$(version_of "$path")"; then
        gave_up "PATH: $path does not run"
    elif [[ ${found%%.*} -ge 3 ]]; then
        say "using $program on PATH, version $found"
        printf '%s\n' "$path"
        exit 0
    else
        older="$path"
        gave_up "PATH: $path is version $found, older than 3"
    fi
else
    tried+=("PATH: there is no $program")
fi

# 3. The cache.
cache="${TIMESTREAM_CONNECTOR_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set, and neither is TIMESTREAM_CONNECTOR_CACHE}/.cache}/timestream-prometheus-connector}"
[[ $cache == /* ]] || cache="$PWD/$cache"
platform="$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)"
cached="$cache/prometheus-$version-$platform/$program"
if is_cached; then
    printf '%s\n' "$cached"
    exit 0
fi
tried+=("cache: there is no $cached")

if mkdir -p "$cache" && [[ -w $cache ]]; then
    work="$(mktemp -d)"
    trap 'rm -rf "$work"' EXIT

    # 4. A build.
    if exclusively "$cache/prometheus.lock" build_unless_cached; then
        printf '%s\n' "$cached"
        exit 0
    fi

    # 5. The distribution's package.
    packaged=
    if exclusively "$cache/prometheus.lock" unpack_package; then
        printf '%s\n' "$packaged"
        exit 0
    fi
else
    gave_up "cache: cannot write to $cache, where a build or package would go"
fi

# 6. The older one.
if [[ -n $older ]]; then
    say "using $older nevertheless, because there is nothing newer"
    printf '%s\n' "$older"
    exit 0
fi

say "could not obtain $program. Tried:"
for reason in "${tried[@]}"; do
    printf '  - %s\n' "$reason" >&2
done
cat >&2 <<END
To get one, either
  - install Prometheus 3 from its project's downloads or a package, and put
    $program on PATH or set \$$variable to its path; or
  - install Go $go_version or later, which can reach a module proxy, and run this again.
END
exit 1
