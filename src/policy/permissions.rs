//! authnzerver's permission model: what a role may do to an item, by who owns it and who may see it.
//!
//! The model is a JSON file of authnzerver as it is. A name that stands in one list and is meant to
//! stand in another is a mistake; in authnzerver it was a silent denial.

mod request_count;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use serde::Deserialize;

use crate::wire::deserialization;

/// The model in force, if there is one, for whoever asks it; replaced as a whole.
pub type PermissionsInForce = Arc<ArcSwapOption<Permissions>>;

type Names = BTreeSet<String>;

/// Roles that see every item.
const SEES_ALL: [&str; 2] = ["superuser", "staff"];
/// The role of users who are locked.
pub(crate) const LOCKED: &str = "locked";
/// The role of users whom nobody knows.
pub(crate) const ANONYMOUS: &str = "anonymous";
/// Roles that a model must have.
const NEEDED_ROLES: [&str; 3] = ["superuser", ANONYMOUS, LOCKED];
/// The user who stands for everybody; in authnzerver's database it has the number 2.
pub(crate) const EVERYBODY: [&str; 2] = ["2", ANONYMOUS];

/// A permission model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permissions {
    roles: Names,
    items: Names,
    actions: Names,
    visibilities: Names,
    #[serde(default)]
    limits: BTreeMap<String, LimitKind>,
    item_policy: BTreeMap<String, ItemPolicy>,
    role_policy: BTreeMap<String, RolePolicy>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemPolicy {
    valid_role_actions: Names,
    valid_visibilities: Names,
    invalid_roles: Names,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RolePolicy {
    #[serde(default)]
    limits: BTreeMap<String, Limit>,
    can_own_items: Names,
    allowed_actions_for_owned: Names,
    allowed_actions_for_other: BTreeMap<String, Names>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitKind {
    #[serde(rename = "type")]
    number: NumberKind,
    operator: Operator,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum NumberKind {
    Int,
    Float,
}

/// The comparison of a value with its limit; a value that equals it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Operator {
    Lt,
    Gt,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    #[serde(rename = "type")]
    kind: String,
    limit: serde_json::Number,
}

/// A question: may this user do this to that item?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessQuestion<'q> {
    /// The user.
    pub user: &'q str,
    /// The user's role.
    pub role: &'q str,
    /// The action.
    pub action: &'q str,
    /// The kind of item.
    pub item: &'q str,
    /// The user who owns the item.
    pub owner: &'q str,
    /// Its visibility.
    pub visibility: &'q str,
    /// The users with whom it is shared, separated by commas.
    pub shared_with: &'q str,
}

impl Permissions {
    /// Reads a model.
    ///
    /// # Errors
    /// The first mistake in it, in one sentence.
    pub fn parse(json: &str) -> Result<Self, String> {
        let mut json = serde_json::Deserializer::from_str(json);
        let model: Self = deserialization::read(&mut json)
            .map_err(|misread| misread.in_words("", &misread.error.to_string()))?;
        json.end().map_err(|error| error.to_string())?;
        model.check()?;
        Ok(model)
    }

    fn check(&self) -> Result<(), String> {
        for role in NEEDED_ROLES {
            if !self.roles.contains(role) {
                return Err(format!("roles has no {role:?}"));
            }
        }
        for role in &self.roles {
            if !self.role_policy.contains_key(role) {
                return Err(format!("role_policy has no {role:?}"));
            }
        }
        for (item, policy) in &self.item_policy {
            let at = |key: &str| format!("item_policy.{item}{key}");
            known(&at(""), [item], "items", &self.items)?;
            known(
                &at(".valid_role_actions"),
                &policy.valid_role_actions,
                "actions",
                &self.actions,
            )?;
            let (key, used) = (at(".valid_visibilities"), &policy.valid_visibilities);
            known(&key, used, "visibilities", &self.visibilities)?;
            known(&at(".invalid_roles"), &policy.invalid_roles, "roles", &self.roles)?;
        }
        for (role, policy) in &self.role_policy {
            known(&format!("role_policy.{role}"), [role], "roles", &self.roles)?;
            self.check_role(role, policy)?;
        }
        Ok(())
    }

    fn check_role(&self, role: &str, policy: &RolePolicy) -> Result<(), String> {
        let at = |key: &str| format!("role_policy.{role}{key}");
        known(&at(".can_own_items"), &policy.can_own_items, "items", &self.items)?;
        let owned = &policy.allowed_actions_for_owned;
        known(&at(".allowed_actions_for_owned"), owned, "actions", &self.actions)?;
        for (visibility, actions) in &policy.allowed_actions_for_other {
            let key = at(".allowed_actions_for_other");
            known(&key, [visibility], "visibilities", &self.visibilities)?;
            known(&format!("{key}.{visibility}"), actions, "actions", &self.actions)?;
        }
        for (name, limit) in &policy.limits {
            if !self.limits.contains_key(&limit.kind) {
                return Err(format!("limit {name:?} of {role:?} has no type in limits"));
            }
        }
        Ok(())
    }

    /// Returns whether there is such an item with a policy.
    pub(crate) fn has_item(&self, item: &str) -> bool {
        self.item_policy.contains_key(item)
    }

    /// Returns whether there is such an action.
    pub(crate) fn has_action(&self, action: &str) -> bool {
        self.actions.contains(action)
    }

    /// Returns whether there is such a visibility.
    pub(crate) fn has_visibility(&self, visibility: &str) -> bool {
        self.visibilities.contains(visibility)
    }

    /// Returns whether the role may do this. What the model does not name may not be done.
    pub fn grants(&self, question: &AccessQuestion<'_>) -> bool {
        self.allows_action(question).unwrap_or(false) && is_visible(question)
    }

    fn allows_action(&self, question: &AccessQuestion<'_>) -> Option<bool> {
        let item = self.item_policy.get(question.item)?;
        let role = self.role_policy.get(question.role)?;
        let is_excluded = item.invalid_roles.contains(question.role)
            || !item.valid_visibilities.contains(question.visibility);
        let allowed = if question.user != question.owner {
            role.allowed_actions_for_other.get(question.visibility)?
        } else if role.can_own_items.contains(question.item) {
            &role.allowed_actions_for_owned
        } else {
            return None;
        };
        let action = question.action;
        let is_allowed = allowed.contains(action) && item.valid_role_actions.contains(action);
        Some(is_allowed && !is_excluded)
    }

    /// Returns whether a value is within the limit of this name for a role. A role without such a
    /// limit is not limited; an unknown role is, whatever the value.
    pub fn is_within(&self, role: &str, limit: &str, value: f64) -> bool {
        let Some(policy) = self.role_policy.get(role) else { return false };
        let Some(limit) = policy.limits.get(limit) else { return true };
        let (Some(kind), Some(most)) = (self.limits.get(&limit.kind), limit.limit.as_f64()) else {
            return false;
        };
        let (value, most) = match kind.number {
            NumberKind::Int => (value.trunc(), most.trunc()),
            NumberKind::Float => (value, most),
        };
        match kind.operator {
            Operator::Lt => value < most,
            Operator::Gt => value > most,
        }
    }
}

/// Returns whether the user may see the item at all.
fn is_visible(question: &AccessQuestion<'_>) -> bool {
    let is_owner = question.user == question.owner;
    let is_shared = || {
        let mut users = question.shared_with.split(',').map(str::trim);
        users.any(|user| user == question.user || EVERYBODY.contains(&user))
    };
    match question.visibility {
        _ if SEES_ALL.contains(&question.role) => true,
        "public" | "unlisted" => true,
        "shared" => is_owner || is_shared(),
        "private" => is_owner,
        _ => false,
    }
}

/// Checks that a list holds all names that are used at this key.
fn known<'n>(
    key: &str,
    used: impl IntoIterator<Item = &'n String>,
    list: &str,
    names: &Names,
) -> Result<(), String> {
    match used.into_iter().find(|name| !names.contains(*name)) {
        None => Ok(()),
        Some(name) => Err(format!("{key}: {list} has no {name:?}")),
    }
}

#[cfg(test)]
mod tests;
