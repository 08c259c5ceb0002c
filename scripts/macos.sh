#!/usr/bin/env bash
#
# Runs cargo with zig as compiler and linker for macOS on both architectures, without Apple's SDK:
#
#   scripts/macos.sh cargo build --target aarch64-apple-darwin
#   scripts/macos.sh cargo build --target x86_64-apple-darwin
#
# zig, of scripts/python.sh lambda, has the headers and symbols of libSystem and signs programs for arm64 ad hoc, which
# macOS requires. The frameworks that are linked are in scripts/macos as lists of the symbols that are used: a linker
# needs no more. If it reports an undefined symbol of a framework, add the symbol to its list. rustup adds the
# standard libraries.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

readonly oldest_macos=11.0

say() {
    printf 'macos.sh: %s\n' "$*" >&2
}

fail() {
    say "$*"
    exit 1
}

# shellcheck source=scripts/rust-target.sh
source "$here/rust-target.sh"

if [[ ${1:-} != cargo || $# -eq 1 ]]; then
    printf 'usage: scripts/macos.sh cargo ARGUMENT...\n' >&2
    exit 2
fi

for target in aarch64-apple-darwin x86_64-apple-darwin; do
    [[ " $* " == *" $target "* ]] || continue
    add_target "$target" ||
        fail "Rust's standard library for $target is missing; add it (rustup target add $target)"
done

python="$("$here/python.sh" lambda)"
zig="$("$python" -c 'import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), "zig"))')"

# cargo builds again if the path of a compiler changes.
cache="${TIMESTREAM_CONNECTOR_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set, and neither is TIMESTREAM_CONNECTOR_CACHE}/.cache}/timestream-prometheus-connector}"
[[ $cache == /* ]] || cache="$PWD/$cache"
tools="$cache/macos"
mkdir -p "$tools"

# write NAME < TEXT: a program, which appears in one step.
write() {
    local file
    file="$(mktemp "$tools/$1.XXXXXX")"
    cat >"$file"
    chmod 755 "$file"
    mv -f "$file" "$tools/$1"
}

write ar <<END
#!/usr/bin/env bash
exec '$zig' ar "\$@"
END
for arch in aarch64 x86_64; do
    # What names the target for clang is not known to zig, and -liconv is in libSystem.
    write "$arch-cc" <<END
#!/usr/bin/env bash
arguments=()
while [[ \$# -gt 0 ]]; do
    case \$1 in
        --target=* | -mmacosx-version-min=* | -liconv) ;;
        -arch) shift ;;
        *) arguments+=("\$1") ;;
    esac
    shift
done
exec '$zig' cc -target $arch-macos.$oldest_macos -F'$here/macos' "\${arguments[@]}"
END
    export "CC_${arch}_apple_darwin=$tools/$arch-cc" "AR_${arch}_apple_darwin=$tools/ar"
    export "CARGO_TARGET_${arch^^}_APPLE_DARWIN_LINKER=$tools/$arch-cc"
done
exec "$@"
