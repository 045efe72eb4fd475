//! Passwords: hashed and checked on threads of their own, so that no number of logins can take the
//! memory, or the time of those who answer the gate.
//!
//! A new hash is Argon2id. Those of the older systems, Argon2 with other parameters and bcrypt,
//! are checked as they are, and the caller is told to replace them. So are those of a password as it
//! was typed, before RFC 8265 told how to prepare it.

mod dummies;
mod hash;
mod prepared;
mod workers;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::secret::{Random, RandomFailed, Secret};
use dummies::{Dummies, compare};
use hash::{Hasher, NewHash};
use workers::Workers;

pub use hash::{InvalidHashConfig, UnreadableHash};
pub(super) use prepared::prepare;

/// The longest password, in bytes. A longer one is nobody's.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// Parameters of new hashes, and the number of threads that make them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashConfig {
    /// The memory of one hash, in KiB.
    pub memory_kib: u32,
    /// How often that memory is gone through.
    pub passes: u32,
    /// Argon2's degree of parallelism; a part of the hash, here all done by one thread.
    pub lanes: u32,
    /// How many hashes are made at once. Each thread keeps its memory for some seconds.
    pub threads: usize,
    /// How many may wait; beyond that, [`PasswordError::Busy`].
    pub queue: usize,
}

impl Default for HashConfig {
    /// 64 MiB, three passes, four lanes, as the older systems have it; half of the cores.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self { memory_kib: 65_536, passes: 3, lanes: 4, threads: (cores / 2).max(1), queue: 64 }
    }
}

/// What a password is, beside a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Another one, or there is no such user.
    Wrong,
    /// The one.
    Right,
    /// The right one, but the hash was made with other parameters, by another algorithm, or of the
    /// password in another form than a new one would be: to be made again while the password is at
    /// hand.
    NeedsRehash,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// More wait than may; the caller should come back in a moment.
    #[error("too many passwords are being checked")]
    Busy,
    /// The password that was to be hashed is longer than [`MAX_PASSWORD_BYTES`].
    #[error("a password is at most {MAX_PASSWORD_BYTES} bytes long")]
    TooLong,
    /// The machine gave no memory or no chance, or the process stops.
    #[error("the password could not be hashed: {0}")]
    Failed(&'static str),
}

impl From<RandomFailed> for PasswordError {
    fn from(_: RandomFailed) -> Self {
        Self::Failed("the system's random source failed")
    }
}

/// Hashes and checks passwords. Dropping it ends its threads, after the hash under way.
pub struct Passwords {
    hasher: Hasher,
    /// What is checked beside a hash, or where there is none, so that it takes as long.
    dummies: Dummies,
    workers: Workers,
    random: Arc<dyn Random>,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("hasher", &self.hasher).finish_non_exhaustive()
    }
}

impl Passwords {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`InvalidHashConfig`] where Argon2 has no such parameters, or no thread could be started.
    pub fn new(config: HashConfig, random: Arc<dyn Random>) -> Result<Self, InvalidHashConfig> {
        let hasher = Hasher::new(&config)?;
        let dummies = Dummies::new(hasher.dummy());
        let workers = Workers::start(config.threads, config.queue)
            .map_err(|_| InvalidHashConfig("no thread can be started to hash passwords"))?;
        Ok(Self { hasher, dummies, workers, random })
    }

    /// Learns from hashes that are in use what a check has to cost, so that those of users who are
    /// not known take as long as those of users whose hashes are older.
    pub fn learn_costs<'a>(&self, hashes: impl IntoIterator<Item = &'a Secret>) {
        for stored in hashes.into_iter().filter_map(|hash| self.hasher.read(hash).ok()) {
            self.dummies.learn_cost(&stored);
        }
    }

    /// A new hash, in PHC form, of the password as RFC 8265 prepares it. A caller who does not wait for it costs nothing.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn hash(&self, password: &Secret) -> Result<Secret, PasswordError> {
        if password.expose().len() > MAX_PASSWORD_BYTES {
            return Err(PasswordError::TooLong);
        }
        let mut salt = [0; hash::SALT_BYTES];
        self.random.fill(&mut salt)?;
        let hasher = self.hasher.clone();
        // The best form, of which there is always one.
        let password = prepared::forms(password).swap_remove(0);
        let made = self.workers.run(move |memory| hasher.hash(&password, &salt, memory)).await?;
        made.map(NewHash::into_phc)
    }

    /// Whether the password is the one of this hash. For an unknown user (`None`), for a hash that
    /// cannot be read and for a password that is too long, it takes as long as for a known one,
    /// and the answer is [`Checked::Wrong`].
    ///
    /// # Errors
    /// [`PasswordError`]; none of them says anything about the user.
    pub async fn check(
        &self,
        password: &Secret,
        hash: Option<&Secret>,
    ) -> Result<Checked, PasswordError> {
        let stored = hash.and_then(|hash| self.hasher.read(hash).ok());
        let is_possible = password.expose().len() <= MAX_PASSWORD_BYTES;
        let needs_rehash = stored.as_ref().is_some_and(|stored| !self.hasher.is_current(stored));
        // What is too long is not looked at: hashing it would take longer than any other.
        let forms = if password.expose().len() <= MAX_PASSWORD_BYTES {
            prepared::forms(password)
        } else {
            vec![Secret::new(*b"what nobody would use")]
        };
        let work = self.dummies.work(stored.filter(|_| is_possible));
        let found = self.workers.run(move |memory| compare(&work, &forms, memory)).await??;
        Ok(match found {
            None => Checked::Wrong,
            Some(0) if !needs_rehash => Checked::Right,
            Some(_) => Checked::NeedsRehash,
        })
    }

    /// Whether a check would be told [`PasswordError::Busy`] now.
    pub fn is_busy(&self) -> bool {
        self.workers.queue.is_full()
    }

    /// Whether a hash of an older system can be checked here at all.
    ///
    /// # Errors
    /// [`UnreadableHash`] where a login with it would always fail.
    pub fn inspect(&self, hash: &Secret) -> Result<(), UnreadableHash> {
        self.hasher.read(hash).map(drop)
    }
}

#[cfg(test)]
mod tests;
