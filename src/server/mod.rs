//! The listeners of gate, issuer, gRPC and metrics: sockets in, answers out, nothing of tokens in
//! between.
//!
//! [`Listeners::bind`] opens every address or none; [`Listeners::serve`] runs the one accept loop
//! over all of them, TCP and unix alike, until a [`Shutdown`] begins, then drains. HTTP/1.0, 1.1
//! and HTTP/2, by ALPN or prior knowledge, share each listener, with [`Tls`] or without.
//!
//! Why by hand rather than with a ready-made "auto" server:
//! - A gateway waits on every answer, so a request costs what bare hyper costs: no timer, no lock
//!   and no allocation a request. Silence is found by one sweep over all connections instead.
//! - The wait for a connection's first bytes is under the same timeout as every other silence
//!   (hyper #3756 leaves it unbounded).
//! - Gateways forward heads that announce bodies they never send. Such a request is answered at
//!   once and its connection closed, so that no later request is ever read as a body.
//! - A restart must not show: what the kernel has accepted is answered, and every answer of the
//!   drain says `Connection: close`, so that clients go elsewhere by themselves.
//!
//! What it never does: exit or spin because `accept` failed, let one connection hold another,
//! let a panic of the service out of its connection, tell the service who the peer is, or remove
//! a file that is not its own socket.

mod accept;
mod accept_error;
mod address;
mod connection;
mod connection_registry;
mod drain;
mod heads;
mod hot_loop;
mod listener;
mod shutdown;
mod stream;
#[cfg(test)]
mod tests;
mod tls;

use std::time::Duration;

pub use address::{Address, AddressError};
pub use drain::DrainReport;
pub use hot_loop::HeadService;
pub use listener::{BindError, Listeners};
pub use shutdown::{Shutdown, signals};
pub use tls::{Tls, TlsError, TlsFile, TlsFiles, TlsMetrics};

use crate::secret::pseudonym::Pseudonyms;
use crate::wire::networks::Networks;

/// A listener's addresses and TLS, as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Its addresses; none: it is off.
    pub addresses: Vec<Address>,
    /// The files of its TLS; `None`: it speaks plain HTTP.
    pub tls: Option<TlsFiles>,
}

impl ListenerConfig {
    /// True where only this host can reach it.
    pub fn is_loopback(&self) -> bool {
        self.addresses.iter().all(Address::is_loopback)
    }

    /// The scheme of URLs of its TCP addresses.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// True where it asks clients for a certificate.
    pub fn asks_for_certificates(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some())
    }

    /// True with a TCP address among its own.
    pub fn has_tcp(&self) -> bool {
        self.addresses.iter().any(|address| matches!(address, Address::Tcp(_)))
    }
}

/// Limits of what clients may do.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections open at once, over all listeners; more wait in the kernel's backlog.
    pub max_connections: usize,
    /// Connections of one address at once (IPv6: of one /64); more are closed.
    pub max_per_address: usize,
    /// Networks that no bound of an address holds for, beside clients of unix sockets.
    pub gateways: Networks,
    /// A connection on which no request starts for this long is closed: one that never sent a
    /// byte, one whose head never ends, an idle keep-alive one. At most a quarter late.
    pub idle_timeout: Duration,
    /// A request that has no answer after this long, such as one whose body never ends, is aborted.
    /// At most a quarter late.
    pub request_timeout: Duration,
    /// Header fields of one request; more are answered 431. In HTTP/1 room for them is taken anew
    /// for every request: 512 cost about 1 µs of processor time each, 1024 nearly 2.
    pub max_headers: usize,
    /// Bytes of one request's head; more are answered 431.
    pub max_head_bytes: usize,
    /// Memory of all heads that are not finished, beyond the 8 KiB that each may have; one address
    /// has at most a quarter of it. A connection that needs more is closed.
    pub unfinished_heads: usize,
    /// Streams that one HTTP/2 connection may have open at once.
    pub max_streams: u32,
    /// The most of them that bring a body at the same time.
    pub max_bodies: u32,
    /// True where HTTP/2 connections are pinged. Once they have begun, they are held to neither
    /// timeout then.
    pub pings: bool,
    /// Permission bits of unix sockets, as in `0o660`.
    pub socket_mode: u32,
    /// True where heads are answered in front of hyper, by listeners whose service can.
    pub hot_loop: bool,
    /// The words that the log has in place of clients' addresses.
    pub pseudonyms: Pseudonyms,
}

impl Limits {
    /// Those of gRPC: clients keep a connection, with streams that stay open, and each call brings
    /// a body. Calls have deadlines of their own.
    #[must_use]
    pub fn of_grpc(&self) -> Self {
        Self {
            max_connections: 1024,
            max_per_address: self.max_per_address.min(256),
            idle_timeout: Duration::from_secs(10),
            max_head_bytes: 16 << 10,
            max_streams: 100,
            max_bodies: 100,
            pings: true,
            ..self.clone()
        }
    }
}

impl Default for Limits {
    /// No tighter than the gateways in front: Go's 1 MiB for a head, and some room.
    fn default() -> Self {
        Self {
            max_connections: 8192,
            max_per_address: 2048,
            gateways: Networks::default(),
            idle_timeout: Duration::from_mins(2),
            request_timeout: Duration::from_mins(1),
            max_headers: 1024,
            max_head_bytes: (1 << 20) + (16 << 10),
            unfinished_heads: 64 << 20,
            max_streams: 250,
            max_bodies: 32,
            pings: false,
            socket_mode: 0o660,
            hot_loop: true,
            pseudonyms: Pseudonyms::default(),
        }
    }
}
