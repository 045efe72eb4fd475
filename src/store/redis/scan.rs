//! A walk over all keys of a kind, a batch at a time, which never blocks a server for long.

use super::{Call, Connection, Failure, Keys, Redis, Script, invoke_all};
use crate::clock::UnixTime;

/// The most records that one round trip reads or removes; bounds the time for which the server is
/// busy.
pub const BATCH: usize = 200;

/// KEYS: record. ARGV: a moment. Deletes it where it expired by then, and returns the number of
/// deleted records.
const PURGE: &str = r"
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return 0 end
local kept = redis.call('HGET', KEYS[1], 'expires')
if not kept or not string.match(kept, '^%d+$') then return 0 end
if tonumber(kept) > tonumber(ARGV[1]) then return 0 end
return redis.call('DEL', KEYS[1])";

/// The position of such a walk.
#[derive(Debug)]
pub struct Scan {
    keys: Keys,
    /// The servers that are still to be walked, the next one last.
    servers: Vec<Connection>,
    cursor: u64,
    /// Names that a server gave beyond the number that was asked for.
    more: Vec<String>,
}

impl Scan {
    /// A walk over the keys of a kind, on all servers that keep some.
    ///
    /// # Errors
    /// [`Failure`] where one of them is not reached: a part of an answer would look like all of it.
    pub async fn of(redis: &Redis, keys: &Keys) -> Result<Self, Failure> {
        Ok(Self {
            keys: keys.clone(),
            servers: redis.everywhere().await?,
            cursor: 0,
            more: Vec::new(),
        })
    }

    /// The names in the next keys, at most [`BATCH`] and possibly none; `None` at the end. A key
    /// may come twice.
    ///
    /// # Errors
    /// [`Failure`]; asking again asks for the same keys.
    pub async fn next(&mut self) -> Result<Option<Vec<String>>, Failure> {
        if self.more.is_empty() && !self.ask().await? {
            return Ok(None);
        }
        let rest = self.more.split_off(self.more.len().min(BATCH));
        Ok(Some(std::mem::replace(&mut self.more, rest)))
    }

    /// Asks for more names; says whether there was anybody to ask.
    async fn ask(&mut self) -> Result<bool, Failure> {
        let Some(server) = self.servers.last_mut() else { return Ok(false) };
        let mut command = redis::cmd("SCAN");
        command.arg(self.cursor).arg("MATCH").arg(format!("{}*", self.keys.prefix()));
        command.arg("COUNT").arg(BATCH);
        let (next, keys): (u64, Vec<String>) = command.query_async(server).await?;
        self.cursor = next;
        if next == 0 {
            self.servers.pop();
        }
        let names = keys.iter().filter_map(|key| self.keys.name(key));
        self.more = names.map(str::to_owned).collect();
        Ok(true)
    }
}

impl Redis {
    /// Deletes the hashes of a kind that expired at or before a moment, by their field `expires`; says
    /// how many. One whose field cannot be read stays.
    ///
    /// # Errors
    /// [`Failure`]; some may be deleted.
    pub async fn purge(&self, keys: &Keys, expired_before: UnixTime) -> Result<u64, Failure> {
        let purge = Script::new(PURGE);
        let mut connection = self.connection().await?;
        let mut scan = Scan::of(self, keys).await?;
        let mut removed = 0;
        while let Some(names) = scan.next().await? {
            let calls: Vec<Call<'_>> = names
                .iter()
                .map(|name| {
                    let mut call = purge.key(keys.of(name));
                    call.arg(expired_before.as_millis());
                    call
                })
                .collect();
            for gone in invoke_all::<u64>(&calls, &mut connection).await? {
                removed += gone?;
            }
        }
        Ok(removed)
    }
}
