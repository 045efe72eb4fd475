//! A walk over all keys with a prefix, a batch at a time, which never blocks the server for long.

use super::{Connection, Failure};

/// How many records one round trip reads or removes; bounds how long the server is busy.
pub const BATCH: usize = 200;

/// How far such a walk has come.
#[derive(Debug)]
pub struct Scan {
    prefix: &'static str,
    cursor: Option<u64>,
}

impl Scan {
    /// Over the keys that begin so; the prefix holds no character of a pattern.
    pub fn of(prefix: &'static str) -> Self {
        Self { prefix, cursor: Some(0) }
    }

    /// What follows the prefix in the next keys, possibly of none; `None` at the end. A key may be
    /// named twice.
    ///
    /// # Errors
    /// [`Failure`]; asking again asks for the same keys.
    pub async fn next(
        &mut self,
        connection: &mut Connection,
    ) -> Result<Option<Vec<String>>, Failure> {
        let Some(cursor) = self.cursor else { return Ok(None) };
        let mut command = redis::cmd("SCAN");
        command.arg(cursor).arg("MATCH").arg(format!("{}*", self.prefix)).arg("COUNT").arg(BATCH);
        let (next, keys): (u64, Vec<String>) = command.query_async(connection).await?;
        self.cursor = (next != 0).then_some(next);
        let names = keys.iter().filter_map(|key| key.strip_prefix(self.prefix));
        Ok(Some(names.map(str::to_owned).collect()))
    }
}
