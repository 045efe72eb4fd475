# syntax=docker/dockerfile:1
# The build needs Rust and a C compiler (aws-lc and SQLite are compiled in); what runs needs neither.
FROM rust:1-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
# Not compiled, but Cargo refuses a manifest whose targets are missing.
COPY benches benches
RUN cargo build --profile dist --locked --bin portcullis \
    && install -D target/dist/portcullis /out/portcullis \
    && install -d -m 0700 /out/data

# The libraries that the program is linked with, and CA certificates; nothing is installed.
FROM debian:bookworm-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/portcullis /usr/local/bin/portcullis
COPY --from=build --chown=65532:65532 /out/data /var/lib/portcullis

# In a file, the weakest layer, so that PORT alone changes the port and LISTEN replaces all of it.
# Who brings a file of their own (CONFIG) says there where to listen.
COPY --chmod=0444 <<EOF /etc/portcullis.toml
listen_host = "0.0.0.0"
EOF

ENV CONFIG=/etc/portcullis.toml \
    METRICS_LISTEN=0.0.0.0:9090 \
    DATA_DIR=/var/lib/portcullis \
    LOG_FORMAT=json

USER 65532:65532
WORKDIR /var/lib/portcullis
VOLUME /var/lib/portcullis
EXPOSE 8080 9090

# Liveness is GET /health and readiness GET /ready on 9090, for the orchestrator to ask: there is no curl in here.
ENTRYPOINT ["/usr/local/bin/portcullis"]
CMD ["serve"]
