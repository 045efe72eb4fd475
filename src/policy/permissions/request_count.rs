//! Limits of the model as numbers of requests.

use super::{Limit, NumberKind, Operator, Permissions};

impl Permissions {
    /// Returns whether the model has a role of this name.
    pub(crate) fn has_role(&self, role: &str) -> bool {
        self.roles.contains(role)
    }

    /// Returns whether some role has a limit of this name.
    pub(crate) fn has_limit(&self, name: &str) -> bool {
        self.role_policy.values().any(|role| role.limits.contains_key(name))
    }

    /// Returns whether some limit of this name is one from below, which no number of requests has.
    pub(crate) fn is_lower_bound(&self, name: &str) -> bool {
        let mut limits = self.role_policy.values().filter_map(|role| role.limits.get(name));
        limits.any(|limit| {
            self.limits.get(&limit.kind).is_none_or(|kind| kind.operator == Operator::Gt)
        })
    }

    /// The number of requests that the limit of this name allows a role; `None` is any number. It is
    /// the number of counts from zero that are [within](Self::is_within) the limit.
    pub(crate) fn requests_of(&self, role: &str, name: &str) -> Option<u32> {
        let Some(policy) = self.role_policy.get(role) else { return Some(0) };
        policy.limits.get(name).map(|limit| self.requests_within(limit).unwrap_or(0))
    }

    fn requests_within(&self, limit: &Limit) -> Option<u32> {
        let (kind, most) = (self.limits.get(&limit.kind)?, limit.limit.as_f64()?);
        let most = match kind.number {
            NumberKind::Int => most.trunc(),
            NumberKind::Float => most.ceil(),
        };
        (kind.operator == Operator::Lt).then(|| whole(most))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is a whole number within the bounds of the type"
)]
fn whole(number: f64) -> u32 {
    number.clamp(0.0, f64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn model(kind: &Value, limit: &Value) -> Permissions {
        let role = |limits: Value| {
            json!({
                "limits": limits, "can_own_items": [], "allowed_actions_for_owned": [],
                "allowed_actions_for_other": {},
            })
        };
        let model = json!({
            "roles": ["superuser", "clerk", "anonymous", "locked"],
            "items": [], "actions": [], "visibilities": [], "item_policy": {},
            "limits": {"kind": kind},
            "role_policy": {
                "superuser": role(json!({})), "anonymous": role(json!({})),
                "locked": role(json!({})),
                "clerk": role(json!({"max": {"type": "kind", "limit": limit}})),
            },
        });
        Permissions::parse(&model.to_string()).unwrap()
    }

    #[test]
    fn as_many_requests_are_allowed_as_there_are_counts_within_the_limit() {
        for (kind, limit, expected) in [
            ("int", json!(600), 600),
            ("int", json!(1), 1),
            ("int", json!(0), 0),
            ("int", json!(-3), 0),
            ("int", json!(2.9), 2),
            ("float", json!(2.0), 2),
            ("float", json!(2.1), 3),
            ("float", json!(0.1), 1),
            ("float", json!(0.0), 0),
            ("int", json!(1e30), u32::MAX),
        ] {
            let model = model(&json!({"type": kind, "operator": "lt"}), &limit);
            assert_eq!(model.requests_of("clerk", "max"), Some(expected), "{kind} {limit}");
            if expected < 1_000 {
                let within = (0..1_000).filter(|n| model.is_within("clerk", "max", f64::from(*n)));
                assert_eq!(within.count(), expected as usize, "{kind} {limit}");
            }
        }
    }

    #[test]
    fn a_role_without_the_limit_has_none_and_an_unknown_role_has_nothing() {
        let model = model(&json!({"type": "int", "operator": "lt"}), &json!(5));
        assert_eq!(model.requests_of("superuser", "max"), None);
        assert_eq!(model.requests_of("clerk", "other"), None);
        assert_eq!(model.requests_of("nobody", "max"), Some(0));
        assert!(model.has_limit("max") && !model.has_limit("other"));
        assert!(!model.is_lower_bound("max"));
    }

    #[test]
    fn a_bound_from_below_allows_nothing() {
        let model = model(&json!({"type": "int", "operator": "gt"}), &json!(5));
        assert!(model.is_lower_bound("max"));
        assert_eq!(model.requests_of("clerk", "max"), Some(0));
    }
}
