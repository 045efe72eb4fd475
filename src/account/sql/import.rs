//! Many accounts at once, all or none.

use super::engine::{Engine, Statement};
use super::{Done, api_keys, users, written};
use crate::account::{AccountError, ApiKey, User};

pub(super) async fn import(
    engine: &impl Engine,
    users: &[User],
    keys: &[ApiKey],
    added: &mut (dyn FnMut() + Send),
) -> Done {
    let of_users = users.iter().map(users::insertion);
    let of_keys = keys.iter().map(|key| Ok(vec![api_keys::insertion(key)]));
    let records: Result<Vec<Vec<Statement>>, AccountError> = of_users.chain(of_keys).collect();
    written(engine.run_all(records?, added).await, |_| "id, name or key")
}
