#!/usr/bin/env bash
#
# Packs the standalone program with its documents into an archive of a release, and prints its path.
#
#   scripts/archive.sh FOLDER SYSTEM ARCH PROGRAM RUNS_HERE
#
# The archive is FOLDER/timestream-prometheus-connector-SYSTEM-ARCH-VERSION.tar.gz or, for windows, .zip. RUNS_HERE is
# the same program for this machine, which writes its completions and its man page. In a .tar.gz the program has two
# names, bootstrap and timestream-prometheus-connector, of one file; a zip cannot link, so there it has the second.
# Times are $SOURCE_DATE_EPOCH, so that the same program gives the same archive.
set -euo pipefail

if [[ $# -ne 5 ]]; then
    printf 'usage: scripts/archive.sh FOLDER SYSTEM ARCH PROGRAM RUNS_HERE\n' >&2
    exit 2
fi
here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
out="$(cd "$1" && pwd)"
readonly name=timestream-prometheus-connector
version="$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/Cargo.toml" | head -n 1)"
packed="$name-$2-$3-$version"
time="@${SOURCE_DATE_EPOCH:-$(date +%s)}"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
folder="$work/$packed"
mkdir "$folder" "$folder/completions" "$folder/man"
cp "$here/README.md" "$here/CHANGELOG.md" "$here/LICENSE" "$folder"
# Completions are for the name by which the program is started.
cp "$5" "$work/$name"
for shell in bash elvish fish powershell zsh; do
    "$work/$name" completions "$shell" >"$folder/completions/$name.$shell"
done
"$work/$name" man >"$folder/man/$name.1"

if [[ $2 == windows ]]; then
    cp "$4" "$folder/$name.exe"
    find "$folder" -exec touch --date "$time" {} +
    rm -f "$out/$packed.zip"
    (cd "$work" && TZ=UTC python3 -m zipfile --create "$out/$packed.zip" "$packed")
    printf '%s\n' "$out/$packed.zip"
else
    cp "$4" "$folder/$name"
    ln "$folder/$name" "$folder/bootstrap"
    tar --create --sort=name --owner=0 --group=0 --numeric-owner --mtime="$time" --directory "$work" "$packed" |
        gzip -n >"$out/$packed.tar.gz"
    printf '%s\n' "$out/$packed.tar.gz"
fi
