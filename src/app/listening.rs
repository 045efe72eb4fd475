//! Opening the listeners of the process, each with its TLS.

use std::sync::Arc;

use anyhow::Context as _;

use crate::clock::Clock;
use crate::server::{Limits, ListenerConfig, Listeners, Tls, TlsMetrics};

/// Things that all of them are opened with.
pub(super) struct Opening {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: TlsMetrics,
}

impl Opening {
    /// Opens all addresses of a listener, or none; `name` is its name in the log and in metrics. One
    /// that is off has none, and serves nobody.
    pub(super) fn listen(
        &self,
        name: &'static str,
        at: &ListenerConfig,
        limits: &Limits,
    ) -> anyhow::Result<Listeners> {
        let pseudonyms = &limits.pseudonyms;
        let open = |files| {
            Tls::open(name, files, Arc::clone(&self.clock), &self.metrics, pseudonyms.clone())
        };
        let tls = at.tls.clone().map(open).transpose();
        let tls =
            tls.with_context(|| format!("cannot use the TLS files of the {name} listener"))?;
        Ok(Listeners::bind(&at.addresses, limits)?.with_tls(tls))
    }
}
