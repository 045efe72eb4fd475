//! The key ring in a file: private keys with their lifetimes, as JSON, readable by its owner alone.
//!
//! It is written apart and then renamed, so that a reader always finds it complete. Concurrent
//! rotations wait for each other, so that none loses the other's key. A file with any mistake is
//! not read at all.

mod record;
mod write;

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::algorithm::{self, Algorithm};
use super::key::{self, KeyError, KeyId, SigningKey, VerifyingKey};
use super::rotation::{RotationSchedule, RotationTimes};
use crate::clock::Clock;
use crate::secret::{Random, Secret};
use crate::wire::file::{self, FileVersion};

/// The permissions for all users of the host.
const FOR_OTHERS: u32 = 0o007;
/// The algorithm of the first key where none is named: short signatures, and every library reads
/// it.
const USUAL_ALGORITHM: Algorithm = Algorithm::ES256;
/// The algorithms that are tried for an imported key without one; the first that fits is taken.
const LIKELY: [Algorithm; 4] =
    [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, Algorithm::RS256];

/// A key of the file.
#[derive(Clone, Debug)]
pub struct RingKey {
    pem: Secret,
    key: Arc<SigningKey>,
    /// True where another system used it before, under a name of its own.
    any_kid: bool,
}

impl RingKey {
    /// The key itself.
    pub fn key(&self) -> &Arc<SigningKey> {
        &self.key
    }

    /// The key that checks its tokens: those that carry its `kid`, and where it was imported all
    /// others too, since they may be older than the import.
    pub fn verifying(&self) -> VerifyingKey {
        let key = self.key.verifying().clone();
        if self.any_kid { key } else { key.named() }
    }

    fn id(&self) -> Option<&KeyId> {
        self.key.id()
    }
}

/// The origin of the next key.
#[derive(Clone, Debug)]
pub enum NewKey {
    /// It is made for this algorithm, or for that of the key that signs now.
    Generate(Option<Algorithm>),
    /// It is there already, a private key in PEM, for this algorithm or the usual one of its kind.
    Import(Secret, Option<Algorithm>),
}

/// The treatment of the keys that are in the ring already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherKeys {
    /// They retire once the new one has signed for long enough.
    Retire(RotationTimes),
    /// They are dropped, those that are coming too: their signatures are good no more.
    Drop,
}

/// A ring as it was written.
#[derive(Debug)]
pub struct Rotated {
    /// All its keys, the new one last.
    pub schedule: RotationSchedule<RingKey>,
    /// The keys that were dropped.
    pub dropped: Vec<RingKey>,
}

/// The reason why a key ring cannot be read or rotated. Nothing of its content is in it.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// There is no such file.
    #[error("there is no such file")]
    Missing,
    /// The file could not be read.
    #[error("it cannot be read: {0}")]
    Read(#[source] io::Error),
    /// The file, or its folder, could not be written.
    #[error("it cannot be written: {0}")]
    Write(#[source] io::Error),
    /// The new file cannot be given to the owner of the present one.
    #[error(
        "it belongs to another user or group, who must still be able to read it; run this as its owner ({0})"
    )]
    Owner(#[source] io::Error),
    /// All users of the host may read or write it.
    #[error("it holds private keys, and every user of this host can get at it; chmod 600")]
    OpenToAll,
    /// It is no key ring.
    #[error("it is no key ring as `portcullis key rotate` writes it ({0})")]
    Content(String),
    /// One of its keys is not usable. The first is 1.
    #[error("its key {position}: {problem}")]
    Key {
        /// The number of the key.
        position: usize,
        /// The problem with it.
        problem: KeyError,
    },
    /// The `kid` beside a key is not its own.
    #[error("its key {0}: the `kid` is that of another key")]
    WrongId(usize),
    /// A key is there twice.
    #[error("the key {0} is in it already")]
    Duplicate(KeyId),
    /// A shared secret cannot be published.
    #[error("{} is for a shared secret, which cannot be published; choose another, such as ES256", algorithm::name(*.0))]
    Symmetric(Algorithm),
    /// The new key is not usable.
    #[error("the new key: {0}")]
    NewKey(#[from] KeyError),
}

/// Reads the keys, and the version of the very file that they were read from.
///
/// # Errors
/// [`KeyFileError`], where any part of the file is not as it should be.
pub fn read(path: &Path) -> Result<(RotationSchedule<RingKey>, FileVersion), KeyFileError> {
    let (file, metadata) = file::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => KeyFileError::Missing,
        _ => KeyFileError::Read(error),
    })?;
    if metadata.mode() & FOR_OTHERS != 0 {
        return Err(KeyFileError::OpenToAll);
    }
    let content = file::read_all(&file, &metadata).map_err(KeyFileError::Read)?;
    let content = Zeroizing::new(content);
    Ok((record::parse(&content)?, FileVersion::from(&metadata)))
}

/// Adds a key as [`RotationSchedule::rotate`] or [`RotationSchedule::replace`] says, and removes
/// those that have retired; makes the file where there is none. Waits for other rotations of the
/// same file.
///
/// # Errors
/// [`KeyFileError`]; the file is then as it was.
pub fn rotate(
    path: &Path,
    new: NewKey,
    others: OtherKeys,
    clock: &dyn Clock,
    random: &dyn Random,
) -> Result<Rotated, KeyFileError> {
    let locked = write::LockedFile::lock(path)?;
    let mut schedule = match read(locked.path()) {
        Ok((schedule, _)) => schedule,
        Err(KeyFileError::Missing) => RotationSchedule::default(),
        Err(error) => return Err(error),
    };
    // Asked only now, so that a process that waited for another rotation gets a later time.
    let now = clock.now();
    let present = schedule.signing(now).map(|key| key.key.algorithm());
    let new = new.take(present, random)?;
    if schedule.entries().iter().any(|(_, key)| key.id() == new.id()) {
        let id = new.id().cloned().unwrap_or_else(|| KeyId::new(""));
        return Err(KeyFileError::Duplicate(id));
    }
    let dropped = match others {
        OtherKeys::Retire(times) => {
            schedule.rotate(new, times, now);
            Vec::new()
        }
        OtherKeys::Drop => schedule.replace(new, now).into_iter().map(|(_, key)| key).collect(),
    };
    locked.replace(&record::render(&schedule)?)?;
    Ok(Rotated { schedule, dropped })
}

impl NewKey {
    fn take(
        self,
        present: Option<Algorithm>,
        random: &dyn Random,
    ) -> Result<RingKey, KeyFileError> {
        match self {
            Self::Generate(named) => {
                let algorithm = named.or(present).unwrap_or(USUAL_ALGORITHM);
                if algorithm::is_symmetric(algorithm) {
                    return Err(KeyFileError::Symmetric(algorithm));
                }
                let pem = key::generate(algorithm, random)?;
                let key = SigningKey::from_private_pem(algorithm, &pem)?;
                Ok(RingKey { pem, key: Arc::new(key), any_kid: false })
            }
            Self::Import(pem, named) => {
                if let Some(algorithm) = named.filter(|a| algorithm::is_symmetric(*a)) {
                    return Err(KeyFileError::Symmetric(algorithm));
                }
                let key = imported(&pem, named)?;
                Ok(RingKey { pem, key: Arc::new(key), any_kid: true })
            }
        }
    }
}

fn imported(pem: &Secret, named: Option<Algorithm>) -> Result<SigningKey, KeyError> {
    if let Some(algorithm) = named {
        return SigningKey::from_private_pem(algorithm, pem);
    }
    let mut outcome = Err(KeyError::NotPem("this is no key that is supported here"));
    for algorithm in LIKELY {
        match SigningKey::from_private_pem(algorithm, pem) {
            // Of another kind: the next one may fit.
            Err(KeyError::WrongFamily(_)) => {}
            other => {
                outcome = other;
                break;
            }
        }
    }
    outcome
}

#[cfg(test)]
mod tests;
