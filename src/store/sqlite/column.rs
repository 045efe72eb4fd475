//! Columns of rows, read strictly.

use sqlx::sqlite::{Sqlite, SqliteRow};
use sqlx::{Column as _, Decode, Row as _, Type};

use crate::clock::UnixTime;
use crate::store::{BadField, Fields};

/// A time as it is kept. SQLite's integers are signed: a time past their range, 292 million years
/// from now, is kept as the last one.
pub fn of_time(time: UnixTime) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// The value of a column. There are few, and their names are compared sooner than the driver has hashed one.
fn value<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(
    row: &'r SqliteRow,
    name: &'static str,
) -> Result<T, BadField> {
    let place = row.columns().iter().position(|column| column.name() == name);
    row.try_get(place.ok_or(BadField(name))?).map_err(|_| BadField(name))
}

impl Fields for SqliteRow {
    fn optional_text(&self, column: &'static str) -> Result<Option<&str>, BadField> {
        value(self, column)
    }

    fn optional_time(&self, column: &'static str) -> Result<Option<UnixTime>, BadField> {
        let value: Option<i64> = value(self, column)?;
        let millis = value.map(u64::try_from).transpose().map_err(|_| BadField(column))?;
        Ok(millis.map(UnixTime::from_millis))
    }
}
