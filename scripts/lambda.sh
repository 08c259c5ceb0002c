#!/usr/bin/env bash
#
# Runs a command with cargo-lambda, zig and SAM first on the PATH: see scripts/python.sh.
#
#   scripts/lambda.sh cargo lambda watch
#   scripts/lambda.sh --arm64 sam build
#
# With --arm64 cargo uses a rustc that can build for 64-bit ARM: see scripts/arm64.sh.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

if [[ ${1:-} == --arm64 ]]; then
    shift
    RUSTC="$("$here/arm64.sh" rustc)"
    # Without it, cargo uses the rustc on PATH.
    if [[ $RUSTC == "$(type -P rustc)" ]]; then
        unset RUSTC
    else
        export RUSTC
    fi
fi
if [[ $# -eq 0 ]]; then
    printf 'usage: scripts/lambda.sh [--arm64] COMMAND...\n' >&2
    exit 2
fi

python="$("$here/python.sh" lambda)"
PATH="$(dirname "$python"):$PATH"
export PATH
# Builds run without the telemetry and the version checks of SAM.
export SAM_CLI_TELEMETRY="${SAM_CLI_TELEMETRY:-0}"
exec "$@"
