//! The integration tests: one binary, its modules named for what they are about.
//!
//! They run real programs. What a machine does not have is skipped with a visible word, or is a failure
//! with `PORTCULLIS_TEST_REQUIRE=1`, as `tests/run` sets it.

#![allow(clippy::pedantic, reason = "a test says what it expects in the plainest way")]
#![warn(clippy::too_many_lines)]
#![allow(
    unreachable_pub,
    reason = "nothing here is reachable from outside; `pub` says that other modules use it"
)]

mod account_life;
mod account_store;
mod accounts_cli;
mod anonymous;
mod api_keys;
mod architecture;
mod audit;
mod authnzerver;
mod authorizer;
mod basic;
mod browser_login;
mod brute_force;
mod caddy;
mod cli;
mod client_disconnects;
mod clients;
mod contract;
mod dev;
mod devices;
mod documents;
mod durability;
mod envoy;
mod examples;
mod explain_recorded;
mod ext_authz;
mod faults;
mod full_disk;
mod gateway;
mod gateway_fabric;
mod gateway_proof;
mod grpc;
mod haproxy;
mod http_edge;
mod identities;
mod ingress;
mod introspection;
mod invalidation;
mod issuance_bounds;
mod issuance_faults;
mod issuer_admin;
mod issuer_document;
mod issuer_http;
mod issuer_names;
mod key_rotation;
mod logs_and_metrics;
mod matrix;
mod memcached;
mod moving;
mod nginx;
mod opaque_gate;
mod opaque_store;
mod outage;
mod policy_models;
mod policy_reload;
mod policy_test;
mod proto_fresh;
mod record_store;
mod refresh_race;
mod remote_jwks;
mod repeated_input;
mod request_limits;
mod roles_and_rules;
mod secrets_in_logs;
mod security_headers;
mod sender_constrained;
mod server;
mod session_binding;
mod session_store;
mod sessions;
mod simulation;
mod spellings;
mod support;
mod tickets;
mod tls;
mod topologies;
mod traefik;
mod traefik_options;
mod two_gates;
mod unix_sockets;
mod validate;
mod wrong_listener;
