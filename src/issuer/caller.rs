//! The caller of a request: address and device, as far as the gateway is believed.

use std::net::IpAddr;

use crate::session::Device;

/// Caller of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The client's address.
    pub address: Option<IpAddr>,
    /// Its `User-Agent`.
    pub user_agent: Option<String>,
}

impl Caller {
    /// The device that a session is opened from.
    pub(super) fn device(&self) -> Device {
        Device::new(self.user_agent.as_deref(), self.address)
    }
}
