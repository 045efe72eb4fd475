//! The listener where gateways ask by gRPC.

use std::sync::Arc;

use crate::gate::ext_authz::ExtAuthz;
use crate::gate::service::GateService;
use crate::server::{DrainReport, Listeners, Shutdown};

/// The open listener.
#[derive(Debug)]
pub(super) struct BoundExtAuthz {
    pub(super) listeners: Listeners,
    /// True where it demands certificates.
    pub(super) is_certified: bool,
}

impl BoundExtAuthz {
    /// Answers calls until `shutdown` begins, then drains.
    pub(super) async fn serve(self, gate: Arc<GateService>, shutdown: &Shutdown) -> DrainReport {
        let service = ExtAuthz::new(gate, self.is_certified);
        let answer = move |peer, request| service.clone().answer(peer, request);
        self.listeners.serve(answer, shutdown).await
    }
}
