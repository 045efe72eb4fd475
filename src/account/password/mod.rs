//! Passwords: hashed and checked on threads of their own, so that no number of logins can take the
//! memory or the time of the tasks that answer the gate.
//!
//! A new hash is Argon2id. Hashes of older systems, Argon2 with other parameters and bcrypt, are
//! checked as they are, and the caller is told to replace them. So are hashes of a password as it
//! was typed, without the preparation of RFC 8265.

mod dummies;
mod hash;
mod prepared;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::secret::{Random, RandomFailed, Secret};
use crate::wire::worker_pool::{NotDone, Threads, WorkerPool};
use dummies::{Dummies, compare};
use hash::{Hasher, Memory, NewHash};

pub use hash::{InvalidHashConfig, UnreadableHash};
pub(super) use prepared::prepare;

/// The longest password, in bytes. A longer one is always wrong.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// Parameters of new hashes, and the number of threads that make them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashConfig {
    /// The memory of one hash, in KiB.
    pub memory_kib: u32,
    /// The number of passes over that memory.
    pub passes: u32,
    /// Argon2's degree of parallelism; a part of the hash, here all done by one thread.
    pub lanes: u32,
    /// The number of hashes at one time. Each thread keeps its memory for some seconds.
    pub threads: usize,
    /// The most callers that may wait; beyond that, [`PasswordError::Busy`].
    pub queue: usize,
}

impl Default for HashConfig {
    /// The values of the older systems: 64 MiB, three passes, four lanes; and half of the cores.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self { memory_kib: 65_536, passes: 3, lanes: 4, threads: (cores / 2).max(1), queue: 64 }
    }
}

/// The result of a check of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It is wrong, or there is no such user.
    Wrong,
    /// It is right.
    Right,
    /// It is right, but the hash was made with other parameters, by another algorithm, or of the
    /// password in another form than a new one would be. It should be made again while the password
    /// is at hand.
    NeedsRehash,
}

/// The reason why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too many callers wait; this one should try again in a moment.
    #[error("too many passwords are being checked")]
    Busy,
    /// The password that was to be hashed is longer than [`MAX_PASSWORD_BYTES`].
    #[error("a password is at most {MAX_PASSWORD_BYTES} bytes long")]
    TooLong,
    /// There is no memory, no randomness, or the process stops.
    #[error("the password could not be hashed: {0}")]
    Failed(&'static str),
}

impl From<RandomFailed> for PasswordError {
    fn from(_: RandomFailed) -> Self {
        Self::Failed("the system's random source failed")
    }
}

impl From<NotDone> for PasswordError {
    fn from(reason: NotDone) -> Self {
        match reason {
            NotDone::Busy => Self::Busy,
            NotDone::Stopped => Self::Failed("the hashing stopped"),
        }
    }
}

/// Hashes and checks passwords. Dropping it ends its threads, after the hash under way.
pub struct Passwords {
    hasher: Hasher,
    /// The hashes that are made beside the user's own, or in its place, so that every check takes
    /// as long.
    dummies: Dummies,
    /// Callers are not told apart here: their attempts were counted before.
    workers: WorkerPool<(), Memory>,
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
        let threads = Threads { name: "hash", count: config.threads };
        let workers = WorkerPool::start(threads, config.queue)
            .map_err(|_| InvalidHashConfig("no thread can be started to hash passwords"))?;
        Ok(Self { hasher, dummies, workers, random })
    }

    /// Learns the costs of hashes that are in use, so that a check of an unknown user takes as long
    /// as a check of a user with an older hash.
    pub fn learn_costs<'a>(&self, hashes: impl IntoIterator<Item = &'a Secret>) {
        for stored in hashes.into_iter().filter_map(|hash| self.hasher.read(hash).ok()) {
            self.dummies.learn_cost(&stored);
        }
    }

    /// A new hash, in PHC form, of the password as RFC 8265 prepares it. Work for a caller that
    /// went away is dropped.
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
        let made = self.run(move |memory| hasher.hash(&password, &salt, memory)).await?;
        made.map(NewHash::into_phc)
    }

    /// Checks whether the password has this hash. For an unknown user (`None`), for a hash that
    /// cannot be read and for a password that is too long, it takes as long as for a known one, and
    /// the answer is [`Checked::Wrong`].
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
        // A password that is too long is not hashed: it would take longer than any other.
        let forms = if password.expose().len() <= MAX_PASSWORD_BYTES {
            prepared::forms(password)
        } else {
            vec![Secret::new(*b"what nobody would use")]
        };
        let work = self.dummies.work(stored.filter(|_| is_possible));
        let found = self.run(move |memory| compare(&work, &forms, memory)).await??;
        Ok(match found {
            None => Checked::Wrong,
            Some(0) if !needs_rehash => Checked::Right,
            Some(_) => Checked::NeedsRehash,
        })
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        self.workers.run((), work).await.map_err(PasswordError::from)
    }

    /// Returns whether a check would fail with [`PasswordError::Busy`] now.
    pub fn is_busy(&self) -> bool {
        self.workers.is_full()
    }

    /// Checks whether a hash of an older system can be used here at all.
    ///
    /// # Errors
    /// [`UnreadableHash`] where a login with it would always fail.
    pub fn inspect(&self, hash: &Secret) -> Result<(), UnreadableHash> {
        self.hasher.read(hash).map(drop)
    }
}

#[cfg(test)]
mod tests;
