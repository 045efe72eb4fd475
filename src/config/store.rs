//! DB_URL and what goes with it.

use std::fmt;
use std::path::PathBuf;

use super::reader::Reader;
use super::settings::{self, Setting};
use crate::issuer::policy::IssuancePolicy;
use crate::secret::Secret;
use crate::store::memcached::Servers;

/// The file in DATA_DIR that the embedded store keeps.
pub(super) const EMBEDDED_FILE: &str = "portcullis.db";

/// A store of sessions.
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
    /// Its kind and its place, without the credentials of its URL.
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
    /// Says whether sentinels name its server.
    pub(super) fn is_behind_sentinels(&self) -> bool {
        let Self::Redis { url, .. } = self else { return false };
        let scheme = url.expose_str().and_then(|url| url.split_once(':'));
        scheme.is_some_and(|(scheme, _)| scheme.ends_with("+sentinel"))
    }
}

pub(super) fn read(reader: &mut Reader<'_>) -> StoreConfig {
    let database = reader.get(settings::LOGIN_REDIS_DB);
    let limits_database = reader.get(settings::REFRESH_RESTRICT_DB);
    let ca_pem = reader.get(settings::DB_CA_FILE).and_then(|path| {
        let content = std::fs::read(&path);
        let content = content.map_err(|error| format!("cannot read {}: {error}", path.display()));
        reader.good(settings::DB_CA_FILE, content)
    });
    let set = url(reader, settings::DB_URL);
    let text = set.as_ref().and_then(Secret::expose_str).unwrap_or_default();
    if ca_pem.is_some() && !(text.starts_with("rediss") || text.starts_with("valkeys")) {
        let problem = "is for rediss:// and valkeys://: DB_URL encrypts nothing";
        reader.wrong(settings::DB_CA_FILE, problem);
    }
    let Some(url) = &set else {
        return StoreConfig::Sqlite(reader.get(settings::DATA_DIR).join(EMBEDDED_FILE));
    };
    match text.split_once(':') {
        Some(("sqlite", path)) => StoreConfig::Sqlite(sqlite_path(reader, settings::DB_URL, path)),
        Some(("memory", _)) => StoreConfig::Memory,
        Some(("memcached", _)) => {
            let servers = reader.good(settings::DB_URL, Servers::parse(text));
            servers.map_or(StoreConfig::Memory, StoreConfig::Memcached)
        }
        Some((scheme, _)) if is_redis(scheme) => {
            let checked = crate::store::redis::check(url, &options(database, ca_pem.as_ref()));
            reader.good(settings::DB_URL, checked);
            StoreConfig::Redis { url: url.clone(), database, limits_database, ca_pem }
        }
        _ => {
            reader.wrong(
                settings::DB_URL,
                "is of no kind that is known; write sqlite:PATH, redis://HOST:PORT, rediss://, \
                 valkey://, dragonfly://, redis+unix:///PATH, redis+sentinel://HOST,HOST,HOST/MASTER, \
                 redis+cluster://HOST,HOST or memcached://HOST:PORT",
            );
            StoreConfig::Memory
        }
    }
}

/// Refuses limits that need a store which lists what it holds.
pub(super) fn check_lists(reader: &mut Reader<'_>, store: &StoreConfig, policy: &IssuancePolicy) {
    if !matches!(store, StoreConfig::Memcached(_)) {
        return;
    }
    for (setting, most) in [
        (settings::MAX_SESSIONS_PER_USER, policy.max_sessions),
        (settings::MAX_SESSIONS_PER_KEY, policy.max_key_sessions),
    ] {
        if most != 0 {
            reader.wrong(
                setting,
                "cannot be held with a memcached DB_URL, which lists no sessions: set it to 0 \
                 (any number), or keep sessions in Redis or SQLite",
            );
        }
    }
    if policy.replaces_device_sessions {
        let problem = "cannot be done with a memcached DB_URL, which lists no sessions";
        reader.wrong(settings::REPLACE_DEVICE_SESSIONS, problem);
    }
}

/// Warns of issuers that share a store and bear the names of their own addresses, so that each
/// refuses what the other issued.
pub(super) fn warn_of_unnamed_issuer(reader: &mut Reader<'_>, store: &StoreConfig) {
    let is_shared = matches!(store, StoreConfig::Redis { .. } | StoreConfig::Memcached(_));
    if is_shared && !reader.is_set(settings::ISSUER) && !reader.is_set(settings::PUBLIC_URL) {
        reader.warn(
            settings::ISSUER,
            "is not set, nor is PUBLIC_URL: tokens then bear the address of ISSUER_LISTEN, and \
             instances with other addresses refuse them; set the same ISSUER for all",
        );
    }
}

/// Says whether a URL of this scheme is one for `store::redis`, which reads the rest.
fn is_redis(scheme: &str) -> bool {
    let (base, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
    match base {
        "redis" | "rediss" | "valkey" | "valkeys" => true,
        "dragonfly" | "unix" => kind.is_empty(),
        _ => false,
    }
}

/// The URL of a store; as a flag it must not hold a password.
pub(super) fn url(reader: &mut Reader<'_>, setting: Setting<Option<Secret>>) -> Option<Secret> {
    let url = reader.get(setting)?;
    let name = setting.entry.name;
    let flag = format!("--{}", name.to_ascii_lowercase().replace('_', "-"));
    if reader.origin(setting) == flag && url.expose().iter().any(|byte| b"@?".contains(byte)) {
        reader.wrong(
            setting,
            format!(
                "may hold a password, which every user of this host could read from the command \
                 line; use the environment's {name}, or {flag}-file"
            ),
        );
    }
    Some(url)
}

/// The path behind `sqlite:` in a setting.
pub(super) fn sqlite_path(
    reader: &mut Reader<'_>,
    setting: Setting<Option<Secret>>,
    path: &str,
) -> PathBuf {
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.starts_with(':') || path.contains('?') {
        reader.wrong(setting, "names no file; write sqlite:/var/lib/portcullis/portcullis.db");
    }
    path.into()
}
