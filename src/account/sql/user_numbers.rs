//! The statements about numbers that users have for ids.

use super::engine::{Engine, Row as _, Statement};
use super::{change, read};
use crate::account::AccountError;

/// The times that a number is asked for again, where another was faster.
const MAX_ATTEMPTS: usize = 100;

pub(super) async fn next_user_number(
    engine: &impl Engine,
    behind: u64,
) -> Result<u64, AccountError> {
    let corrupt = || AccountError::Corrupt {
        what: "number",
        id: "of users".to_owned(),
        reason: "there is no row with a number that can be counted on".to_owned(),
    };
    for _ in 0..MAX_ATTEMPTS {
        let rows = read(engine, Statement::new("SELECT last FROM user_numbers")).await?;
        let last = rows.first().and_then(|row| row.number("last").ok()).ok_or_else(corrupt)?;
        let behind = i64::try_from(behind).map_err(|_| corrupt())?;
        let next = last.max(behind).checked_add(1).ok_or_else(corrupt)?;
        let given = Statement::new("UPDATE user_numbers SET last = $1 WHERE last = $2");
        if change(engine, given.number(next).number(last)).await? {
            return u64::try_from(next).map_err(|_| corrupt());
        }
    }
    Err(AccountError::TimedOut)
}
