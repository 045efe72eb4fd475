//! Invalidation of the caches: follows the store's source for as long as the process runs.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::opaque::Tokens;
use crate::session::Sessions;
use crate::store::invalidation::{
    DeliveryMode, InvalidationEvent, InvalidationListener, InvalidationSource, InvalidationState,
};

/// Pause after the end of a source until it is started again, which must not happen at all.
const START_AGAIN: Duration = Duration::from_secs(1);

/// A fan-out to all caches of the process.
#[derive(Debug)]
pub(super) struct FanOut {
    pub(super) sessions: Arc<Sessions>,
    pub(super) tokens: Arc<Tokens>,
    pub(super) state: Arc<InvalidationState>,
}

impl InvalidationListener for FanOut {
    fn on_invalidation(&self, event: InvalidationEvent<'_>) {
        self.state.count(event);
        self.sessions.on_invalidation(event);
        self.tokens.on_invalidation(event);
    }
}

/// Passes events on until `stop`. A source that ends, by a mistake of ours, leaves the bound in
/// force and is started again.
pub(super) async fn follow(
    source: Arc<dyn InvalidationSource>,
    caches: Arc<FanOut>,
    stop: CancellationToken,
) {
    loop {
        let following = tokio::spawn({
            let (source, caches) = (Arc::clone(&source), Arc::clone(&caches));
            async move { source.follow(&*caches, &caches.state).await }
        });
        let abort = following.abort_handle();
        tokio::select! {
            () = stop.cancelled() => return abort.abort(),
            ended = following => {
                caches.state.set_mode(DeliveryMode::Bound);
                caches.on_invalidation(InvalidationEvent::Lost);
                let why = ended.err().map(tracing::field::display);
                error!(why, "the source of invalidation events ended; it is started again");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(START_AGAIN) => {}
        }
    }
}
