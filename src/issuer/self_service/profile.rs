//! The own account of somebody who is logged in.

use serde_json::{Map, Value};

use super::SelfService;
use super::outbox::Job;
use crate::account::User;
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::issuer::revocation::Bearer;
use crate::issuer::users::{Actor, fields};
use crate::mail::Letter;
use crate::secret::Secret;

/// A change of the own profile; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct ProfileChange {
    /// Another full name; `Some(None)` takes it away.
    pub full_name: Option<Option<String>>,
    /// Properties to set; one that is null is taken away.
    pub properties: Map<String, Value>,
}

impl SelfService {
    /// The own account.
    ///
    /// # Errors
    /// [`IssueError::NotFound`] where the bearer is no user of the built-in accounts.
    pub async fn profile(&self, bearer: &Bearer) -> Result<User, IssueError> {
        self.users.get(&bearer.user).await
    }

    /// Changes the own profile.
    ///
    /// # Errors
    /// [`IssueError::Forbidden`] for a session that was not opened by a password.
    pub async fn change_profile(
        &self,
        bearer: &Bearer,
        change: &ProfileChange,
        caller: &Caller,
    ) -> Result<User, IssueError> {
        check_owner(bearer)?;
        fields::check_own_properties(&change.properties)?;
        let apply = |user: &mut User| {
            if let Some(name) = &change.full_name {
                user.full_name.clone_from(name);
            }
            fields::merge(&mut user.properties, change.properties.clone());
            Ok(())
        };
        let changed = self.users.change(&bearer.user, Actor::Owner(caller), apply).await?;
        Ok(changed.user)
    }

    /// Changes the own password, which ends all other sessions. Returns how many.
    ///
    /// # Errors
    /// [`IssueError::InvalidGrant`] where the present one is wrong; [`IssueError::WeakPassword`].
    pub async fn change_password(
        &self,
        bearer: &Bearer,
        present: &Secret,
        new: &Secret,
        caller: &Caller,
    ) -> Result<u64, IssueError> {
        check_owner(bearer)?;
        let keep = Some(&bearer.session);
        let ended = self.users.change_password(&bearer.user, keep, present, new, caller).await?;
        let user = self.users.get(&bearer.user).await?;
        if let Some(email) = &user.email {
            self.tell_by_mail(Letter::PasswordChanged, &user, email);
        }
        Ok(ended)
    }

    /// Has a link sent to a new e-mail, which is the user's own once it is used. Whether the e-mail
    /// has an account already is not told; its owner is.
    ///
    /// # Errors
    /// [`IssueError::InvalidGrant`] where the password is wrong; [`IssueError::NoMail`].
    pub async fn request_email(
        &self,
        bearer: &Bearer,
        password: &Secret,
        email: &str,
        caller: &Caller,
    ) -> Result<(), IssueError> {
        check_owner(bearer)?;
        let outbox = self.outbox.as_ref().ok_or(IssueError::NoMail)?;
        let email = fields::email(email).map_err(IssueError::InvalidRequest)?;
        self.users.confirm(&bearer.user, password, caller).await?;
        self.throttle.mail(&email).await?;
        outbox.put(Job::ChangeEmail { user: bearer.user.clone(), email })
    }

    /// Deletes the own account, with all that belongs to it. Returns how many sessions ended.
    ///
    /// # Errors
    /// [`IssueError::InvalidGrant`] where the password is wrong.
    pub async fn delete(
        &self,
        bearer: &Bearer,
        password: &Secret,
        caller: &Caller,
    ) -> Result<u64, IssueError> {
        check_owner(bearer)?;
        self.users.confirm(&bearer.user, password, caller).await?;
        self.users.delete(&bearer.user, Actor::Owner(caller)).await
    }
}

/// Checks that the bearer showed a password: a key may have a narrow right, which does not reach the
/// account itself.
fn check_owner(bearer: &Bearer) -> Result<(), IssueError> {
    if bearer.by_password {
        return Ok(());
    }
    Err(IssueError::Forbidden("only a login by password may change the account"))
}
