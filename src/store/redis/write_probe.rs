//! A write probe: it shows whether a server takes writes.

use super::{Failure, Redis, Script, Slot};

/// KEYS: one that nobody reads. ARGV: its time to live, in milliseconds. It is a script, as all
/// important commands are: where scripts are not allowed, nothing works.
const WRITE: &str = r"
redis.call('SET', KEYS[1], '1')
return redis.call('PEXPIRE', KEYS[1], ARGV[1])";

/// The time for which the written key stays, in milliseconds.
const KEPT: u64 = 60_000;

impl Redis {
    /// Makes a write, to show that it works: at `maxmemory`, without a disk to save to, or on a
    /// replica, only reading goes on. On a cluster one server is asked.
    ///
    /// # Errors
    /// [`Failure`] where writing does not work.
    pub async fn probe_write(&self) -> Result<(), Failure> {
        let script = Script::new(WRITE);
        let mut call = script.key(self.keys("proof", Slot::WholeKey).of("?"));
        call.arg(KEPT);
        let _kept: u64 = call.invoke_async(&mut self.connection().await?).await?;
        Ok(())
    }
}
