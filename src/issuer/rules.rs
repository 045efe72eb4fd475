//! Casbin's rules in the database of accounts, and what Casbin says by them.
//!
//! A rule is added only where the model in force here understands it. Every process that decides by the
//! rules follows them by their version; this one is told at once.

use std::sync::Arc;

use tokio::sync::Notify;

use super::Dependencies;
use super::audit::{Audit, Event};
use super::error::{Cause, IssueError};
use super::users::Actor;
use crate::account::{AccountStore, RuleSet, RuleStore, StoredRule, UserState};
use crate::clock::{Clock, Moment};
use crate::policy::{CasbinInForce, PolicyRule, SharedCasbin};
use crate::session::UserId;

/// The most rules that are added or removed at once.
pub const MAX_RULES: usize = 10_000;

/// The database of the rules, and what decides by them in this process.
#[derive(Clone, Debug)]
pub struct PolicyAccess {
    /// The database.
    pub store: Arc<dyn RuleStore>,
    /// Casbin, where there is a model for it.
    pub casbin: SharedCasbin,
    /// The follower of the rules in this process.
    pub changed: Arc<Notify>,
    /// The prefix of the accounts' users, as the gate names them.
    pub user_prefix: String,
}

impl PolicyAccess {
    /// The rules of this database, where nothing decides by them.
    pub fn unused(store: Arc<dyn RuleStore>) -> Self {
        let (casbin, changed) = (SharedCasbin::default(), Arc::default());
        Self { store, casbin, changed, user_prefix: String::new() }
    }
}

/// The rules.
#[derive(Debug)]
pub struct Rules {
    on: PolicyAccess,
    accounts: Arc<dyn AccountStore>,
    audit: Audit,
    clock: Arc<dyn Clock>,
}

impl Rules {
    /// The rules of this database, beside these accounts.
    pub fn new(
        on: PolicyAccess,
        accounts: Arc<dyn AccountStore>,
        audit: Audit,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { on, accounts, audit, clock }
    }

    pub(super) fn of(on: &Dependencies) -> Self {
        let Dependencies { rules, accounts, audit, clock, .. } = on.clone();
        Self::new(rules, accounts, audit, clock)
    }

    /// True where there is a Casbin to ask.
    pub(super) fn has_casbin(&self) -> bool {
        self.on.casbin.load().is_some()
    }

    /// True where rules of the database count.
    pub(super) fn are_stored(&self) -> bool {
        self.on.casbin.load().as_ref().is_some_and(|casbin| casbin.has_stored())
    }

    /// All rules of the database, in the order in which they were added.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`].
    pub async fn list(&self) -> Result<RuleSet, IssueError> {
        Ok(self.on.store.rules().await?)
    }

    /// Adds rules, all or none. Returns how many were not there yet.
    ///
    /// # Errors
    /// [`IssueError::InvalidRequest`] where the model does not understand one, or there are too many;
    /// [`IssueError::Unavailable`].
    pub async fn add(&self, rules: Vec<PolicyRule>, by: Actor<'_>) -> Result<u64, IssueError> {
        check_number(&rules)?;
        let casbin = self.casbin()?;
        // Compiling takes its time, and others wait for nothing here.
        let checked = tokio::task::spawn_blocking(move || {
            let bad = casbin.source().compile(&rules).map(drop);
            bad.map(|()| rules)
        });
        let checked = checked.await.map_err(|_| Cause::Stopping)?;
        let rules = checked.map_err(|bad| IssueError::invalid_request(bad.to_string()))?;
        let added = self.on.store.add_rules(&self.stored(&rules, by)).await?;
        self.tell(Event::PolicyRuleAdded, &rules, added, by);
        Ok(added)
    }

    /// Removes rules, all or none. Returns how many there were. What the model does not understand goes
    /// too: nothing is decided while it is there.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`].
    pub async fn remove(&self, rules: &[PolicyRule], by: Actor<'_>) -> Result<u64, IssueError> {
        check_number(rules)?;
        let removed = self.on.store.remove_rules(&self.stored(rules, by)).await?;
        self.tell(Event::PolicyRuleRemoved, rules, removed, by);
        Ok(removed)
    }

    /// Returns whether Casbin lets this subject do this to the object, as a gate of this process would
    /// be told. A subject is what `X-Auth-User` says. A user of the accounts has the roles that the
    /// accounts have, and may do nothing where he may not log in.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`] where the rules or the accounts are not known now.
    pub async fn authorize(
        &self,
        subject: &str,
        object: &str,
        action: &str,
    ) -> Result<bool, IssueError> {
        let casbin = self.casbin()?;
        let id = subject.strip_prefix(self.on.user_prefix.as_str());
        let user = match id.map(UserId::parse) {
            Some(Ok(id)) => self.accounts.user(&id).await?,
            _ => None,
        };
        if user.as_ref().is_some_and(|user| user.state != UserState::Active) {
            return Ok(false);
        }
        let roles = user.map(|user| user.roles).unwrap_or_default();
        let now = Moment::now(self.clock.as_ref());
        let allowed = casbin.allows(subject, &roles, (object, action), Some(now));
        allowed.map_err(|error| Cause::Policy(error).into())
    }

    fn casbin(&self) -> Result<Arc<CasbinInForce>, IssueError> {
        let casbin = self.on.casbin.load_full();
        casbin.ok_or_else(|| IssueError::invalid_request("there is no model of Casbin here"))
    }

    fn stored(&self, rules: &[PolicyRule], by: Actor<'_>) -> Vec<StoredRule> {
        let created = self.clock.now();
        let stored = rules.iter().map(|PolicyRule { kind, fields }| StoredRule {
            kind: kind.clone(),
            fields: fields.clone(),
            created,
            created_by: by.reason().to_owned(),
        });
        stored.collect()
    }

    /// Tells who follows the rules here, and the audit log.
    fn tell(&self, event: Event, rules: &[PolicyRule], changed: u64, by: Actor<'_>) {
        self.on.changed.notify_one();
        if changed == 0 {
            return;
        }
        let entry = self.audit.event(event).reason(by.reason());
        let address = by.caller().and_then(|caller| caller.address);
        let entry = entry.address(address).count(changed);
        match rules {
            [rule] => entry.rule(rule).write(),
            _ => entry.write(),
        }
    }
}

fn check_number(rules: &[PolicyRule]) -> Result<(), IssueError> {
    match rules.len() {
        0 => Err(IssueError::invalid_request("there is no rule")),
        1..=MAX_RULES => Ok(()),
        _ => Err(IssueError::invalid_request("these are more than 10,000 rules")),
    }
}
