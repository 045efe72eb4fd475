//! The rules of the database are followed: by their version, several times within the bound, and at
//! once where they are changed in this process.
//!
//! New rules are compiled aside and put in force whole. A rule that the model does not understand may be
//! a denial, so nothing is decided by the others either, nor by those before it, until it is gone. Where
//! the database says nothing, what it said last holds for as long as the bound.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::Context as _;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::open_account_database;
use super::reload::ModelsInForce;
use crate::account::{AccountError, RuleSet, RuleStore};
use crate::clock::{Clock, Moment};
use crate::config::Config;
use crate::policy::{
    BadCasbin, Casbin, CasbinInForce, CasbinSource, KnownRules, PolicyRule, SharedCasbin,
    StoredRules,
};
use crate::telemetry::metrics::Registry;
use crate::wire::warning_throttle::WarningThrottle;

/// The number of looks within the bound, of which all but one may fail.
const LOOKS_PER_BOUND: u32 = 4;
/// The longest time between two looks.
const MAX_INTERVAL: Duration = Duration::from_secs(1);

/// The metrics of the rules.
#[derive(Clone, Debug, Default)]
struct RuleMetrics {
    rules: Gauge,
    /// 1 where the rules in force are those of the database, as far as is known.
    is_current: Gauge,
    reloads: Counter,
    failures: Counter,
}

impl RuleMetrics {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "portcullis_policy_rules",
            "Casbin's rules in the database, as they were read last",
            metrics.rules.clone(),
        );
        registry.register(
            "portcullis_policy_rules_are_current",
            "1 where Casbin decides by the rules of the database, 0 where it cannot be asked or one is a mistake",
            metrics.is_current.clone(),
        );
        registry.register(
            "portcullis_policy_rules_reloads",
            "Changes of the rules in the database that were taken over",
            metrics.reloads.clone(),
        );
        registry.register(
            "portcullis_policy_rules_failures",
            "Looks at the rules in the database that got no answer, or found a mistake",
            metrics.failures.clone(),
        );
        metrics
    }
}

/// The database's rules, and the enforcer that they are compiled into.
#[derive(Debug)]
pub(super) struct RulesFollower {
    store: Arc<dyn RuleStore>,
    stored: Arc<StoredRules>,
    casbin: SharedCasbin,
    changed: Arc<Notify>,
    clock: Arc<dyn Clock>,
    metrics: RuleMetrics,
    warnings: WarningThrottle,
    /// True where the next look reads all, whatever the version: the database was away, and may have
    /// come back as another one.
    must_read: bool,
    /// The rules and files that could not be compiled, so that they are tried and told once.
    refused: Option<(KnownRules, Weak<CasbinInForce>)>,
}

/// The parts that a follower needs.
pub(super) struct Following {
    pub(super) store: Arc<dyn RuleStore>,
    pub(super) stored: Arc<StoredRules>,
    pub(super) casbin: SharedCasbin,
    /// Told of where rules are changed in this process.
    pub(super) changed: Arc<Notify>,
    pub(super) clock: Arc<dyn Clock>,
}

impl RulesFollower {
    /// Looks for the first time. What has no answer has none later either, until there is one: that is
    /// no reason not to start.
    pub(super) async fn start(parts: Following, registry: &mut Registry) -> Self {
        let Following { store, stored, casbin, changed, clock } = parts;
        let mut follower = Self {
            store,
            stored,
            casbin,
            changed,
            clock,
            metrics: RuleMetrics::register(registry),
            warnings: WarningThrottle::default(),
            must_read: true,
            refused: None,
        };
        follower.look().await;
        follower
    }

    /// Looks again and again, until `stop`.
    async fn follow(mut self, stop: CancellationToken) {
        let interval = (self.stored.bound() / LOOKS_PER_BOUND).min(MAX_INTERVAL);
        let changed = Arc::clone(&self.changed);
        let looking = async {
            loop {
                let _sooner_or_later = tokio::time::timeout(interval, changed.notified()).await;
                self.look().await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = looking => {}
        }
    }

    /// Looks once.
    async fn look(&mut self) {
        let read = Moment::now(self.clock.as_ref());
        // One that hangs must not use up the bound: the next may have an answer.
        let found = tokio::time::timeout(self.stored.bound() / 2, self.read(read)).await;
        match found.unwrap_or(Err(AccountError::TimedOut)) {
            Ok(known) => {
                self.must_read = false;
                self.put_in_force(&known).await;
            }
            Err(problem) => {
                self.must_read = true;
                self.metrics.is_current.set(0);
                self.metrics.failures.inc();
                if self.warnings.is_due() {
                    warn!(%problem, "the rules of the database cannot be read; soon what asks Casbin is denied");
                }
            }
        }
    }

    /// The rules as they are now. `read` is a moment before anything was asked.
    async fn read(&self, read: Moment) -> Result<KnownRules, AccountError> {
        if let Some(known) = self.stored.known().filter(|_| !self.must_read)
            && self.store.rules_version().await? == known.version
        {
            return Ok(KnownRules { read, ..KnownRules::clone(&known) });
        }
        let RuleSet { version, rules } = self.store.rules().await?;
        let rules =
            rules.into_iter().map(|rule| PolicyRule { kind: rule.kind, fields: rule.fields });
        let rules: Arc<[PolicyRule]> = rules.collect();
        let known = self.stored.known().map(|known| Arc::clone(&known.rules));
        let rules = known.filter(|known| *known == rules).unwrap_or(rules);
        Ok(KnownRules { version, rules, read })
    }

    /// Sees to it that Casbin decides by these rules, or by none.
    async fn put_in_force(&mut self, known: &KnownRules) {
        self.stored.set_known(known.clone());
        self.metrics.rules.set(i64::try_from(known.rules.len()).unwrap_or(i64::MAX));
        let Some(casbin) = self.casbin.load_full() else { return };
        if casbin.confirm(known) {
            self.metrics.is_current.set(1);
            return;
        }
        let own = Arc::downgrade(&casbin);
        let is_refused = |(rules, of): &(KnownRules, Weak<CasbinInForce>)| {
            rules.is_same(known) && of.ptr_eq(&own)
        };
        if self.refused.as_ref().is_some_and(is_refused) {
            return;
        }
        let (source, rules) = (casbin.source().clone(), Arc::clone(&known.rules));
        let compiled = tokio::task::spawn_blocking(move || compile(&source, &rules)).await;
        match compiled.unwrap_or_else(|_| Err("compiling was cut".to_owned())) {
            Ok(compiled) => {
                casbin.put(Arc::new(compiled), known.clone());
                self.refused = None;
                self.metrics.is_current.set(1);
                self.metrics.reloads.inc();
                let (rules, version) = (known.rules.len(), known.version);
                info!(rules, version, "the rules of the database are in force");
            }
            Err(problem) => {
                casbin.withdraw();
                self.refused = Some((known.clone(), own));
                self.metrics.is_current.set(0);
                self.metrics.failures.inc();
                error!(
                    problem,
                    "a rule of the database cannot be used; what asks Casbin is denied"
                );
            }
        }
    }
}

/// The follower of the configured database, where its rules count.
///
/// # Errors
/// The database cannot be opened.
pub(super) async fn start(
    config: &Config,
    models: &ModelsInForce,
    clock: &Arc<dyn Clock>,
    registry: &mut Registry,
) -> anyhow::Result<Option<RulesFollower>> {
    let stored = config.gate.policy.as_ref().and_then(|policy| policy.source.stored());
    let Some(stored) = stored.cloned() else { return Ok(None) };
    let database = open_account_database(&config.accounts).await;
    let store = database.context("cannot open the database of the rules")?.rules;
    let ModelsInForce { casbin, rules_changed: changed, .. } = models.clone();
    let clock = Arc::clone(clock);
    let parts = Following { store, stored, casbin, changed, clock };
    Ok(Some(RulesFollower::start(parts, registry).await))
}

/// Follows the rules until `stop`, where there are any to follow.
pub(super) async fn follow(follower: Option<RulesFollower>, stop: CancellationToken) {
    if let Some(follower) = follower {
        follower.follow(stop).await;
    }
}

/// Compiles the rules. A library that panics at one of them must not end this for good.
fn compile(source: &CasbinSource, rules: &[PolicyRule]) -> Result<Casbin, String> {
    let compiled = catch_unwind(AssertUnwindSafe(|| source.compile(rules)));
    let compiled =
        compiled.map_err(|_| "compiling failed by a mistake of the program".to_owned())?;
    compiled.map_err(|bad: BadCasbin| bad.to_string())
}

#[cfg(test)]
mod tests;
