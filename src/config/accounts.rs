//! ACCOUNTS_URL, and the rules of passwords.

use std::fmt;
use std::path::PathBuf;

use super::reader::Reader;
use super::settings;
use super::store::{EMBEDDED_FILE, StoreConfig, sqlite_path, url};
use crate::account::password::HashConfig;
use crate::account::policy::PasswordPolicy;
use crate::secret::Secret;

/// The accounts' section.
#[derive(Clone, Debug)]
pub struct AccountsConfig {
    /// The store.
    pub store: AccountStoreConfig,
    /// The folder that may be made for them.
    pub data_dir: PathBuf,
    /// The cost of a password's hash.
    pub hashing: HashConfig,
    /// The rules of new passwords.
    pub policy: PasswordPolicy,
}

/// A store of accounts.
#[derive(Clone, Debug)]
pub enum AccountStoreConfig {
    /// A file on this host, which several processes, and the sessions, may share.
    Sqlite(PathBuf),
    /// A PostgreSQL database; its URL, with its credentials.
    Postgres(Secret),
}

impl fmt::Display for AccountStoreConfig {
    /// Its kind and its place, without the credentials of its URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite {}", path.display()),
            Self::Postgres(url) => {
                f.write_str(&crate::store::postgres::check(url).unwrap_or_default())
            }
        }
    }
}

pub(super) fn read(reader: &mut Reader<'_>, sessions: &StoreConfig) -> AccountsConfig {
    AccountsConfig {
        store: store(reader, sessions),
        data_dir: reader.get(settings::DATA_DIR),
        hashing: hashing(reader),
        policy: PasswordPolicy {
            min_length: reader.get(settings::PASSWORD_MIN_LENGTH),
            max_similarity_percent: reader.get(settings::PASSWORD_MAX_SIMILARITY),
            max_character_frequency: reader.get(settings::PASSWORD_MAX_CHAR_FREQUENCY),
        },
    }
}

fn store(reader: &mut Reader<'_>, sessions: &StoreConfig) -> AccountStoreConfig {
    let embedded = AccountStoreConfig::Sqlite(match sessions {
        StoreConfig::Sqlite(path) => path.clone(),
        StoreConfig::Redis { .. } | StoreConfig::Memcached(_) | StoreConfig::Memory => {
            reader.get(settings::DATA_DIR).join(EMBEDDED_FILE)
        }
    });
    let Some(url) = url(reader, settings::ACCOUNTS_URL) else {
        return embedded;
    };
    match url.expose_str().unwrap_or_default().split_once(':') {
        Some(("sqlite", path)) => {
            AccountStoreConfig::Sqlite(sqlite_path(reader, settings::ACCOUNTS_URL, path))
        }
        Some(("postgres" | "postgresql", _)) => {
            reader.good(settings::ACCOUNTS_URL, crate::store::postgres::check(&url));
            AccountStoreConfig::Postgres(url)
        }
        _ => {
            reader.wrong(
                settings::ACCOUNTS_URL,
                "is of no kind that is known; write sqlite:PATH, or \
                 postgres://USER:PASSWORD@HOST:PORT/DATABASE",
            );
            embedded
        }
    }
}

fn hashing(reader: &mut Reader<'_>) -> HashConfig {
    let lanes = reader.get(settings::PASSWORD_LANES);
    let memory_kib = reader.get(settings::PASSWORD_MEMORY_KIB);
    if memory_kib < 8 * lanes {
        let problem = "is less than 8 KiB for each of PASSWORD_LANES";
        reader.wrong(settings::PASSWORD_MEMORY_KIB, problem);
    }
    let threads = reader.get(settings::PASSWORD_THREADS);
    HashConfig {
        memory_kib,
        passes: reader.get(settings::PASSWORD_PASSES),
        lanes,
        threads: if threads == 0 { HashConfig::default().threads } else { threads },
        queue: reader.get(settings::PASSWORD_QUEUE),
    }
}
