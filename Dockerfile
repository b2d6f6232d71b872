# docker build --build-arg VERSION=$(git describe --tags --always) -t llmhist .
# deploy/check-dockerfile.sh tries these steps without Docker.

FROM node:22-bookworm AS assets
WORKDIR /src
COPY . .
RUN deploy/build.sh assets

FROM golang:1.26-bookworm AS build
ARG VERSION=dev
WORKDIR /src
COPY go.mod go.sum ./
COPY tools/inflection tools/inflection
RUN go mod download
COPY . .
COPY --from=assets /src/web/dist web/dist
COPY --from=assets /src/platform/flite/assets platform/flite/assets
RUN VERSION=$VERSION deploy/build.sh binary

# The binary is static and would run in an empty image. Debian instead, for what
# it brings as packages: espeak-ng speaks some hundred languages beside the
# built-in English voices, lame makes MP3 of them, and ca-certificates are needed
# to call any provider over https.
FROM debian:stable-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates espeak-ng lame \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin llmhist \
 && install -d -o llmhist -g llmhist -m 0700 /data
COPY --from=build /src/bin/llmhist /usr/local/bin/llmhist
COPY --from=build /src/LICENSE /src/NOTICE /src/platform/flite/assets/LICENSE.flite /usr/share/doc/llmhist/
USER llmhist
WORKDIR /data
ENV HOST=0.0.0.0 PORT=8080 DATA_DIR=/data LOG_FORMAT=json
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=6s --start-period=10s --retries=3 CMD ["llmhist", "healthcheck"]
ENTRYPOINT ["llmhist"]
CMD ["serve"]
