//! Portcullis: forward authentication. A gateway (nginx `auth_request`, Traefik `forwardAuth`)
//! asks before every request whether it may pass and who it is; this crate answers from memory.
//!

pub mod clock;
pub mod gate;
pub mod secret;
pub mod server;
pub mod session;
pub mod storage;
pub mod token;
