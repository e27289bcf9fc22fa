# The release binary with everything it serves, on a small Debian. The data folder is a volume. To try it, with BuildKit (Docker's buildx
# plugin; Docker 20.10 asks for DOCKER_BUILDKIT=1 instead):
#   docker build -t handshaken .
#   docker run -p 3000:3000 -v handshaken-data:/data handshaken

FROM node:22-bookworm-slim AS libraries
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
COPY .ci/bower-components.mjs .ci/
RUN npm ci

FROM rust:1.95-slim-bookworm AS binary
WORKDIR /build
COPY . .
COPY --from=libraries /build/node_modules node_modules
COPY --from=libraries /build/public/bower_components public/bower_components
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin handshaken \
    && cp target/release/handshaken /usr/local/bin/

FROM debian:bookworm-slim
# For backups of a running server.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends sqlite3 \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin handshaken \
    && install --directory --owner=handshaken --group=handshaken --mode=0750 /data
COPY --from=binary /usr/local/bin/handshaken /usr/local/bin/
# Whom the server trusts when it asks others over TLS.
COPY --from=binary /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY LICENSE /usr/share/doc/handshaken/
USER handshaken
# The default data folder, ./data, is then the volume.
WORKDIR /
VOLUME /data
EXPOSE 3000
# SIGTERM drains: clients are told, what was accepted is finished.
STOPSIGNAL SIGTERM
# bash speaks TCP by itself, so no curl is needed. NODE_PORT and PORT set the port as they do for the server; a port
# from --listen or HANDSHAKEN_LISTEN needs a --health-cmd of its own.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${NODE_PORT:-${PORT:-3000}} && printf 'GET /health HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]
ENTRYPOINT ["handshaken"]
