//! Metrics, in the text format that Prometheus reads (OpenMetrics 1.0).

use std::sync::Arc;

use prometheus_client::encoding::text::encode;
pub use prometheus_client::registry::Registry;

/// The content type of the exposition.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of the process, ready to be shown.
#[derive(Clone, Debug)]
pub struct Exposition(Arc<Registry>);

impl Exposition {
    /// Takes the registry when everything has registered with it.
    pub fn new(registry: Registry) -> Self {
        Self(Arc::new(registry))
    }

    /// The exposition as text, or `None` where writing failed, which happens only without memory.
    pub fn text(&self) -> Option<String> {
        let mut text = String::new();
        encode(&mut text, &self.0).ok().map(|()| text)
    }
}
