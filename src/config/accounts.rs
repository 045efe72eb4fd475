//! ACCOUNTS_URL, and what is asked of passwords.

use std::fmt;
use std::path::{Path, PathBuf};

use super::reader::Reader;
use super::store::{EMBEDDED_FILE, StoreConfig, may_be_read, sqlite_path};
use crate::account::password::HashConfig;
use crate::account::policy::PasswordPolicy;
use crate::secret::Secret;

/// The most memory of one hash, in KiB: 4 GiB.
const MAX_MEMORY_KIB: u64 = 4 << 20;

/// The accounts' section.
#[derive(Clone, Debug)]
pub struct AccountsConfig {
    /// Where they are.
    pub store: AccountStoreConfig,
    /// The folder that may be made for them.
    pub data_dir: PathBuf,
    /// How passwords are hashed.
    pub hashing: HashConfig,
    /// What is asked of new passwords.
    pub policy: PasswordPolicy,
}

/// Where accounts are.
#[derive(Clone, Debug)]
pub enum AccountStoreConfig {
    /// A file on this host, which several processes, and the sessions, may share.
    Sqlite(PathBuf),
    /// A PostgreSQL database; its URL, with its credentials.
    Postgres(Secret),
}

impl fmt::Display for AccountStoreConfig {
    /// What it is and where, without the credentials of its URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite {}", path.display()),
            Self::Postgres(url) => {
                f.write_str(&crate::store::postgres::check(url).unwrap_or_default())
            }
        }
    }
}

pub(super) fn read(
    reader: &mut Reader<'_>,
    sessions: &StoreConfig,
    data_dir: &Path,
) -> AccountsConfig {
    AccountsConfig {
        store: store(reader, sessions, data_dir),
        data_dir: data_dir.to_owned(),
        hashing: hashing(reader),
        policy: policy(reader),
    }
}

fn store(reader: &mut Reader<'_>, sessions: &StoreConfig, data_dir: &Path) -> AccountStoreConfig {
    let embedded = AccountStoreConfig::Sqlite(match sessions {
        StoreConfig::Sqlite(path) => path.clone(),
        StoreConfig::Redis { .. } | StoreConfig::Memcached(_) | StoreConfig::Memory => {
            data_dir.join(EMBEDDED_FILE)
        }
    });
    let Some(found) = reader.found("ACCOUNTS_URL") else {
        return embedded;
    };
    let text = found.text.trim();
    if found.origin == "--accounts-url" && text.contains(['@', '?']) {
        reader.wrong("ACCOUNTS_URL", may_be_read("ACCOUNTS_URL"));
    }
    match text.split_once(':') {
        Some(("sqlite", path)) => {
            AccountStoreConfig::Sqlite(sqlite_path(reader, "ACCOUNTS_URL", path))
        }
        Some(("postgres" | "postgresql", _)) => {
            let url = Secret::new(text);
            if let Err(error) = crate::store::postgres::check(&url) {
                reader.wrong("ACCOUNTS_URL", error.to_string());
            }
            AccountStoreConfig::Postgres(url)
        }
        _ => {
            reader.wrong(
                "ACCOUNTS_URL",
                "is of no kind that is known; write sqlite:PATH, or \
                 postgres://USER:PASSWORD@HOST:PORT/DATABASE",
            );
            embedded
        }
    }
}

fn hashing(reader: &mut Reader<'_>) -> HashConfig {
    let lanes = number(reader, "PASSWORD_LANES", 1, 255);
    let memory_kib = number(reader, "PASSWORD_MEMORY_KIB", 8, MAX_MEMORY_KIB);
    if memory_kib < 8 * lanes {
        reader.wrong("PASSWORD_MEMORY_KIB", "is less than 8 KiB for each of PASSWORD_LANES");
    }
    let threads = super::bytes(reader.number("PASSWORD_THREADS", 0, 1_024));
    let default = HashConfig::default();
    HashConfig {
        memory_kib,
        passes: number(reader, "PASSWORD_PASSES", 1, 1_000),
        lanes,
        threads: if threads == 0 { default.threads } else { threads },
        queue: super::bytes(reader.number("PASSWORD_QUEUE", 1, 65_536)),
    }
}

fn policy(reader: &mut Reader<'_>) -> PasswordPolicy {
    let percent = reader.number("PASSWORD_MAX_SIMILARITY", 0, 100);
    PasswordPolicy {
        min_length: super::bytes(reader.number("PASSWORD_MIN_LENGTH", 1, 1_024)),
        max_similarity_percent: u8::try_from(percent).unwrap_or(100),
        max_character_frequency: reader.parsed("PASSWORD_MAX_CHAR_FREQUENCY", |text| {
            let number = text.parse::<f64>().ok().filter(|n| (0.0..=1.0).contains(n));
            number.ok_or_else(|| format!("{text:?} is not a number from 0 to 1"))
        }),
    }
}

fn number(reader: &mut Reader<'_>, name: &str, least: u64, most: u64) -> u32 {
    u32::try_from(reader.number(name, least, most)).unwrap_or(u32::MAX)
}
