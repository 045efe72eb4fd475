//! The policy is read again when its file changes, and on SIGHUP. A file with a mistake changes
//! nothing: the policy at hand stays in force, and log and metrics say so.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::{Mistakes, PolicySource};
use crate::gate::service::GateService;
use crate::policy::Policy;
use crate::telemetry::metrics::Registry;
use crate::wire::file::FileVersion;

/// The interval at which the file is looked at.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The most mistakes of one file that are logged.
const MAX_LOGGED: usize = 20;

/// The metrics of the policy.
#[derive(Clone, Debug, Default)]
pub(super) struct PolicyMetrics {
    routes: Gauge,
    /// 1 where the policy in force is what the file says, 0 where the file has a mistake.
    is_current: Gauge,
    reloads: Counter,
    failures: Counter,
}

impl PolicyMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "portcullis_policy_routes",
            "Routes of the policy in force",
            metrics.routes.clone(),
        );
        registry.register(
            "portcullis_policy_is_current",
            "1 where POLICY_FILE is in force as it is, 0 where it has a mistake and the policy before it is",
            metrics.is_current.clone(),
        );
        registry.register(
            "portcullis_policy_reloads",
            "Changes of POLICY_FILE that were taken over",
            metrics.reloads.clone(),
        );
        registry.register(
            "portcullis_policy_reload_failures",
            "Changes of POLICY_FILE that were not, since they hold a mistake",
            metrics.failures.clone(),
        );
        metrics
    }

    /// A policy is in force.
    pub(super) fn set(&self, policy: &Policy) {
        self.routes.set(i64::try_from(policy.len()).unwrap_or(i64::MAX));
        self.is_current.set(1);
    }
}

/// The policy in force, and the file that it follows.
#[derive(Debug)]
pub(super) struct PolicyReload {
    pub(super) source: PolicySource,
    /// The version of the file that was looked at last.
    pub(super) seen: Option<FileVersion>,
    pub(super) service: Arc<GateService>,
    pub(super) metrics: PolicyMetrics,
}

/// Follows SIGHUP, and the policy's file where there is one, until `stop`.
pub(super) async fn follow(policy: Option<PolicyReload>, stop: CancellationToken) {
    let hangup = signal(SignalKind::hangup());
    let mut hangup = hangup.inspect_err(|error| warn!(%error, "SIGHUP cannot be heard")).ok();
    let following = async {
        let mut policy = policy;
        loop {
            let is_forced = next(hangup.as_mut()).await;
            match policy.take() {
                None if is_forced => info!("SIGHUP: there is no POLICY_FILE to read again"),
                None => {}
                Some(reload) => {
                    // Reading and compiling a large file takes its time.
                    let read = tokio::task::spawn_blocking(move || reload.poll(is_forced));
                    match read.await {
                        Ok(reload) => policy = Some(reload),
                        Err(_) => return error!("POLICY_FILE is no longer followed"),
                    }
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = following => {}
    }
}

/// Waits for the next look at the file; true where somebody asked for it.
async fn next(hangup: Option<&mut Signal>) -> bool {
    let asked = async {
        match hangup {
            Some(hangup) => hangup.recv().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        asked = asked => asked.is_some(),
        () = tokio::time::sleep(POLL_INTERVAL) => false,
    }
}

impl PolicyReload {
    /// Reads the file again where it changed, or where somebody asked for it.
    fn poll(mut self, is_forced: bool) -> Self {
        let version = self.source.version();
        if is_forced || version != self.seen {
            self.seen = version;
            match self.source.read() {
                Ok((policy, found)) => self.take_over(policy, &found),
                Err(mistakes) => self.keep(&mistakes),
            }
        }
        self
    }

    fn take_over(&self, policy: Policy, found: &Mistakes) {
        let (file, routes) = (self.source.path.display(), policy.len());
        for warning in found.warnings() {
            warn!("{warning}");
        }
        self.metrics.set(&policy);
        self.metrics.reloads.inc();
        self.service.gate().set_policy(Arc::new(policy));
        info!(%file, routes, "the policy was read again, and is in force");
    }

    fn keep(&self, mistakes: &Mistakes) {
        self.metrics.is_current.set(0);
        self.metrics.failures.inc();
        let (file, lines) = (self.source.path.display(), mistakes.lines());
        for mistake in lines.iter().take(MAX_LOGGED) {
            error!("{mistake}");
        }
        let mistakes = lines.len();
        error!(%file, mistakes, "the policy cannot be used; the one before it stays in force");
    }
}
