//! The caller's address, as a gateway tells it that we believe.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::USER_AGENT;

use crate::issuer::caller::Caller;
use crate::wire::networks::Networks;

/// The networks whose `X-Forwarded-For` is believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(pub Networks);

impl TrustedProxies {
    /// The caller of a request that `peer` sent; `None` is a peer on a unix socket.
    pub(super) fn caller(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Caller {
        let user_agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
        let address = self.0.client(peer, headers);
        Caller { address, user_agent: user_agent.map(str::to_owned) }
    }
}
