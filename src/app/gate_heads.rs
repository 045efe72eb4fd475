//! The gate as the service of the hot loop.

use std::sync::Arc;

use crate::gate::gateway_proof::Peer;
use crate::gate::service::GateService;
use crate::secret::fingerprint::Fingerprint;
use crate::server::HeadService;
use crate::wire::connection::Connection;
use crate::wire::request_head::RequestHead;
use crate::wire::whole_head::WholeHead;

/// The gate in front of hyper.
#[derive(Clone, Debug)]
pub(super) struct GateHeads {
    pub(super) service: Arc<GateService>,
    /// True where the listener demands certificates.
    pub(super) is_certified: bool,
}

impl HeadService for GateHeads {
    fn fingerprint(&self, connection: Connection, head: &WholeHead<'_>) -> Option<Fingerprint> {
        self.service.head_fingerprint(Peer::new(connection, self.is_certified), head)
    }

    fn answer_again(&self, head: Fingerprint, id: Option<&str>, out: &mut Vec<u8>) -> bool {
        self.service.answer_head_again(head, id, out)
    }

    fn answer_now(
        &self,
        connection: Connection,
        head: &RequestHead<'_>,
        fingerprint: Option<Fingerprint>,
        out: &mut Vec<u8>,
    ) -> Option<bool> {
        let peer = Peer::new(connection, self.is_certified);
        self.service.answer_head_now(peer, head, fingerprint, out)
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
