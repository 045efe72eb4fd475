//! The state of each listener's TLS, as metrics.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Listener {
    listener: &'static str,
}

/// Those of all listeners.
#[derive(Clone, Debug, Default)]
pub struct TlsMetrics {
    expires: Family<Listener, Gauge>,
    reloaded: Family<Listener, Gauge>,
    refused: Family<Listener, Counter>,
}

impl TlsMetrics {
    /// Metrics that are shown by `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "portcullis_tls_certificate_expiry_timestamp_seconds",
            "End of the certificate in use, in seconds since 1970",
            metrics.expires.clone(),
        );
        registry.register(
            "portcullis_tls_reload_successful",
            "1, or 0 while the files of a listener's TLS cannot be used and older ones are in use",
            metrics.reloaded.clone(),
        );
        registry.register(
            "portcullis_tls_handshakes_failed",
            "TLS handshakes that failed or took too long",
            metrics.refused.clone(),
        );
        metrics
    }

    pub(super) fn of(&self, listener: &'static str) -> ListenerMetrics {
        let label = Listener { listener };
        ListenerMetrics {
            expires: self.expires.get_or_create(&label).clone(),
            reloaded: self.reloaded.get_or_create(&label).clone(),
            refused: self.refused.get_or_create(&label).clone(),
        }
    }
}

/// Those of one.
#[derive(Debug)]
pub(super) struct ListenerMetrics {
    pub(super) expires: Gauge,
    pub(super) reloaded: Gauge,
    pub(super) refused: Counter,
}
