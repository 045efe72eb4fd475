//! The questions of authnzerver's clients: may a user do this, and is a value within a limit?
//!
//! The model of permissions decides. Beside it the accounts must know the user: whoever is locked or
//! gone may do nothing, and a role is one that the user has. Where a hook checks passwords, users may
//! live elsewhere; of one whom the accounts do not know, the role is believed.

use std::sync::Arc;

use super::Dependencies;
use super::error::IssueError;
use super::login::PasswordCheck;
use crate::account::{AccountStore, UserState};
use crate::policy::permissions::{
    ANONYMOUS, AccessQuestion, EVERYBODY, LOCKED, PermissionsInForce,
};
use crate::session::UserId;

/// The model of permissions, and the accounts beside it.
#[derive(Debug)]
pub struct PermissionCheck {
    model: PermissionsInForce,
    accounts: Arc<dyn AccountStore>,
    /// True where there are users whom the accounts do not know.
    has_other_users: bool,
}

impl PermissionCheck {
    pub(super) fn new(on: &Dependencies) -> Self {
        let Dependencies { permissions: model, accounts, password_check, .. } = on.clone();
        let has_other_users = matches!(password_check, PasswordCheck::Hook(_));
        Self { model, accounts, has_other_users }
    }

    /// True where there is a model to ask.
    pub(super) fn has_model(&self) -> bool {
        self.model.load().is_some()
    }

    /// True where the model has this role.
    pub(super) fn has_role(&self, role: &str) -> bool {
        self.model.load().as_ref().is_some_and(|model| model.has_role(role))
    }

    /// Returns whether the user may do this. The owner of the item must be a user too; of those with
    /// whom it is shared, the one who asks.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`] where the accounts do not answer.
    pub async fn may(&self, question: &AccessQuestion<'_>) -> Result<bool, IssueError> {
        let is_granted = self.model.load().as_ref().is_some_and(|model| model.grants(question));
        Ok(is_granted
            && self.is_active(question.user, Some(question.role)).await?
            && self.is_active(question.owner, None).await?)
    }

    /// Returns whether a value is within the limit of this name for a role, and for a user, where
    /// one is named.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`] where the accounts do not answer.
    pub async fn is_within(
        &self,
        user: Option<&str>,
        role: &str,
        limit: &str,
        value: f64,
    ) -> Result<bool, IssueError> {
        let is_within =
            self.model.load().as_ref().is_some_and(|model| model.is_within(role, limit, value));
        Ok(is_within
            && match user {
                None => true,
                Some(user) => self.is_active(user, Some(role)).await?,
            })
    }

    /// Returns whether a user is there, not locked, and has the role, if one is asked for. The
    /// anonymous user needs no account.
    async fn is_active(&self, id: &str, role: Option<&str>) -> Result<bool, IssueError> {
        let user = match UserId::parse(id) {
            Ok(id) => self.accounts.user(&id).await?,
            Err(_) => None,
        };
        let Some(user) = user else {
            let is_anonymous = EVERYBODY.contains(&id) && role.is_none_or(|role| role == ANONYMOUS);
            return Ok(self.has_other_users || is_anonymous);
        };
        let has = |role: &str| user.roles.iter().any(|own| own == role);
        Ok(user.state == UserState::Active && !has(LOCKED) && role.is_none_or(has))
    }
}
