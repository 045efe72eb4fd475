//! Who hears of changes by others, for as long as the process runs.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::opaque::Tokens;
use crate::session::Sessions;
use crate::storage::news::{Heard, Hears, Means, NewsSource, NewsState};

/// How long after its end a source is started again, which must not happen at all.
const START_AGAIN: Duration = Duration::from_secs(1);

/// All that remember what they read from the stores.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) sessions: Arc<Sessions>,
    pub(super) tokens: Arc<Tokens>,
    pub(super) state: Arc<NewsState>,
}

impl Hears for Listeners {
    fn hear(&self, heard: Heard<'_>) {
        self.state.count(heard);
        self.sessions.hear(heard);
        self.tokens.hear(heard);
    }
}

/// Passes news on until `stop`. A source that ends, by a mistake of ours, leaves the bound in force
/// and is started again.
pub(super) async fn follow(
    source: Arc<dyn NewsSource>,
    listeners: Arc<Listeners>,
    stop: CancellationToken,
) {
    loop {
        let following = tokio::spawn({
            let (source, listeners) = (Arc::clone(&source), Arc::clone(&listeners));
            async move { source.follow(&*listeners, &listeners.state).await }
        });
        let abort = following.abort_handle();
        tokio::select! {
            () = stop.cancelled() => return abort.abort(),
            ended = following => {
                listeners.state.set_means(Means::Bound);
                listeners.hear(Heard::Missed);
                let why = ended.err().map(tracing::field::display);
                error!(why, "the source of news ended; it is started again");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(START_AGAIN) => {}
        }
    }
}
