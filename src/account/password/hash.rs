//! Hashes of passwords: read, made and compared. Nothing here knows of threads.

use std::fmt::Write as _;

use argon2::{Algorithm, Argon2, Block, Params, PasswordHash, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::{HashConfig, PasswordError};
use crate::secret::Secret;

/// The length of a new salt, as RFC 9106 advises.
pub(super) const SALT_BYTES: usize = 16;
/// The length of a new tag.
const TAG_BYTES: usize = 32;
/// The most memory that a hash of another system may ask for, in KiB, unless new ones ask for more.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
/// The most work that it may ask for: KiB times passes. It takes a second or two of one core.
const MAX_WORK: u64 = 2 * 1024 * 1024;
/// The longest text of a hash.
const MAX_HASH_BYTES: usize = 512;
/// bcrypt's cost is a power of two; this one takes some seconds.
const MAX_BCRYPT_COST: u32 = 15;
/// bcrypt's least cost.
const MIN_BCRYPT_COST: u32 = 4;

/// Argon2 has no such parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidHashConfig(pub(super) &'static str);

/// A text is no hash of a password that can be checked here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a hash that can be checked: {0}")]
pub struct UnreadableHash(&'static str);

/// The memory of one thread, used again for each hash.
pub(super) type Memory = Vec<Block>;

/// The way in which new hashes are made.
#[derive(Clone, Debug)]
pub(super) struct Hasher {
    params: Params,
}

/// A hash that was just made.
pub(super) struct NewHash {
    params: Params,
    salt: [u8; SALT_BYTES],
    tag: [u8; TAG_BYTES],
}

/// A stored hash, parsed.
#[derive(Clone, Debug)]
pub(super) enum StoredHash {
    Argon2 { algorithm: Algorithm, version: Version, params: Params, salt: Vec<u8>, tag: Secret },
    Bcrypt { text: Secret, cost: u32 },
}

impl Hasher {
    pub(super) fn new(config: &HashConfig) -> Result<Self, InvalidHashConfig> {
        if config.lanes > 255 {
            return Err(InvalidHashConfig("more than 255 lanes are of no use"));
        }
        let params = Params::new(config.memory_kib, config.passes, config.lanes, Some(TAG_BYTES))
            .map_err(|_| {
            InvalidHashConfig("Argon2 needs a pass, a lane, and 8 KiB of memory for each lane")
        })?;
        Ok(Self { params })
    }

    /// A hash that no password has: it is no known password's.
    pub(super) fn dummy(&self) -> StoredHash {
        StoredHash::Argon2 {
            algorithm: Algorithm::Argon2id,
            version: Version::V0x13,
            params: self.params.clone(),
            salt: vec![0; SALT_BYTES],
            tag: Secret::new([0; TAG_BYTES]),
        }
    }

    pub(super) fn hash(
        &self,
        password: &Secret,
        salt: &[u8; SALT_BYTES],
        memory: &mut Memory,
    ) -> Result<NewHash, PasswordError> {
        let mut tag = [0; TAG_BYTES];
        let params = self.params.clone();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        fill(&argon2, password, salt, &mut tag, memory)?;
        Ok(NewHash { params, salt: *salt, tag })
    }

    /// Reads a hash; its demands for memory and time are bounded.
    pub(super) fn read(&self, hash: &Secret) -> Result<StoredHash, UnreadableHash> {
        let text = hash.expose_str().ok_or(UnreadableHash("it is not UTF-8"))?;
        if text.len() > MAX_HASH_BYTES {
            return Err(UnreadableHash("it is too long"));
        }
        if text.starts_with("$argon2") { self.read_argon2(text) } else { read_bcrypt(text) }
    }

    fn read_argon2(&self, text: &str) -> Result<StoredHash, UnreadableHash> {
        let parsed = PasswordHash::new(text).map_err(|_| UnreadableHash("it is no PHC string"))?;
        let algorithm = Algorithm::try_from(parsed.algorithm.as_str());
        let algorithm = algorithm.map_err(|_| UnreadableHash("there is no such Argon2"))?;
        // Before there was a field for it, the version was 16.
        let version = Version::try_from(parsed.version.unwrap_or(0x10));
        let version = version.map_err(|_| UnreadableHash("there is no such version of Argon2"))?;
        let params = Params::try_from(&parsed);
        let params = params.map_err(|_| UnreadableHash("its parameters are not Argon2's"))?;
        let most_memory = MAX_MEMORY_KIB.max(self.params.m_cost());
        let work = |params: &Params| u64::from(params.m_cost()) * u64::from(params.t_cost());
        if params.m_cost() > most_memory || work(&params) > MAX_WORK.max(work(&self.params)) {
            return Err(UnreadableHash("it asks for too much memory or time"));
        }
        let salt = parsed.salt.ok_or(UnreadableHash("it has no salt"))?;
        let tag = parsed.hash.ok_or(UnreadableHash("it has no tag"))?;
        // A short tag is hit by chance.
        if salt.len() < argon2::MIN_SALT_LEN || tag.len() < 16 {
            return Err(UnreadableHash("its salt or its tag is too short"));
        }
        let tag = Secret::new(tag.as_bytes());
        Ok(StoredHash::Argon2 { algorithm, version, params, salt: salt.to_vec(), tag })
    }

    /// Returns whether a new hash would be made in the same way.
    pub(super) fn is_current(&self, stored: &StoredHash) -> bool {
        match stored {
            StoredHash::Bcrypt { .. } => false,
            StoredHash::Argon2 { algorithm, version, params, salt, tag } => {
                *algorithm == Algorithm::Argon2id
                    && *version == Version::V0x13
                    && costs(params) == costs(&self.params)
                    && salt.len() >= SALT_BYTES
                    && tag.expose().len() >= TAG_BYTES
            }
        }
    }
}

impl NewHash {
    /// The PHC string, as argon2-cffi and others write it.
    pub(super) fn into_phc(self) -> Secret {
        let (m, t, p) = (self.params.m_cost(), self.params.t_cost(), self.params.p_cost());
        let mut text = String::with_capacity(128);
        let _ = write!(text, "$argon2id$v=19$m={m},t={t},p={p}$");
        STANDARD_NO_PAD.encode_string(self.salt, &mut text);
        text.push('$');
        STANDARD_NO_PAD.encode_string(self.tag, &mut text);
        Secret::new(text)
    }
}

impl StoredHash {
    /// Returns whether a check by the other takes as long.
    pub(super) fn has_same_cost(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Argon2 { algorithm, version, params, .. },
                Self::Argon2 { algorithm: other, version: of_version, params: of_params, .. },
            ) => (algorithm, version, costs(params)) == (other, of_version, costs(of_params)),
            (Self::Bcrypt { cost, .. }, Self::Bcrypt { cost: other, .. }) => cost == other,
            _ => false,
        }
    }

    /// A hash of the same cost that no password has: it is no known password's.
    pub(super) fn dummy(&self) -> Self {
        match self {
            Self::Argon2 { algorithm, version, params, tag, .. } => Self::Argon2 {
                algorithm: *algorithm,
                version: *version,
                params: params.clone(),
                salt: vec![0; SALT_BYTES],
                // The parameters have its length.
                tag: Secret::new(vec![0; tag.expose().len()]),
            },
            Self::Bcrypt { cost, .. } => {
                let text = format!("$2b${cost:02}${}", ".".repeat(53));
                Self::Bcrypt { text: Secret::new(text), cost: *cost }
            }
        }
    }

    /// Returns whether the password has this hash; compared in constant time.
    pub(super) fn matches(
        &self,
        password: &Secret,
        memory: &mut Memory,
    ) -> Result<bool, PasswordError> {
        match self {
            Self::Argon2 { algorithm, version, params, salt, tag } => {
                let argon2 = Argon2::new(*algorithm, *version, params.clone());
                let mut found = vec![0; tag.expose().len()];
                fill(&argon2, password, salt, &mut found, memory)?;
                Ok(Secret::new(found) == *tag)
            }
            // As bcrypt always did, it looks at the first 72 bytes alone.
            Self::Bcrypt { text, .. } => {
                let text = text.expose_str().unwrap_or_default();
                bcrypt::verify(password.expose(), text)
                    .map_err(|_| PasswordError::Failed("bcrypt refused the hash"))
            }
        }
    }
}

fn costs(params: &Params) -> (u32, u32, u32) {
    (params.m_cost(), params.t_cost(), params.p_cost())
}

fn read_bcrypt(text: &str) -> Result<StoredHash, UnreadableHash> {
    // $2x$ is the mark of a faulty implementation of the past; it is not bcrypt.
    if !["$2a$", "$2b$", "$2y$"].iter().any(|start| text.starts_with(start)) {
        return Err(UnreadableHash("it is neither Argon2 nor bcrypt"));
    }
    let parts = text.parse::<bcrypt::HashParts>();
    let parts = parts.map_err(|_| UnreadableHash("it is no bcrypt hash"))?;
    if !(MIN_BCRYPT_COST..=MAX_BCRYPT_COST).contains(&parts.get_cost()) {
        return Err(UnreadableHash("it asks for too much time"));
    }
    Ok(StoredHash::Bcrypt { text: Secret::new(text), cost: parts.get_cost() })
}

/// Runs Argon2 in the present memory, which grows where it is not enough.
fn fill(
    argon2: &Argon2<'_>,
    password: &Secret,
    salt: &[u8],
    tag: &mut [u8],
    memory: &mut Memory,
) -> Result<(), PasswordError> {
    let needed = argon2.params().block_count();
    let missing = needed.saturating_sub(memory.len());
    memory.try_reserve_exact(missing).map_err(|_| PasswordError::Failed("there is no memory"))?;
    memory.resize(memory.len().max(needed), Block::default());
    argon2
        .hash_password_into_with_memory(password.expose(), salt, tag, &mut memory[..needed])
        .map_err(|_| PasswordError::Failed("Argon2 refused the parameters"))
}
