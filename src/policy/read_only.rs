//! The roles whose users may only read (READ_ONLY_ROLES). Gate and issuer look for them, each in its own
//! requests.

use super::claim::{ClaimPath, UserClaims};

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

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Returns whether this is one of them.
    pub fn contains(&self, role: &str) -> bool {
        self.names.iter().any(|name| name == role)
    }

    /// Returns whether one of the roles is in any claim that may hold roles: what restricts counts
    /// wherever it stands, where what permits counts in the first alone.
    pub(crate) fn restrict(&self, user: UserClaims<'_>) -> bool {
        user.all(&self.claims).any(|found| found.texts().any(|role| self.contains(&role)))
    }
}
