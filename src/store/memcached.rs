//! Memcached (1.6 or newer, which knows the meta protocol), one server or several.
//!
//! It forgets: when its room is needed, when it is restarted, when somebody types `flush_all`.
//! Whoever keeps a record here has to see to it that a record that is gone can only refuse. It
//! lists nothing, and tells nobody of what changes.
//!
//! Each name has its server (rendezvous hashing), by the servers' names as configured, the same in
//! every process and every release. A server that is down is an error for the names that it keeps;
//! they go to no other, which would know nothing of what was ended. No command is sent twice, save
//! one of which no byte left this process.

mod address;
mod key;
mod record;
mod server;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use memcache::exp::{Delete, MutationStatus, Set};

use super::Failure;

pub use address::{InvalidAddress, Servers};
pub use key::{Key, Lifetime};
pub(crate) use record::to_json;
pub use record::{Change, Found};
use server::{Server, found, read};

/// Most attempts to change a record that somebody else changed first. Each time somebody
/// got on, so that only a crowd comes so far.
const MAX_ATTEMPTS: usize = 256;
/// For how long the record of a write probe stays.
const PROBE_SECONDS: u32 = 60;

/// The settings of memcached's connections.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// For a connection, the wait for a free one included.
    pub connect_timeout: Duration,
    /// For the answer to one command. A caller with a deadline of its own sets this a little
    /// shorter, so that a dead connection is noticed rather than abandoned.
    pub response_timeout: Duration,
    /// At most this many connections to each server, which is how many commands are under way.
    pub max_connections: usize,
}

impl Default for Options {
    /// 1 s to connect, 500 ms to answer, 32 connections.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_millis(500),
            max_connections: 32,
        }
    }
}

/// Memcached, by its pools of connections. A clone is the same pools.
#[derive(Clone)]
pub struct Memcached {
    servers: Arc<[Server]>,
    name: Arc<str>,
}

impl Memcached {
    /// Prepares the pools; nothing is connected, and no name is looked up, before the first use.
    pub fn new(servers: &Servers, options: &Options) -> Self {
        let name = servers.names().join(",").into();
        let server = |name: &String| Server::new(name.clone(), *options);
        Self { servers: servers.names().iter().map(server).collect(), name }
    }

    /// The record of that key.
    ///
    /// # Errors
    /// [`Failure`] where its server gives no answer.
    pub async fn get(&self, key: &Key) -> Result<Option<Found>, Failure> {
        let server = self.server(key);
        found(server.run(read(key)).await?).map_err(|failure| server.named(failure))
    }

    /// The records of these keys, in the order of the keys; of one server at a time, and of each in
    /// this order.
    ///
    /// # Errors
    /// [`Failure`] where one of the servers gives no answer.
    pub async fn get_many(&self, keys: &[&Key]) -> Result<Vec<Option<Found>>, Failure> {
        let mut records = vec![None; keys.len()];
        for server in &*self.servers {
            let ours: Vec<usize> =
                (0..keys.len()).filter(|n| std::ptr::eq(self.server(keys[*n]), server)).collect();
            if ours.is_empty() {
                continue;
            }
            let answers = server.run_many(ours.iter().map(|n| read(keys[*n]))).await?;
            for (n, answer) in ours.into_iter().zip(answers) {
                records[n] = found(answer).map_err(|failure| server.named(failure))?;
            }
        }
        Ok(records)
    }

    /// Returns whether records are in several servers.
    pub fn has_many_servers(&self) -> bool {
        self.servers.len() > 1
    }

    /// Changes a record by what it holds, in one step: where somebody else was first, what to do is
    /// decided again. `decide` gets `None` where there is no such record.
    ///
    /// # Errors
    /// What `decide` says, and [`Failure`]; then the record may have been changed.
    pub async fn change<T, E: From<Failure>>(
        &self,
        key: &Key,
        decide: impl Fn(Option<&Found>) -> Result<Change<T>, E> + Send + Sync,
    ) -> Result<T, E> {
        for _ in 0..MAX_ATTEMPTS {
            let found = self.get(key).await?;
            let (value, keep, outcome) = match decide(found.as_ref())? {
                Change::Leave(outcome) => return Ok(outcome),
                Change::Write { value, keep, outcome } => (value, keep, outcome),
            };
            let is_first = match found {
                None => self.add(key, &value, keep).await?,
                Some(found) => self.compare_and_swap(key, found.version, &value, keep).await?,
            };
            if is_first {
                return Ok(outcome);
            }
        }
        Err(Failure::contended().into())
    }

    /// Adds a record; `false` where there is one of that key.
    ///
    /// # Errors
    /// [`Failure`]; it may have been added.
    pub async fn add(&self, key: &Key, value: &[u8], keep: Lifetime) -> Result<bool, Failure> {
        let add = Set::new(key.as_str(), value).ttl(keep.to_ttl()).add();
        Ok(self.server(key).run(add).await?.applied())
    }

    /// Replaces the value, if it is still of that version; says whether it was.
    ///
    /// # Errors
    /// [`Failure`]; it may be done.
    pub async fn compare_and_swap(
        &self,
        key: &Key,
        version: u64,
        value: &[u8],
        keep: Lifetime,
    ) -> Result<bool, Failure> {
        let server = self.server(key);
        let swap = Set::new(key.as_str(), value).ttl(keep.to_ttl()).compare_cas(version);
        match server.run(swap).await?.status {
            MutationStatus::Applied => Ok(true),
            MutationStatus::CasMismatch
            | MutationStatus::AlreadyExists
            | MutationStatus::NotFound => Ok(false),
            _ => Err(server.named(Failure::unexpected())),
        }
    }

    /// Deletes a record; says whether it was there.
    ///
    /// # Errors
    /// [`Failure`]; it may be deleted.
    pub async fn delete(&self, key: &Key) -> Result<bool, Failure> {
        Ok(self.server(key).run(Delete::new(key.as_str())).await?.applied())
    }

    /// Checks that every server answers a question: for a record of `prefix` that nobody has.
    ///
    /// # Errors
    /// [`Failure`] of the first that does not.
    pub async fn ping(&self, prefix: &'static str) -> Result<(), Failure> {
        let nobody = Key::plain(prefix, "?");
        for server in &*self.servers {
            found(server.run(read(&nobody)).await?).map_err(|failure| server.named(failure))?;
        }
        Ok(())
    }

    /// Makes a write on every server, to show that it works, by one of `prefix` that nobody reads.
    ///
    /// # Errors
    /// [`Failure`] of the first that does not.
    pub async fn probe_write(&self, prefix: &'static str) -> Result<(), Failure> {
        let nobody = Key::plain(prefix, "?proof");
        for server in &*self.servers {
            let write = Set::new(nobody.as_str(), b"").ttl_raw(PROBE_SECONDS);
            if !server.run(write).await?.applied() {
                return Err(server.named(Failure::unexpected()));
            }
        }
        Ok(())
    }

    /// The names of the servers, for logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The one server that keeps a key.
    fn server(&self, key: &Key) -> &Server {
        let mut best = &self.servers[0];
        if self.servers.len() > 1 {
            let mut highest = best.weight(key);
            for server in &self.servers[1..] {
                let weight = server.weight(key);
                if weight > highest {
                    (best, highest) = (server, weight);
                }
            }
        }
        best
    }
}

impl fmt::Debug for Memcached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memcached({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_of(servers: &str, name: &str) -> String {
        let servers = Servers::parse(&format!("memcached://{servers}")).expect(servers);
        let memcached = Memcached::new(&servers, &Options::default());
        memcached.server(&Key::plain("p:", name)).name.clone()
    }

    #[test]
    fn a_name_has_its_server_in_every_process_and_every_release() {
        // By `printf 'two:2\0%s' 0 | sha256sum` and the like. It must never change: what was ended
        // is known to the server that was told of it, and to no other.
        let expected =
            ["three:3", "three:3", "three:3", "one:1", "one:1", "three:3", "one:1", "one:1"];
        for servers in ["two:2,one:1,three:3", "three:3,two:2,one:1"] {
            let kept: Vec<_> = (0..8).map(|n| server_of(servers, &n.to_string())).collect();
            assert_eq!(kept, expected, "{servers}");
        }
        assert_eq!(server_of("one:1", "0"), "one:1");
    }

    #[test]
    fn records_of_one_name_are_on_one_server() {
        let servers = Servers::parse("memcached://one,two,three").expect("servers");
        let memcached = Memcached::new(&servers, &Options::default());
        for n in 0..100 {
            let name = n.to_string();
            let [session, seen] = ["session:", "seen:"].map(|prefix| Key::plain(prefix, &name));
            assert!(std::ptr::eq(memcached.server(&session), memcached.server(&seen)));
        }
    }

    #[test]
    fn a_server_less_moves_no_name_of_another() {
        let mut moved = 0;
        for n in 0..300 {
            let name = n.to_string();
            match server_of("one,two,three", &name).as_str() {
                "three:11211" => moved += 1,
                kept => assert_eq!(server_of("one,two", &name), kept),
            }
        }
        assert!((60..140).contains(&moved), "{moved} of 300 on the third of three");
    }
}
