//! authnzerver's wire: its listener, served beside those of the issuer.

use super::listening::Opening;
use crate::config::WireConfig;
use crate::issuer::authnzerver::AuthnzerverService;
use crate::server::{DrainReport, Limits, ListenerConfig, Listeners, Shutdown};
use crate::wire::connection::Connection;

/// Opens its addresses; none where it is off.
pub(super) fn listen(
    opening: &Opening,
    wire: Option<&WireConfig>,
    limits: &Limits,
) -> anyhow::Result<Listeners> {
    let at = wire.map_or_else(ListenerConfig::default, |wire| wire.listen.clone());
    opening.listen("authnzerver", &at, limits)
}

/// Answers until `shutdown` begins, then drains.
pub(super) async fn serve(
    listeners: Listeners,
    service: AuthnzerverService,
    shutdown: Shutdown,
) -> DrainReport {
    let answer = move |connection: Connection, request| {
        let service = service.clone();
        async move { service.answer(connection.peer, request).await }
    };
    listeners.serve(answer, &shutdown).await
}
