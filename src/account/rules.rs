//! Rules of a policy, and the roles that users have, as the database of accounts keeps them.
//!
//! A store knows nothing of what a rule means. It counts the changes, so that whoever follows the rules
//! finds out by one number whether there was any.

use std::fmt::Debug;

use async_trait::async_trait;

use super::store::AccountError;
use crate::clock::UnixTime;

/// A rule as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRule {
    /// Its kind, as `p` or `g`.
    pub kind: String,
    /// Its values.
    pub fields: Vec<String>,
    /// The time at which it was added.
    pub created: UnixTime,
    /// The administrator's way, as `command`.
    pub created_by: String,
}

/// All rules, as they were at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSet {
    /// The version, which every change advances.
    pub version: u64,
    /// The rules, in the order in which they were added.
    pub rules: Vec<StoredRule>,
}

/// Users who have the same roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleGroup {
    /// The roles.
    pub roles: Vec<String>,
    /// The number of users.
    pub users: u64,
}

/// A store of rules. Every write is one transaction.
#[async_trait]
pub trait RuleStore: Send + Sync + Debug {
    /// The version of the rules.
    async fn rules_version(&self) -> Result<u64, AccountError>;

    /// All rules and their version, as they are at one moment.
    ///
    /// # Errors
    /// [`AccountError::Corrupt`] where one cannot be read: it may be a denial, so it is not left out.
    async fn rules(&self) -> Result<RuleSet, AccountError>;

    /// Adds those that are not there yet, all or none, and advances the version. Returns how many.
    async fn add_rules(&self, rules: &[StoredRule]) -> Result<u64, AccountError>;

    /// Removes rules by kind and values, all or none, and advances the version. Returns how many there
    /// were.
    async fn remove_rules(&self, rules: &[StoredRule]) -> Result<u64, AccountError>;

    /// The roles that users have, as groups of users with the same ones.
    async fn role_groups(&self) -> Result<Vec<RoleGroup>, AccountError>;
}
