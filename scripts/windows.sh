#!/usr/bin/env bash
#
# Builds for 64-bit Windows, and runs the result on Linux.
#
#   scripts/windows.sh cargo ARGUMENT...   cargo with the tools for x86_64-pc-windows-gnu
#   scripts/windows.sh gcc                 prints the path of a gcc for it
#   scripts/windows.sh run                 prints the path of a program that runs its programs: PATH PROGRAM ARGUMENT...
#
# The path is the only line on standard output. Progress and errors go to standard error.
#
# The standard library is added by rustup. gcc is mingw-w64's on PATH, or else Debian's packages, fetched by apt-get
# and unpacked into the cache (55 MB, 350 MB unpacked); its libraries are those of any gcc. run is Wine from Debian's
# packages, unpacked likewise (100 MB, 700 MB unpacked), with a folder of its own in place of ~/.wine. Neither needs
# root.
#
# The cache is $TIMESTREAM_CONNECTOR_CACHE, or else timestream-prometheus-connector in $XDG_CACHE_HOME
# (by default ~/.cache). It can be deleted at any time.

# exclusively calls some functions:
# shellcheck disable=SC2329

set -euo pipefail

readonly target=x86_64-pc-windows-gnu
readonly tools=x86_64-w64-mingw32
# Wine makes its folder in 7 s, and waits forever if a part of it is missing.
readonly wine_seconds=300

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

say() {
    printf 'windows.sh: %s\n' "$*" >&2
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

compiles() {
    [[ -x $1 ]] && printf '#include <windows.h>\nint main(void) { return 0; }\n' | "$1" -x c -o "$cache/windows.$$.exe" - 2>/dev/null
    local status=$?
    rm -f "$cache/windows.$$.exe"
    return $status
}

unpack_gcc() {
    if compiles "$gcc"; then
        return
    fi
    say "fetching mingw-w64's gcc, 55 MB"
    local folder="$work/mingw"
    unpack "$folder" gcc-mingw-w64-x86-64-win32 gcc-mingw-w64-x86-64-win32-runtime gcc-mingw-w64-base \
        binutils-mingw-w64-x86-64 mingw-w64-x86-64-dev mingw-w64-common || return 1
    rm -rf "$folder/tree/usr/share/doc" "$folder/lists" "$folder/packages"
    # Debian's alternatives name it without a suffix.
    ln -s "$tools-gcc-win32" "$folder/tree/usr/bin/$tools-gcc"
    compiles "$folder/tree/usr/bin/$tools-gcc" || return 1
    chmod 755 "$folder" && rm -rf "$cached_gcc" && mv "$folder" "$cached_gcc"
}

# Sets $gcc.
find_gcc() {
    gcc="$(type -P "$tools-gcc")" || gcc="$cached_gcc/tree/usr/bin/$tools-gcc"
    compiles "$gcc" && return
    [[ $gcc == "$cached_gcc"/* ]] ||
        fail "$gcc does not work; install Debian's package gcc-mingw-w64-x86-64-win32 again"
    exclusively "$cache/windows.lock" unpack_gcc ||
        fail "could not obtain mingw-w64's gcc; install it (Debian: apt-get install gcc-mingw-w64-x86-64-win32)"
}

unpack_wine() {
    if runs "$cached_wine"; then
        return
    fi
    say "fetching Wine, 100 MB"
    local folder="$work/wine" tree file
    tree="$folder/tree/usr/lib"
    unpack "$folder" wine64 libwine libunwind8 libz-mingw-w64 || return 1
    # Wine's own libraries import it, and it is in a package for compilers.
    mkdir -p "$folder/prefix/drive_c/windows/system32" &&
        find "$folder/tree/usr/$tools" -name zlib1.dll -exec cp {} "$folder/prefix/drive_c/windows/system32" ';' &&
        # Debian's is a script with absolute paths.
        mv -f "$tree/wine/wineserver64" "$tree/wine/wineserver" || return 1
    rm -rf "$tree/x86_64-linux-gnu/wine/i386-windows" "$folder/tree/usr/share/doc" "$folder/lists" "$folder/packages"
    cat >"$folder/run" <<'END'
#!/usr/bin/env bash
# Runs a program for 64-bit Windows with the Wine beside it.
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export WINEPREFIX="$here/prefix" WINEDEBUG="${WINEDEBUG:--all}" WINEDLLOVERRIDES='mscoree,mshtml='
# Programs without a window need no display, whatever the terminal has.
unset DISPLAY WAYLAND_DISPLAY
LD_LIBRARY_PATH="$here/tree/usr/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" \
    exec "$here/tree/usr/lib/wine/wine64" "$@"
END
    chmod 755 "$folder" "$folder/run"
    runs "$folder/run" || return 1
    WINEPREFIX="$folder/prefix" "$tree/wine/wineserver" --kill || true
    # Wine copies its libraries, which hard links can stand in for.
    for file in "$folder"/prefix/drive_c/windows/system32/*; do
        if cmp -s "$file" "$tree/x86_64-linux-gnu/wine/x86_64-windows/${file##*/}"; then
            ln -f "$tree/x86_64-linux-gnu/wine/x86_64-windows/${file##*/}" "$file"
        fi
    done
    rm -rf "$(dirname "$cached_wine")" && mv "$folder" "$(dirname "$cached_wine")"
}

# Succeeds if Wine runs a program of its own.
runs() {
    [[ -x $1 ]] && timeout "$wine_seconds" "$1" cmd /c exit >/dev/null 2>&1 </dev/null
}

case "${1:-}" in
    cargo) [[ $# -gt 1 ]] || set -- ;;
    gcc | run) [[ $# -eq 1 ]] || set -- ;;
    *) set -- ;;
esac
if [[ $# -eq 0 ]]; then
    printf 'usage: scripts/windows.sh cargo ARGUMENT...|gcc|run\n' >&2
    exit 2
fi

cache="${TIMESTREAM_CONNECTOR_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set, and neither is TIMESTREAM_CONNECTOR_CACHE}/.cache}/timestream-prometheus-connector}"
[[ $cache == /* ]] || cache="$PWD/$cache"
platform="$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)"
cached_gcc="$cache/mingw-$platform"
cached_wine="$cache/wine-$platform/run"

mkdir -p "$cache" && [[ -w $cache ]] || fail "cannot write to $cache"
# In the cache, so that it can be moved into place in one step.
work="$(mktemp -d "$cache/windows.XXXXXX")"
trap 'rm -rf "$work"' EXIT

if [[ $1 == run ]]; then
    [[ $platform == linux-x86_64 ]] || fail "programs for Windows on x86-64 run here on Linux on x86-64 only, not on $platform"
    runs "$cached_wine" || exclusively "$cache/windows.lock" unpack_wine ||
        fail "could not obtain Wine: it needs Debian or a derivative whose packages apt-get can reach"
    printf '%s\n' "$cached_wine"
    exit
fi

gcc=
find_gcc
if [[ $1 == gcc ]]; then
    printf '%s\n' "$gcc"
    exit
fi
add_target "$target" ||
    fail "Rust's standard library for $target is missing; add it (rustup target add $target)"
bin="$(dirname "$gcc")"
rm -rf "$work"
trap - EXIT
# rustc itself calls dlltool.
export PATH="$bin:$PATH"
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER="$gcc" CC_x86_64_pc_windows_gnu="$gcc"
export AR_x86_64_pc_windows_gnu="$bin/$tools-ar"
exec "$@"
