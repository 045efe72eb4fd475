//! Users that may only read (READ_ONLY_ROLES), at the issuer: their account is many people's, and none
//! of them changes it, makes keys of it or ends the others' sessions.

use serde_json::{Map, Value};

use super::error::IssueError;
use super::revocation::Bearer;
use super::users::Users;
use crate::account::claims_of;
use crate::policy::claim::{ClaimPath, as_text};

/// The roles whose users may only read. By default there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOnlyRoles {
    names: Vec<String>,
    /// The claims that hold the user's roles.
    claims: Vec<ClaimPath>,
}

impl ReadOnlyRoles {
    /// These roles, in any of these claims.
    pub(crate) fn new(names: Vec<String>, claims: Vec<ClaimPath>) -> Self {
        Self { names, claims }
    }

    /// Returns whether one of the roles is in any claim that may hold roles.
    fn are_in(&self, claims: &Map<String, Value>) -> bool {
        let is_one = |value: &Value| self.names.iter().any(|name| *name == *as_text(value));
        let mut found = self.claims.iter().filter_map(|path| path.find(claims));
        found.any(|found| match found.value.as_array() {
            Some(members) => members.iter().any(is_one),
            None => is_one(found.value),
        })
    }

    /// Refuses a request that may change something where the bearer may only read: by what his token
    /// says, or by his account as it is now.
    ///
    /// # Errors
    /// [`IssueError::Forbidden`].
    pub(super) async fn check(&self, users: &Users, bearer: &Bearer) -> Result<(), IssueError> {
        if self.names.is_empty() {
            return Ok(());
        }
        let is_restricted = self.are_in(&bearer.claims)
            || match users.get(&bearer.user).await {
                Ok(user) => self.are_in(&claims_of(&user)),
                Err(IssueError::NotFound) => false,
                Err(error) => return Err(error),
            };
        if is_restricted {
            return Err(IssueError::Forbidden("this user may only read, and log out"));
        }
        Ok(())
    }
}
