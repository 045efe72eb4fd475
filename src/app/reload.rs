//! The policy is read again when one of its files changes, and on SIGHUP. A file with a mistake
//! changes nothing: the policy at hand stays in force, and log and metrics say so. On SIGHUP the keys
//! are read again too, by those who follow them.
//!
//! A file that somebody is writing may be good in half, and say less than it will. So a change is
//! believed when the next look finds the same; and on SIGHUP, when nothing changed meanwhile.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::keys::Published;
use crate::config::{Mistakes, PolicyConfig, PolicySet, PolicySource};
use crate::gate::service::GateService;
use crate::policy::permissions::{Permissions, PermissionsInForce};
use crate::policy::{CasbinInForce, SharedCasbin};
use crate::telemetry::metrics::Registry;
use crate::token::{KeyRing, SigningRing};
use crate::wire::file::FileVersion;

/// The interval at which the files are looked at. Two looks and reading take less than a second.
const POLL_INTERVAL: Duration = Duration::from_millis(400);
/// The most mistakes that are logged at once.
const MAX_LOGGED: usize = 20;

/// The metrics of the policy.
#[derive(Clone, Debug, Default)]
struct PolicyMetrics {
    routes: Gauge,
    /// 1 where the policy in force is what the files say, 0 where one of them has a mistake.
    is_current: Gauge,
    reloads: Counter,
    failures: Counter,
}

impl PolicyMetrics {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "portcullis_policy_routes",
            "Routes of the policy in force",
            metrics.routes.clone(),
        );
        registry.register(
            "portcullis_policy_is_current",
            "1 where the policy's files are in force, 0 where one has a mistake and the policy before is",
            metrics.is_current.clone(),
        );
        registry.register(
            "portcullis_policy_reloads",
            "Changes of the policy's files that were taken over",
            metrics.reloads.clone(),
        );
        registry.register(
            "portcullis_policy_reload_failures",
            "Changes of the policy's files that were not, since one holds a mistake",
            metrics.failures.clone(),
        );
        metrics
    }

    fn set(&self, routes: usize) {
        self.routes.set(i64::try_from(routes).unwrap_or(i64::MAX));
        self.is_current.set(1);
    }
}

/// The versions of all files of the policy.
type Versions = Vec<Option<FileVersion>>;

/// The policy in force, and the files that it follows.
#[derive(Debug)]
pub(super) struct PolicyReload {
    source: PolicySource,
    /// The versions that were read last.
    seen: Versions,
    /// The versions that the last look found, where it read none.
    changing: Option<Versions>,
    service: Arc<GateService>,
    models: ModelsInForce,
    metrics: PolicyMetrics,
}

/// The models of permissions, for whoever asks them beside the routes.
#[derive(Clone, Debug, Default)]
pub(super) struct ModelsInForce {
    pub(super) permissions: PermissionsInForce,
    pub(super) casbin: SharedCasbin,
    /// Told of where rules of the database are changed in this process.
    pub(super) rules_changed: Arc<Notify>,
}

impl ModelsInForce {
    /// Those of the policy that was read, if there is one.
    pub(super) fn of(policy: Option<&PolicyConfig>) -> Self {
        let models = Self::default();
        if let Some(PolicyConfig { set, .. }) = policy {
            models.store(set.permissions.clone(), set.casbin.clone());
        }
        models
    }

    fn store(&self, permissions: Option<Arc<Permissions>>, casbin: Option<Arc<CasbinInForce>>) {
        self.permissions.store(permissions);
        self.casbin.store(casbin);
    }
}

/// The keys that are read again while the process runs.
#[derive(Debug)]
pub(super) struct FollowedKeys {
    own: Option<Arc<SigningRing>>,
    published: Vec<Arc<KeyRing>>,
}

impl FollowedKeys {
    /// Our own, where they are in a key ring, and those that others publish in files and at addresses.
    pub(super) fn new(own: Option<&Arc<SigningRing>>, published: &[Published]) -> Self {
        let published = published.iter().map(|(ring, _)| Arc::clone(ring)).collect();
        Self { own: own.cloned(), published }
    }

    fn read_again(&self) {
        if let Some(own) = &self.own {
            own.request_reread();
        }
        self.published.iter().for_each(|ring| ring.request_refresh());
    }
}

/// Follows SIGHUP, and the policy's files where there are any, until `stop`.
pub(super) fn follow(
    mut policy: Option<PolicyReload>,
    keys: FollowedKeys,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send {
    // From now on, and not only from when the future runs, SIGHUP does not end the process.
    let hangup = signal(SignalKind::hangup());
    let mut hangup = hangup.inspect_err(|error| warn!(%error, "SIGHUP cannot be heard")).ok();
    let following = async move {
        loop {
            let is_forced = next(hangup.as_mut()).await;
            if is_forced {
                let (key_ring, key_sets) = (keys.own.is_some(), keys.published.len());
                let policy = policy.is_some();
                info!(policy, key_ring, key_sets, "SIGHUP: these are read again");
                keys.read_again();
            }
            let Some(reload) = policy.take() else { continue };
            // Reading and compiling large files takes its time.
            let read = tokio::task::spawn_blocking(move || reload.poll(is_forced));
            match read.await {
                Ok(reload) => policy = Some(reload),
                Err(_) => return error!("the policy's files are no longer followed"),
            }
        }
    };
    async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = following => {}
        }
    }
}

/// Waits for the next look at the files; true where somebody asked for it.
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
    /// Puts the configured policy in force, to be followed from then on.
    pub(super) fn start(
        policy: PolicyConfig,
        service: &Arc<GateService>,
        models: &ModelsInForce,
        registry: &mut Registry,
    ) -> Self {
        let PolicyConfig { source, seen, set } = policy;
        let metrics = PolicyMetrics::register(registry);
        let (service, models) = (Arc::clone(service), models.clone());
        let reload = Self { source, seen, changing: None, service, models, metrics };
        reload.put_in_force(set);
        reload
    }

    /// Reads the files again where they changed, or where somebody asked for it.
    fn poll(mut self, is_forced: bool) -> Self {
        let versions = self.source.versions();
        let is_settled = self.changing.take().is_some_and(|changing| changing == versions);
        if is_forced || (is_settled && versions != self.seen) {
            let read = self.read();
            if self.source.versions() == versions {
                self.seen = versions;
                match read {
                    Ok((set, found)) => self.take_over(set, &found),
                    Err(mistakes) => self.keep(&mistakes),
                }
                return self;
            }
        }
        self.changing = Some(versions);
        self
    }

    /// Reads and compiles the files. A library that panics at one of them must not end this for good.
    fn read(&self) -> Result<(PolicySet, Mistakes), Mistakes> {
        catch_unwind(AssertUnwindSafe(|| self.source.read())).unwrap_or_else(|_| {
            let mut mistakes = Mistakes::default();
            mistakes
                .add(&self.source.names(), "reading failed by a mistake of the program".to_owned());
            Err(mistakes)
        })
    }

    fn take_over(&self, set: PolicySet, found: &Mistakes) {
        for warning in found.warnings() {
            warn!("{warning}");
        }
        let routes = self.put_in_force(set);
        self.metrics.reloads.inc();
        info!(files = self.source.names(), routes, "the policy was read again, and is in force");
    }

    /// Puts a policy in force, here and for whoever asks its models. Returns the number of routes.
    fn put_in_force(&self, set: PolicySet) -> usize {
        let PolicySet { policy, permissions, casbin } = set;
        let routes = policy.as_ref().map_or(0, |policy| policy.len());
        self.metrics.set(routes);
        self.models.store(permissions, casbin);
        if let Some(policy) = policy {
            self.service.gate().set_policy(policy);
        }
        routes
    }

    fn keep(&self, mistakes: &Mistakes) {
        self.metrics.is_current.set(0);
        self.metrics.failures.inc();
        let (files, lines) = (self.source.names(), mistakes.lines());
        for mistake in lines.iter().take(MAX_LOGGED) {
            error!("{mistake}");
        }
        let mistakes = lines.len();
        error!(files, mistakes, "the policy cannot be used; the one before it stays in force");
    }
}
