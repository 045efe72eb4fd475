//! The statements about numbers that users have for ids.

use super::engine::{Engine, Row as _, Statement};
use super::{change, read};
use crate::account::AccountError;
use crate::session::UserId;

/// The times that a number is asked for again, where another was faster.
const MAX_ATTEMPTS: usize = 100;
/// The most digits of an id that counts as a number, here and in the statement below.
const MAX_DIGITS: usize = 15;

/// The last number that was given, and the highest that a user has, however it was made. The bounds of
/// the text are for the index.
const LAST: &str = "SELECT last, (SELECT COALESCE(MAX(CAST(id AS BIGINT)), 0) FROM users \
    WHERE id >= '0' AND id < ':' AND LENGTH(id) <= 15 AND LTRIM(id, '0123456789') = '') AS highest \
    FROM user_numbers";

pub(super) async fn next_user_number(engine: &impl Engine) -> Result<u64, AccountError> {
    let corrupt = || AccountError::Corrupt {
        what: "number",
        id: "of users".to_owned(),
        reason: "there is no row with a number that can be counted on".to_owned(),
    };
    for _ in 0..MAX_ATTEMPTS {
        let rows = read(engine, Statement::new(LAST)).await?;
        let row = rows.first().ok_or_else(corrupt)?;
        let last = row.number("last").map_err(|_| corrupt())?;
        let highest = row.number("highest").map_err(|_| corrupt())?;
        let next = last.max(highest).checked_add(1).ok_or_else(corrupt)?;
        let given = Statement::new("UPDATE user_numbers SET last = $1 WHERE last = $2");
        if change(engine, given.number(next).number(last)).await? {
            return u64::try_from(next).map_err(|_| corrupt());
        }
    }
    Err(AccountError::TimedOut)
}

/// The statement that keeps the number of a user who goes from being given again; none for an id
/// that is no number.
pub(super) fn retire(id: &UserId) -> Option<Statement> {
    let id = id.as_str();
    let is_number = id.len() <= MAX_DIGITS && id.bytes().all(|byte| byte.is_ascii_digit());
    let number = id.parse::<i64>().ok().filter(|_| is_number)?;
    Some(Statement::new("UPDATE user_numbers SET last = $1 WHERE last < $1").number(number))
}
