//! The questions to the models beside the routes: for whom, and about what.

use super::{Facts, ItemAction, Template, Unmet, holds};
use crate::clock::Moment;
use crate::policy::casbin::RulesUnknown;
use crate::policy::permissions::{AccessQuestion, LOCKED};

impl Facts<'_> {
    /// Returns whether authnzerver's model lets one of the user's roles do this. Whoever is locked
    /// may do nothing, whatever else he is.
    pub(super) fn permits(&self, asked: &ItemAction) -> bool {
        let permissions = self.models.and_then(|models| models.permissions.as_ref());
        let ItemAction { item, action, owner, visibility, shared_with } = asked;
        let texts = [item, action, owner, visibility, shared_with].map(|text| self.render(text));
        let (
            Some(permissions),
            [Some(item), Some(action), Some(owner), Some(visibility), Some(shared)],
        ) = (permissions, &texts)
        else {
            return false;
        };
        let user = self.user();
        let is_granted = |role: &str| {
            let (user, shared_with) = (&*user, &**shared);
            permissions.grants(&AccessQuestion {
                user,
                role,
                action,
                item,
                owner,
                visibility,
                shared_with,
            })
        };
        !self.has_role(LOCKED) && self.texts(self.roles).iter().any(|role| is_granted(role))
    }

    /// Checks that Casbin lets the user do this. Its subject is the user; the roles of an account are
    /// roles of that user, so that a rule that denies him denies him whatever his roles.
    pub(super) fn check_casbin(&self, object: &Template, action: &Template) -> Result<(), Unmet> {
        let casbin = self.models.and_then(|models| models.casbin.as_ref());
        let texts = (self.render(object), self.render(action));
        let (Some(casbin), (Some(object), Some(action))) = (casbin, texts) else {
            return Err(Unmet::Permission);
        };
        let has_accounts = self.token.issuer.has_accounts;
        let roles: Vec<_> = if has_accounts { self.texts(self.roles) } else { Vec::new() };
        let now = self.monotonic.map(|at| Moment { at, wall: self.now });
        match casbin.allows(&self.user(), &roles, (&object, &action), now) {
            Ok(is_allowed) => holds(is_allowed, || Unmet::Permission),
            Err(RulesUnknown) => Err(Unmet::Unavailable),
        }
    }
}
