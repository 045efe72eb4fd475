//! The roles of the users of the accounts: given, taken away, counted.
//!
//! `users.roles` is the one truth about them. A role that is given is in the next token; one that is
//! taken away ends all sessions of the user, so that no token says otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Dependencies;
use super::audit::Event;
use super::error::IssueError;
use super::users::{Actor, Changed, Users};
use crate::account::{RoleGroup, RoleName, RuleStore, User};
use crate::session::UserId;

/// The change of a user's roles.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleChange {
    /// The user as he is now.
    pub user: User,
    /// False where he had the role already, or did not have it.
    pub is_changed: bool,
    /// The number of his sessions that were ended.
    pub ended: u64,
}

/// Roles of users.
#[derive(Debug)]
pub struct Roles {
    users: Users,
    rules: Arc<dyn RuleStore>,
}

impl Roles {
    /// The roles of these users, who are in this database.
    pub fn new(users: Users, rules: Arc<dyn RuleStore>) -> Self {
        Self { users, rules }
    }

    pub(super) fn of(on: &Dependencies) -> Self {
        Self::new(Users::of_issuer(on), Arc::clone(&on.rules.store))
    }

    /// Gives a user a role, by id, username or e-mail. It is in the next token.
    ///
    /// # Errors
    /// [`IssueError::NotFound`]; [`IssueError::InvalidRequest`] where the name is that of two users, or
    /// the role is called like a user, who would be taken for it by rules.
    pub async fn grant(
        &self,
        name: &str,
        role: &RoleName,
        actor: Actor<'_>,
    ) -> Result<RoleChange, IssueError> {
        if let Ok(id) = UserId::parse(role.as_str()) {
            match self.users.get(&id).await {
                Err(IssueError::NotFound) => {}
                Err(error) => return Err(error),
                Ok(_) => {
                    return Err(IssueError::invalid_request(
                        "there is a user with this id, and rules would not tell the two apart",
                    ));
                }
            }
        }
        let (user, role) = (self.users.find(name).await?, role.as_str());
        let entry = self.users.event(Event::RoleGranted, &user.id, actor).role(role);
        let give = |user: &mut User| {
            if !has(user, role) {
                user.roles.push(role.to_owned());
            }
            Ok(())
        };
        let Changed { user: after, ended } = self.users.change_told(&user.id, entry, give).await?;
        Ok(RoleChange { is_changed: !has(&user, role), user: after, ended })
    }

    /// Takes a role from a user and ends all his sessions, also where he has not got the role (any
    /// more): asking again finishes what failed half-way.
    ///
    /// # Errors
    /// [`IssueError::NotFound`]; [`IssueError::Unavailable`]: the role is gone, or some sessions may have
    /// ended, asking again does the rest.
    pub async fn revoke(
        &self,
        name: &str,
        role: &str,
        actor: Actor<'_>,
    ) -> Result<RoleChange, IssueError> {
        let user = self.users.find(name).await?;
        let entry = self.users.event(Event::RoleRevoked, &user.id, actor).role(role);
        let take = |user: &mut User| {
            user.roles.retain(|own| own != role);
            Ok(())
        };
        let Changed { user: after, mut ended } =
            self.users.change_told(&user.id, entry, take).await?;
        let is_changed = has(&user, role);
        if !is_changed {
            ended = self.users.end_sessions(&user.id).await?;
            if ended > 0 {
                self.users.event(Event::RevokeAll, &user.id, actor).count(ended).write();
            }
        }
        Ok(RoleChange { user: after, is_changed, ended })
    }

    /// All roles that users have, by name, each with the number of its users.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`].
    pub async fn list(&self) -> Result<BTreeMap<String, u64>, IssueError> {
        Ok(Self::counted(self.rules.role_groups().await?))
    }

    /// The number of users of each role.
    pub fn counted(groups: Vec<RoleGroup>) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for RoleGroup { roles, users } in groups {
            for role in roles {
                *counts.entry(role).or_default() += users;
            }
        }
        counts
    }
}

fn has(user: &User, role: &str) -> bool {
    user.roles.iter().any(|own| own == role)
}
