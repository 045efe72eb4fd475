//! The listener where gateways ask by gRPC.

use std::sync::Arc;

use super::listening::Opening;
use crate::gate::ext_authz::ExtAuthz;
use crate::gate::service::GateService;
use crate::server::{Address, DrainReport, Limits, ListenerConfig, Listeners, Shutdown};

/// The open listener.
#[derive(Debug)]
pub(super) struct BoundExtAuthz {
    listeners: Listeners,
    /// True where it demands certificates.
    is_certified: bool,
}

impl BoundExtAuthz {
    /// Opens its addresses, or none.
    pub(super) fn open(
        opening: &Opening,
        at: &ListenerConfig,
        limits: &Limits,
    ) -> anyhow::Result<Self> {
        let listeners = opening.listen("ext_authz", at, &limits.of_grpc())?;
        Ok(Self { listeners, is_certified: at.asks_for_certificates() })
    }

    /// Its addresses, with the ports that the system chose.
    pub(super) fn addresses(&self) -> Vec<Address> {
        self.listeners.addresses()
    }

    /// Answers calls until `shutdown` begins, then drains.
    pub(super) async fn serve(self, gate: Arc<GateService>, shutdown: &Shutdown) -> DrainReport {
        let service = ExtAuthz::new(gate, self.is_certified);
        let answer = move |connection, request| service.clone().answer(connection, request);
        self.listeners.serve(answer, shutdown).await
    }
}
