//! What the process says of itself: logs on standard error, metrics for Prometheus.

pub mod audit;
pub mod logs;
pub mod lost;
pub mod metrics;
mod queue;
pub mod rate;
