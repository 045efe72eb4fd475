//! The gate as the service of the hot loop.

use std::sync::Arc;

use crate::gate::gateway_proof::Peer;
use crate::gate::service::GateService;
use crate::server::HeadService;
use crate::wire::connection::Connection;
use crate::wire::request_head::RequestHead;

/// The gate in front of hyper.
#[derive(Clone, Debug)]
pub(super) struct GateHeads {
    pub(super) service: Arc<GateService>,
    /// True where the listener demands certificates.
    pub(super) is_certified: bool,
}

impl HeadService for GateHeads {
    fn answer_now(
        &self,
        connection: Connection,
        head: &RequestHead<'_>,
        out: &mut Vec<u8>,
    ) -> Option<bool> {
        let peer = Peer::new(connection, self.is_certified);
        self.service.answer_head_now(peer, head, out)
    }

    async fn answer(
        &self,
        connection: Connection,
        head: &RequestHead<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        let peer = Peer::new(connection, self.is_certified);
        self.service.answer_head(peer, head, out).await
    }
}
