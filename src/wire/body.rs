//! Bodies of requests: bounded in size, in time, and in the number of those that are read at once.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};

use super::budget::Budget;
use super::networks::Networks;

/// The largest body that is read, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// The longest time that a client may take to send it.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The most bodies that a listener waits for at once. One address has at most a quarter of them, so
/// that a client that never sends an announced body does not shut out the others.
const MAX_BODIES: usize = 1_024;

/// The bodies that a listener waits for.
#[derive(Clone, Debug)]
pub struct Bodies(Arc<Budget>);

impl Bodies {
    /// No bodies yet. Those of `gateways` have no bound of their own.
    pub fn new(gateways: Networks) -> Self {
        Self(Budget::with_addresses(MAX_BODIES, MAX_BODIES / 4, gateways))
    }

    /// Reads the whole body; without one there is nothing to wait for.
    ///
    /// # Errors
    /// The answer to send instead.
    pub async fn read(&self, peer: Option<IpAddr>, body: Incoming) -> Result<Bytes, StatusCode> {
        if body.is_end_stream() {
            return Ok(Bytes::new());
        }
        let reservation = self.0.reserve(peer, 1).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        let reading = Limited::new(body, MAX_BODY_BYTES).collect();
        let read = tokio::time::timeout(BODY_TIMEOUT, reading).await;
        drop(reservation);
        match read {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(_)) => Err(StatusCode::PAYLOAD_TOO_LARGE),
            Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
        }
    }
}
