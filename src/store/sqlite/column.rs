//! Columns of rows, read strictly.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::clock::UnixTime;
use crate::store::{BadField, Fields};

/// A time as it is kept. SQLite's integers are signed: a time past their range, 292 million years
/// from now, is kept as the last one.
pub fn of_time(time: UnixTime) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

impl Fields for SqliteRow {
    fn optional_text(&self, column: &'static str) -> Result<Option<&str>, BadField> {
        self.try_get(column).map_err(|_| BadField(column))
    }

    fn optional_time(&self, column: &'static str) -> Result<Option<UnixTime>, BadField> {
        let value: Option<i64> = self.try_get(column).map_err(|_| BadField(column))?;
        let millis = value.map(u64::try_from).transpose().map_err(|_| BadField(column))?;
        Ok(millis.map(UnixTime::from_millis))
    }
}
