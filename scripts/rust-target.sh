# shellcheck shell=bash
# To be sourced: Rust's standard library for another target.
#
#   has_target RUSTC TARGET    succeeds if this rustc has it
#   add_target TARGET          adds it to the rustc on PATH, if that is rustup's
#
# Uses the script's say.

# rustup takes seconds if it reaches its server, and may wait forever otherwise.
readonly rustup_seconds=300

has_target() {
    local folder
    folder="$("$1" --print target-libdir --target "$2" 2>/dev/null)" &&
        compgen -G "$folder/libstd-*.rlib" >/dev/null
}

add_target() {
    has_target rustc "$1" && return
    type -P rustup >/dev/null || return 1
    say "adding $1 by rustup"
    timeout "$rustup_seconds" rustup target add "$1" >&2 && has_target rustc "$1"
}
