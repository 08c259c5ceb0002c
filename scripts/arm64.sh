#!/usr/bin/env bash
#
# Obtains the tools to build for 64-bit ARM and to run the result on another architecture, and prints an
# absolute path as the only line on standard output. Progress and errors go to standard error.
#
#   scripts/arm64.sh rustc   a rustc with the standard library for aarch64-unknown-linux-gnu
#   scripts/arm64.sh run     a program that runs programs for 64-bit ARM: PATH PROGRAM ARGUMENT...
#
# rustc is the first of these that works:
#
#   1. the rustc on PATH, if it has that library;
#   2. the cache, filled by an earlier run;
#   3. the one on PATH again, after `rustup target add`;
#   4. the distribution's packages (Debian's rustc-web or rustc, with the library of arm64), fetched
#      by apt-get and unpacked into the cache. Only libraries that this rustc lacks are installed,
#      which needs root.
#
# run is `env` on a 64-bit ARM machine; otherwise qemu-aarch64 with a C library for it, from
# the cache or the distribution's packages, unpacked likewise.
#
# The cache is $TIMESTREAM_CONNECTOR_CACHE, or else timestream-prometheus-connector in $XDG_CACHE_HOME
# (by default ~/.cache). It can be deleted at any time.

# exclusively calls some functions:
# shellcheck disable=SC2329

set -euo pipefail

readonly target=aarch64-unknown-linux-gnu

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

say() {
    printf 'arm64.sh: %s\n' "$*" >&2
}

fail() {
    say "$*"
    exit 1
}

# shellcheck source=scripts/exclusively.sh
source "$here/exclusively.sh"
# shellcheck source=scripts/packages.sh
source "$here/packages.sh"
# shellcheck source=scripts/rust-target.sh
source "$here/rust-target.sh"

# The minimum version of the package, and the version of a rustc: 1.95 and 1.96.0.
wanted_version() {
    sed -n 's/^rust-version = "\(.*\)"/\1/p' "$here/../Cargo.toml"
}

version_of() {
    "$1" --version 2>/dev/null | cut -d ' ' -f 2
}

is_recent() {
    local older
    older="$(printf '%s\n' "$(wanted_version)" "$(version_of "$1")" | sort --version-sort | head -n 1)"
    [[ $older == "$(wanted_version)" ]]
}

unpack_rustc() {
    if is_usable "$cached"; then
        return
    fi
    local folder suffix library llvm
    say "fetching the distribution's rustc with the library for $target, about 130 MB"
    for suffix in -web ''; do
        folder="$work/rustc$suffix"
        unpack "$folder" "rustc$suffix" "libstd-rust$suffix-dev" "libstd-rust$suffix-dev:arm64" || continue
        library="$(dependencies "$folder" "libstd-rust$suffix-dev" "libstd-rust[a-z-]*-[0-9.]*")"
        llvm="$(dependencies "$folder" "$library" 'libllvm[0-9]*')"
        # shellcheck disable=SC2086
        unpack "$folder" $library $llvm || continue
        cat >"$folder/rustc" <<'END'
#!/usr/bin/env bash
# Runs the unpacked rustc beside it.
tree="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/tree"
libraries=("$tree"/usr/lib/*-linux-gnu)
LD_LIBRARY_PATH="${libraries[0]}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" exec "$tree/usr/bin/rustc" "$@"
END
        chmod 755 "$folder/rustc"
        if ! "$folder/rustc" --version >/dev/null && [[ $EUID -eq 0 ]]; then
            say "installing the libraries it misses, with $llvm"
            apt-get -q update >&2 || true
            # shellcheck disable=SC2086
            DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 install -y \
                --no-install-recommends $llvm >&2 || continue
        fi
        if is_usable "$folder/rustc"; then
            rm -rf "$folder/lists" "$folder/packages" "$(dirname "$cached")"
            chmod 755 "$folder" && mv "$folder" "$(dirname "$cached")"
            return
        fi
        say "the distribution's rustc$suffix is $(version_of "$folder/rustc"), or lacks the library"
    done
    return 1
}

is_usable() {
    [[ -x $1 ]] && has_target "$1" "$target" && is_recent "$1"
}

unpack_qemu() {
    if runs "$cached"; then
        return
    fi
    say "fetching qemu-aarch64 and a C library for it, about 65 MB"
    local folder="$work/qemu" qemu
    unpack "$folder" qemu-user-static libc6:arm64 || return 1
    qemu="$(find "$folder/tree/usr/bin" -name qemu-aarch64-static -o -name qemu-aarch64 | head -n 1)"
    [[ -n $qemu ]] || return 1
    mkdir "$folder/result"
    # Since Debian 13 one is a link to the other.
    cp -L "$qemu" "$folder/result/qemu-aarch64" &&
        mv "$folder/tree" "$folder/result/root" &&
        rm -rf "$folder/result/root/usr/bin" "$folder/result/root/usr/share" || return 1
    cat >"$folder/result/run" <<'END'
#!/usr/bin/env bash
# Runs a program for 64-bit ARM with the qemu beside it.
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
exec "$here/qemu-aarch64" -L "$here/root" "$@"
END
    chmod 755 "$folder/result" "$folder/result/run"
    rm -rf "$(dirname "$cached")"
    mv "$folder/result" "$(dirname "$cached")"
}

# Succeeds if the dynamic loader of the C library runs.
runs() {
    [[ -x $1 ]] && "$1" "$(dirname "$1")"/root/lib/ld-linux-aarch64.so.1 --version >/dev/null 2>&1
}

case "${1:-}" in
    rustc | run) ;;
    *) set -- ;;
esac
if [[ $# -ne 1 ]]; then
    printf 'usage: scripts/arm64.sh rustc|run\n' >&2
    exit 2
fi

cache="${TIMESTREAM_CONNECTOR_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set, and neither is TIMESTREAM_CONNECTOR_CACHE}/.cache}/timestream-prometheus-connector}"
[[ $cache == /* ]] || cache="$PWD/$cache"
platform="$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)"

if [[ $1 == run ]]; then
    if [[ $platform == linux-aarch64 ]]; then
        type -P env
        exit 0
    fi
    cached="$cache/qemu-aarch64-$platform/run"
    if runs "$cached"; then
        printf '%s\n' "$cached"
        exit 0
    fi
    obtain=unpack_qemu
    problem="could not obtain qemu-aarch64: it needs Debian or a derivative whose packages apt-get can reach"
else
    cached="$cache/rustc-arm64-$platform/rustc"
    if type -P rustc >/dev/null && has_target rustc "$target"; then
        type -P rustc
        exit 0
    fi
    if is_usable "$cached"; then
        printf '%s\n' "$cached"
        exit 0
    fi
    if type -P rustc >/dev/null && add_target "$target"; then
        type -P rustc
        exit 0
    fi
    obtain=unpack_rustc
    problem="could not obtain Rust's standard library for $target: \`rustup target add $target\` adds it if rustup reaches its server; otherwise it needs Debian or a derivative with rustc-web $(wanted_version) or later"
fi

mkdir -p "$cache" && [[ -w $cache ]] || fail "cannot write to $cache"
# In the cache, so that it can be moved into place in one step.
work="$(mktemp -d "$cache/arm64.XXXXXX")"
trap 'rm -rf "$work"' EXIT
exclusively "$cache/arm64.lock" "$obtain" || fail "$problem"
printf '%s\n' "$cached"
