//! Columns of rows, read strictly: what is not of the right kind is named and never guessed.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::clock::UnixTime;

/// The column of that name is missing, or holds nothing that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad column {0}")]
pub struct BadColumn(pub &'static str);

/// A time as it is kept. SQLite's integers are signed: a time past their range, 292 million years
/// from now, is kept as the last one.
pub fn of_time(time: UnixTime) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// A time that must be there.
///
/// # Errors
/// [`BadColumn`] where it is not, or is negative.
pub fn time(row: &SqliteRow, column: &'static str) -> Result<UnixTime, BadColumn> {
    optional_time(row, column)?.ok_or(BadColumn(column))
}

/// A time that may be missing.
///
/// # Errors
/// [`BadColumn`] where it is negative or of another kind.
pub fn optional_time(row: &SqliteRow, column: &'static str) -> Result<Option<UnixTime>, BadColumn> {
    let value: Option<i64> = row.try_get(column).map_err(|_| BadColumn(column))?;
    let millis = value.map(u64::try_from).transpose().map_err(|_| BadColumn(column))?;
    Ok(millis.map(UnixTime::from_millis))
}

/// A text that must be there.
///
/// # Errors
/// [`BadColumn`] where it is not.
pub fn text<'r>(row: &'r SqliteRow, column: &'static str) -> Result<&'r str, BadColumn> {
    row.try_get(column).map_err(|_| BadColumn(column))
}

/// A text that may be missing.
///
/// # Errors
/// [`BadColumn`] where it is of another kind.
pub fn optional_text<'r>(
    row: &'r SqliteRow,
    column: &'static str,
) -> Result<Option<&'r str>, BadColumn> {
    row.try_get(column).map_err(|_| BadColumn(column))
}
