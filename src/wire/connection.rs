//! A connection, as the services behind a listener know it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// A connection that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The address that it comes from; `None` is a unix socket.
    pub peer: Option<IpAddr>,
    /// Its number: no other connection of this process has it.
    pub id: u64,
}

impl Connection {
    /// A new connection from this address.
    pub fn accepted(peer: Option<IpAddr>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { peer, id: NEXT.fetch_add(1, Ordering::Relaxed) }
    }
}
