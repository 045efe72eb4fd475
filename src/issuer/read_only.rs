//! Users that may only read (READ_ONLY_ROLES), at the issuer: their account is many people's, and none
//! of them changes it, makes keys of it or ends the others' sessions.

use super::error::IssueError;
use super::revocation::Bearer;
use super::users::Users;
use crate::account::claims_of;
use crate::policy::ReadOnlyRoles;
use crate::policy::claim::UserClaims;

/// Refuses a request that may change something where the bearer may only read: by what his token
/// says, or by his account as it is now.
///
/// # Errors
/// [`IssueError::Forbidden`].
pub(super) async fn check(
    roles: &ReadOnlyRoles,
    users: &Users,
    bearer: &Bearer,
) -> Result<(), IssueError> {
    if roles.is_empty() {
        return Ok(());
    }
    let is_restricted = roles.restrict(UserClaims::of_object(&bearer.claims))
        || match users.get(&bearer.user).await {
            Ok(user) => roles.restrict(UserClaims::of_object(&claims_of(&user))),
            Err(IssueError::NotFound) => false,
            Err(error) => return Err(error),
        };
    if is_restricted {
        return Err(IssueError::Forbidden("this user may only read, and log out"));
    }
    Ok(())
}
