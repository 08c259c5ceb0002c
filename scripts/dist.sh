#!/usr/bin/env bash
#
# Builds the files of a release in target/dist:
#
#   timestream-prometheus-connector-SYSTEM-ARCH-VERSION.tar.gz     the standalone program for linux or macos
#   timestream-prometheus-connector-windows-x86_64-VERSION.zip     the same for Windows
#   timestream-prometheus-connector-lambda-ARCH-VERSION.zip        the function, for Lambda
#   timestream-prometheus-connector-image-ARCH-VERSION.tar         an image for `docker load`
#   timestream-prometheus-connector-SYSTEM-ARCH-VERSION.cdx.json   the packages in the program, by CycloneDX
#   SHA256SUMS
#
# ARCH is x86_64 or arm64. The programs for Linux need only glibc 2.30 or later; the standalone ones run on every
# processor of their architecture, while the function for arm64 is built for Lambda's. The function and the image have
# the packages of the program for Linux; the image has Debian's glibc and CA certificates, too, and buildah builds it
# without an engine. The programs for Windows are linked by mingw-w64 (scripts/windows.sh), those for macOS by zig
# (scripts/macos.sh).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'dist.sh: %s\n' "$*" >&2; }

# shellcheck source=scripts/packages.sh
source scripts/packages.sh

readonly name=timestream-prometheus-connector
readonly out=target/dist
version="$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)"
description="$(sed -n 's/^description = "\(.*\)"/\1/p' Cargo.toml | head -n 1)"
revision="$(git rev-parse HEAD 2>/dev/null || true)"
# Times in archives are the commit's, so that the same source gives the same archive.
SOURCE_DATE_EPOCH="$(git log -1 --format=%ct 2>/dev/null || date +%s)"
export SOURCE_DATE_EPOCH
created="$(date --utc --date "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)"
# The architecture whose program runs here, to write the documents.
case "$(uname -m)" in aarch64) own=arm64 ;; *) own=x86_64 ;; esac
readonly windows=x86_64-pc-windows-gnu
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

if ! type -P buildah >/dev/null; then
    if [[ $EUID -ne 0 ]] || ! type -P apt-get >/dev/null; then
        say "buildah, which makes the images, is missing; install it (Debian: apt-get install buildah)"
        exit 1
    fi
    apt-get -q update >&2 || true
    DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends buildah >&2
fi

# materials SYSTEM ARCH TARGET: the bill of materials of the program for a target.
materials() {
    scripts/sbom.py "$3" >"$out/$name-$1-$2-$version.cdx.json"
}

# image ARCH DEBIAN: the standalone program over Debian's glibc and CA certificates, as Dockerfile has it.
image() {
    local arch=$1 debian=$2 root="$work/$1/root" container
    unpack "$work/$arch/packages" "libc6:$debian" ca-certificates
    mkdir -p "$root/etc/ssl/certs" "$root/home/nonroot" "$root/usr/local/bin"
    cp -a "$work/$arch/packages/tree/lib" "$root"
    if [[ -d $work/$arch/packages/tree/lib64 ]]; then cp -a "$work/$arch/packages/tree/lib64" "$root"; fi
    find "$work/$arch/packages/tree/usr/share/ca-certificates" -name '*.crt' -print0 | sort -z |
        xargs -0 cat >"$root/etc/ssl/certs/ca-certificates.crt"
    printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$root/etc/passwd"
    printf 'root:x:0:\nnonroot:x:65532:\n' >"$root/etc/group"
    cp "$work/$arch/bootstrap" "$root/usr/local/bin/bootstrap"

    container="$(images from --arch "$debian" scratch)"
    images copy --quiet "$container" "$root" / >/dev/null
    images config --arch "$debian" --os linux --user 65532:65532 --workingdir /home/nonroot \
        --env HOME=/home/nonroot --env PATH=/usr/local/bin --port 9201/tcp --stop-signal SIGTERM \
        --entrypoint '["/usr/local/bin/bootstrap"]' --cmd '' \
        --healthcheck 'CMD /usr/local/bin/bootstrap healthcheck' --healthcheck-interval 30s \
        --healthcheck-timeout 10s --healthcheck-start-period 5s \
        --label "org.opencontainers.image.title=$name" --label "org.opencontainers.image.description=$description" \
        --label "org.opencontainers.image.version=$version" --label "org.opencontainers.image.revision=$revision" \
        --label "org.opencontainers.image.created=$created" --label org.opencontainers.image.licenses=Apache-2.0 \
        "$container"
    images commit --quiet --format docker --timestamp "$SOURCE_DATE_EPOCH" --rm "$container" \
        "docker-archive:$out/$name-image-$arch-$version.tar:$name:$version" >/dev/null
}

# buildah, with a store of its own that needs no kernel support. Only docker's format has health
# checks.
images() {
    BUILDAH_FORMAT=docker buildah --root "$work/store" --runroot "$work/run" --storage-driver vfs "$@"
}

rm -rf "$out"
mkdir -p "$out" "$work/x86_64" "$work/arm64"
make build-lambda build-lambda-x86-64
cp target/lambda/bootstrap/bootstrap.zip "$out/$name-lambda-arm64-$version.zip"
cp target/lambda-x86-64/bootstrap/bootstrap.zip "$out/$name-lambda-x86_64-$version.zip"
scripts/lambda.sh --arm64 cargo lambda build --locked --release --arm64 --disable-optimizations --bin bootstrap \
    --lambda-dir "$work/arm64/lambda"
cp "$work/arm64/lambda/bootstrap/bootstrap" "$work/arm64/bootstrap"
python3 -m zipfile --extract "$out/$name-lambda-x86_64-$version.zip" "$work/x86_64"
chmod 755 "$work/x86_64/bootstrap"
scripts/windows.sh cargo build --locked --release --target "$windows" --bin bootstrap
for arch in aarch64 x86_64; do
    scripts/macos.sh cargo build --locked --release --target "$arch-apple-darwin" --bin bootstrap
done

scripts/mach-o.py x86_64 target/x86_64-apple-darwin/release/bootstrap
scripts/mach-o.py arm64 target/aarch64-apple-darwin/release/bootstrap

archive() { scripts/archive.sh "$out" "$@" "$work/$own/bootstrap"; }
archive linux x86_64 "$work/x86_64/bootstrap"
archive linux arm64 "$work/arm64/bootstrap"
archive macos x86_64 target/x86_64-apple-darwin/release/bootstrap
archive macos arm64 target/aarch64-apple-darwin/release/bootstrap
archive windows x86_64 "target/$windows/release/bootstrap.exe"
materials linux x86_64 x86_64-unknown-linux-gnu
materials linux arm64 aarch64-unknown-linux-gnu
materials macos x86_64 x86_64-apple-darwin
materials macos arm64 aarch64-apple-darwin
materials windows x86_64 "$windows"
image x86_64 amd64
image arm64 arm64
(cd "$out" && sha256sum -- * >SHA256SUMS)
ls -l "$out"
