//! A walk over all keys of a kind, a batch at a time, which never blocks a server for long.

use super::{Connection, Failure, Keys, Redis};

/// How many records one round trip reads or removes; bounds how long the server is busy.
pub const BATCH: usize = 200;

/// How far such a walk has come.
#[derive(Debug)]
pub struct Scan {
    keys: Keys,
    /// Where it still has to go, the next one last.
    servers: Vec<Connection>,
    cursor: u64,
}

impl Scan {
    /// Over the keys of a kind, on all servers that keep some.
    ///
    /// # Errors
    /// [`Failure`] where one of them is not reached: half of an answer would look like all of it.
    pub async fn of(redis: &Redis, keys: &Keys) -> Result<Self, Failure> {
        Ok(Self { keys: keys.clone(), servers: redis.everywhere().await?, cursor: 0 })
    }

    /// What the next keys are about, possibly of none; `None` at the end. A key may be named twice.
    ///
    /// # Errors
    /// [`Failure`]; asking again asks for the same keys.
    pub async fn next(&mut self) -> Result<Option<Vec<String>>, Failure> {
        let Some(server) = self.servers.last_mut() else { return Ok(None) };
        let mut command = redis::cmd("SCAN");
        command.arg(self.cursor).arg("MATCH").arg(format!("{}*", self.keys.prefix()));
        command.arg("COUNT").arg(BATCH);
        let (next, keys): (u64, Vec<String>) = command.query_async(server).await?;
        self.cursor = next;
        if next == 0 {
            self.servers.pop();
        }
        let names = keys.iter().filter_map(|key| self.keys.name(key));
        Ok(Some(names.map(str::to_owned).collect()))
    }
}
