//! Lookup of a user by id, by username or by e-mail.

use super::name::Login;
use super::record::User;
use super::store::{AccountError, AccountStore};
use crate::session::UserId;

/// Result of a lookup.
#[derive(Clone, Debug, PartialEq)]
pub enum UserLookup {
    /// There is no such user.
    NotFound,
    /// This user.
    Found(Box<User>),
    /// It is the id of one user, and a name of another; neither is chosen.
    Ambiguous {
        /// The user with this id.
        by_id: Box<User>,
        /// The user with this username or e-mail.
        by_login: Box<User>,
    },
}

/// The user that `text` names.
///
/// # Errors
/// The store does not say.
pub async fn find_user(store: &dyn AccountStore, text: &str) -> Result<UserLookup, AccountError> {
    let by_id = match UserId::parse(text) {
        Ok(id) => store.user(&id).await?,
        Err(_) => None,
    };
    let by_login = match Login::parse(text) {
        Ok(login) => store.user_by_login(&login).await?,
        Err(_) => None,
    };
    Ok(match (by_id, by_login) {
        (Some(one), Some(other)) if one.id != other.id => {
            UserLookup::Ambiguous { by_id: Box::new(one), by_login: Box::new(other) }
        }
        (Some(user), _) | (None, Some(user)) => UserLookup::Found(Box::new(user)),
        (None, None) => UserLookup::NotFound,
    })
}
