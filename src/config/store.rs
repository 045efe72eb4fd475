//! DB_URL and what goes with it.

use std::fmt;
use std::path::{Path, PathBuf};

use super::reader::Reader;
use crate::issuer::policy::IssuancePolicy;
use crate::secret::Secret;
use crate::store::memcached::Servers;

/// The file in DATA_DIR that the embedded store keeps.
pub(super) const EMBEDDED_FILE: &str = "portcullis.db";

/// Where sessions are.
#[derive(Clone, Debug)]
pub enum StoreConfig {
    /// A file on this host, which several processes may share.
    Sqlite(PathBuf),
    /// Redis or one of its kin.
    Redis {
        /// The URL, with its credentials.
        url: Secret,
        /// The number of the database, whatever the URL says.
        database: u32,
        /// The number of the database of leases and limits.
        limits_database: u32,
        /// The CA of the server.
        ca_pem: Option<Vec<u8>>,
    },
    /// Memcached, which forgets, and lists nothing.
    Memcached(Servers),
    /// This process, until it ends; for tests.
    Memory,
}

impl fmt::Display for StoreConfig {
    /// What it is and where, without the credentials of its URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite {}", path.display()),
            Self::Redis { url, database, limits_database, ca_pem } => {
                let options = options(*database, ca_pem.as_ref());
                let name = crate::store::redis::check(url, &options).unwrap_or_default();
                write!(f, "redis {name}, limits and leases in database {limits_database}")
            }
            Self::Memcached(servers) => write!(f, "memcached {servers}"),
            Self::Memory => f.write_str("memory, until this process ends"),
        }
    }
}

fn options(database: u32, ca_pem: Option<&Vec<u8>>) -> crate::store::redis::Options {
    let usual = crate::store::redis::Options::default();
    crate::store::redis::Options { database, ca_pem: ca_pem.cloned(), ..usual }
}

impl StoreConfig {
    /// Whether sentinels say which server it is.
    pub(super) fn is_behind_sentinels(&self) -> bool {
        let Self::Redis { url, .. } = self else { return false };
        let scheme = url.expose_str().and_then(|url| url.split_once(':'));
        scheme.is_some_and(|(scheme, _)| scheme.ends_with("+sentinel"))
    }
}

pub(super) fn read(reader: &mut Reader<'_>, data_dir: &Path) -> StoreConfig {
    let database = reader.number("LOGIN_REDIS_DB", 0, 65_535);
    let limits_database = reader.number("REFRESH_RESTRICT_DB", 0, 65_535);
    let ca_pem = reader.path("DB_CA_FILE").and_then(|path| match std::fs::read(&path) {
        Ok(pem) => Some(pem),
        Err(error) => {
            reader.wrong("DB_CA_FILE", format!("cannot read {}: {error}", path.display()));
            None
        }
    });
    let url = reader.text("DB_URL");
    let is_encrypted = url.starts_with("rediss") || url.starts_with("valkeys");
    if ca_pem.is_some() && !is_encrypted {
        reader.wrong("DB_CA_FILE", "is for rediss:// and valkeys://: DB_URL encrypts nothing");
    }
    let Some(found) = reader.found("DB_URL") else {
        return StoreConfig::Sqlite(data_dir.join(EMBEDDED_FILE));
    };
    let text = found.text.trim();
    if found.origin == "--db-url" && text.contains(['@', '?']) {
        reader.wrong("DB_URL", may_be_read("DB_URL"));
    }
    match text.split_once(':') {
        Some(("sqlite", path)) => StoreConfig::Sqlite(sqlite_path(reader, "DB_URL", path)),
        Some(("memory", _)) => StoreConfig::Memory,
        Some(("memcached", _)) => memcached(reader, text),
        Some((scheme, _)) if is_redis(scheme) => {
            let url = Secret::new(text.to_owned());
            let database = u32::try_from(database).unwrap_or_default();
            let options = options(database, ca_pem.as_ref());
            if let Err(error) = crate::store::redis::check(&url, &options) {
                reader.wrong("DB_URL", error.to_string());
            }
            let limits_database = u32::try_from(limits_database).unwrap_or_default();
            StoreConfig::Redis { url, database, limits_database, ca_pem }
        }
        _ => {
            reader.wrong(
                "DB_URL",
                "is of no kind that is known; write sqlite:PATH, redis://HOST:PORT, rediss://, \
                 valkey://, dragonfly://, redis+unix:///PATH, redis+sentinel://HOST,HOST,HOST/MASTER, \
                 redis+cluster://HOST,HOST or memcached://HOST:PORT",
            );
            StoreConfig::Memory
        }
    }
}

fn memcached(reader: &mut Reader<'_>, url: &str) -> StoreConfig {
    match Servers::parse(url) {
        Ok(servers) => StoreConfig::Memcached(servers),
        Err(error) => {
            reader.wrong("DB_URL", error.to_string());
            StoreConfig::Memory
        }
    }
}

/// What cannot be done where the store does not list what it holds.
pub(super) fn check_lists(reader: &mut Reader<'_>, store: &StoreConfig, policy: &IssuancePolicy) {
    if !matches!(store, StoreConfig::Memcached(_)) {
        return;
    }
    for (name, most) in [
        ("MAX_SESSIONS_PER_USER", policy.max_sessions),
        ("MAX_SESSIONS_PER_KEY", policy.max_key_sessions),
    ] {
        if most != 0 {
            reader.wrong(
                name,
                "cannot be held with a memcached DB_URL, which lists no sessions: set it to 0 \
                 (any number), or keep sessions in Redis or SQLite",
            );
        }
    }
}

/// Whether a URL of this scheme is one for `store::redis`, which reads the rest.
fn is_redis(scheme: &str) -> bool {
    let (base, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
    match base {
        "redis" | "rediss" | "valkey" | "valkeys" => true,
        "dragonfly" | "unix" => kind.is_empty(),
        _ => false,
    }
}

/// What stands behind `sqlite:` in the setting of that name.
pub(super) fn sqlite_path(reader: &mut Reader<'_>, name: &str, path: &str) -> PathBuf {
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.starts_with(':') || path.contains('?') {
        reader.wrong(name, "names no file; write sqlite:/var/lib/portcullis/portcullis.db");
    }
    path.into()
}

/// The mistake of a URL with a password as a flag.
pub(super) fn may_be_read(name: &str) -> String {
    let flag = name.to_ascii_lowercase().replace('_', "-");
    format!(
        "may hold a password, which every user of this host could read from the command line; \
         use the environment's {name}, or --{flag}-file"
    )
}
