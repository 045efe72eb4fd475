//! Telemetry: logs on standard error, the audit log, metrics for Prometheus.

pub mod audit;
pub mod logs;
pub mod lost;
pub mod metrics;
mod queue;
pub mod rate;
