#!/usr/bin/env bash
#
# Obtains a program of the system with which tests judge the files for servers, and prints its absolute path as the
# only line on standard output. Progress and errors go to standard error.
#
#   scripts/system-tools.sh strace|systemd-analyze
#
# Uses the one on PATH, or else the distribution's package, fetched by apt-get and unpacked into the cache of
# scripts/prometheus.sh without installing it.

# exclusively calls obtain:
# shellcheck disable=SC2329

set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=scripts/exclusively.sh
source "$here/exclusively.sh"
# shellcheck source=scripts/packages.sh
source "$here/packages.sh"

say() { printf 'system-tools.sh: %s\n' "$*" >&2; }

program="${1:-}"
case "$program" in
    strace) package=strace libraries=(libunwind8 liblzma5) ;;
    systemd-analyze) package=systemd libraries=(libsystemd-shared libsystemd0 libseccomp2 libcap2 libmount1 libblkid1) ;;
    *)
        printf 'usage: scripts/system-tools.sh strace|systemd-analyze\n' >&2
        exit 2
        ;;
esac

runs() { "$1" --version >/dev/null 2>&1; }

if path="$(type -P "$program")" && runs "$path"; then
    realpath "$path"
    exit 0
fi

cache="${TIMESTREAM_CONNECTOR_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set, and neither is TIMESTREAM_CONNECTOR_CACHE}/.cache}/timestream-prometheus-connector}"
[[ $cache == /* ]] || cache="$PWD/$cache"
folder="$cache/$program-$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)"
unpacked="$folder/$program"

obtain() {
    if runs "$unpacked"; then return; fi
    say "fetching the package $package"
    unpack "$folder" "$package" "${libraries[@]}" || return 1
    cat >"$unpacked" <<END
#!/usr/bin/env bash
# Runs the unpacked $program beside it.
tree="\$(cd "\$(dirname "\${BASH_SOURCE[0]}")" && pwd)/tree"
libraries=("\$tree"/usr/lib/*-linux-gnu "\$tree"/lib/*-linux-gnu "\$tree"/usr/lib/*-linux-gnu/systemd)
LD_LIBRARY_PATH="\$(IFS=:; printf '%s' "\${libraries[*]}")" exec "\$tree/usr/bin/$program" "\$@"
END
    rm -rf "$folder/lists" "$folder/packages"
    chmod 755 "$unpacked" && runs "$unpacked"
}

if ! mkdir -p "$cache" || ! exclusively "$cache/system-tools.lock" obtain; then
    say "could not obtain $program: install the package $package"
    exit 1
fi
printf '%s\n' "$unpacked"
