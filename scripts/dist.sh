#!/usr/bin/env bash
#
# Builds the files of a release in target/dist:
#
#   timestream-prometheus-connector-linux-ARCH-VERSION.tar.gz   the standalone program
#   timestream-prometheus-connector-lambda-ARCH-VERSION.zip     the function, for Lambda
#   timestream-prometheus-connector-image-ARCH-VERSION.tar      an image for `docker load`
#   SHA256SUMS
#
# ARCH is x86_64 or arm64. The programs need only glibc 2.30 or later; the standalone ones run on every
# processor of their architecture, while the function for arm64 is built for Lambda's. The image holds the
# program, and Debian's glibc and CA certificates; buildah builds it without an engine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'dist.sh: %s\n' "$*" >&2; }

# shellcheck source=scripts/packages.sh
source scripts/packages.sh

readonly name=timestream-prometheus-connector
readonly out=target/dist
version="$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)"
# Times in archives are the commit's, so that the same source gives the same archive.
SOURCE_DATE_EPOCH="$(git log -1 --format=%ct 2>/dev/null || date +%s)"
export SOURCE_DATE_EPOCH
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

# archive ARCH: the standalone program.
archive() {
    local folder="$work/$name-linux-$1-$version"
    mkdir "$folder"
    cp "$work/$1/bootstrap" README.md CHANGELOG.md LICENSE "$folder"
    tar --create --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
        --directory "$work" "$(basename "$folder")" | gzip -n >"$out/$(basename "$folder").tar.gz"
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
        --label "org.opencontainers.image.version=$version" --label org.opencontainers.image.licenses=Apache-2.0 \
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

archive x86_64
archive arm64
image x86_64 amd64
image arm64 arm64
(cd "$out" && sha256sum -- * >SHA256SUMS)
ls -l "$out"
