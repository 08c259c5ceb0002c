# The standalone server: only the program, glibc and CA certificates.
#
#   docker build --tag timestream-prometheus-connector .
#   docker buildx build --platform linux/arm64,linux/amd64 --tag timestream-prometheus-connector .
#
# The program is built on the machine's own architecture and linked by zig for the other, against
# a glibc older than the base's.

FROM --platform=$BUILDPLATFORM rust:1.95-bookworm AS build
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
FROM gcr.io/distroless/base-nossl-debian12:nonroot
COPY --from=build /built/bootstrap/bootstrap /usr/local/bin/bootstrap
USER 65532:65532
EXPOSE 9201
HEALTHCHECK --interval=30s --timeout=10s --start-period=5s CMD ["/usr/local/bin/bootstrap", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/bootstrap"]
