//! What the process says of itself: logs on standard error, metrics for Prometheus.

pub mod audit;
pub mod logs;
pub mod metrics;
