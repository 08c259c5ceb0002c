# The standalone server: only the program, glibc and CA certificates.
#
#   docker build --tag timestream-prometheus-connector .
#   docker buildx build --platform linux/arm64,linux/amd64 --tag timestream-prometheus-connector .
#
# The program is built on the machine's own architecture and linked by zig for the other, against
# a glibc older than the base's. docs/releasing.md says how the digests are renewed.

ARG RUST_IMAGE=rust:1.95-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1
ARG BASE_IMAGE=gcr.io/distroless/base-nossl-debian12:nonroot@sha256:be40c00dfabd86576d92666e87e406714d5618342de1a0c213ad232de255172e

FROM --platform=$BUILDPLATFORM ${RUST_IMAGE} AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3-venv
WORKDIR /source
COPY . .
ARG TARGETARCH
# The commit, for `bootstrap --version`; .git is not copied.
ARG SOURCE_REVISION=
ENV SOURCE_REVISION=$SOURCE_REVISION
RUN case "$TARGETARCH" in arm64) target=--arm64 ;; *) target=--x86-64 ;; esac; \
    flag=; if [ "$target" = --arm64 ]; then flag=--arm64; fi; \
    scripts/lambda.sh $flag cargo lambda build --locked --release $target --disable-optimizations \
        --bin bootstrap --lambda-dir /built

# glibc and CA certificates; the user is unprivileged.
FROM ${BASE_IMAGE}
# Those that a build has to be given: see docs/releasing.md.
ARG SOURCE_REVISION=
ARG VERSION=
ARG CREATED=
LABEL org.opencontainers.image.title="timestream-prometheus-connector" \
    org.opencontainers.image.description="Prometheus remote storage on Amazon Timestream for LiveAnalytics" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$SOURCE_REVISION" \
    org.opencontainers.image.created="$CREATED" \
    org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /built/bootstrap/bootstrap /usr/local/bin/bootstrap
USER 65532:65532
EXPOSE 9201
HEALTHCHECK --interval=30s --timeout=10s --start-period=5s CMD ["/usr/local/bin/bootstrap", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/bootstrap"]
