//! Portcullis: forward authentication. A gateway (nginx `auth_request`, Traefik `forwardAuth`)
//! asks before every request whether it may pass and who it is; this crate answers from memory.
//!
//! The modules, from the outside in; each may import only what stands below it:
//!
//! - [`cli`]: the commands, their flags and exit codes
//! - [`app`]: the only place that names concrete stores; build, bind, run until stopped
//! - [`config`]: file, environment and flags into typed sections, or every mistake at once
//! - [`gate`]: the data plane, one request in and one verdict out
//! - [`issuer`]: companion mode, which issues what the gate validates, over HTTP and gRPC
//! - [`server`]: listeners, connections, drain; knows nothing of tokens
//! - [`policy`]: what request a gateway told about, which route it takes, what that demands
//! - [`account`]: users, passwords, API keys, clients
//! - [`mail`]: mails of templates, and the way to a mail server
//! - [`opaque`]: refresh tokens and handles, kept by their digest
//! - [`lease`], [`limit`]: leases, and rate limits, that many processes share
//! - [`session`]: what a token's `sid` refers to, and the stores that keep it
//! - [`token`]: keys, key sets, claims; bytes in, claims out
//! - [`store`]: what all stores share: how databases are reached, errors, deadlines, invalidation
//! - [`telemetry`]: logs and metrics
//! - [`clock`], [`secret`], [`wire`]: time and chance as arguments, values that never print, and what
//!   services and the server tell each other

pub mod account;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod gate;
pub mod issuer;
pub mod lease;
pub mod limit;
pub mod mail;
pub mod opaque;
pub mod policy;
pub mod secret;
pub mod server;
pub mod session;
pub mod store;
pub mod telemetry;
pub mod token;
pub mod wire;
