//! Whom a text names, wherever somebody is named: by id, by username or by e-mail.

use super::name::Login;
use super::record::User;
use super::store::{AccountError, AccountStore};
use crate::session::UserId;

/// Whom a text names.
#[derive(Clone, Debug, PartialEq)]
pub enum Named {
    /// Nobody who is known here.
    Nobody,
    /// This user.
    One(Box<User>),
    /// It is the id of one user, and a name of another: nobody may be meant by mistake.
    Two {
        /// Whose id it is.
        by_id: Box<User>,
        /// Whose username or e-mail it is.
        by_login: Box<User>,
    },
}

/// Whom `text` names.
///
/// # Errors
/// Where the store does not say.
pub async fn find(store: &dyn AccountStore, text: &str) -> Result<Named, AccountError> {
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
            Named::Two { by_id: Box::new(one), by_login: Box::new(other) }
        }
        (Some(user), _) | (None, Some(user)) => Named::One(Box::new(user)),
        (None, None) => Named::Nobody,
    })
}
