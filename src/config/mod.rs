//! The configuration: file, environment and flags in, typed sections out, or every mistake at once.
//!
//! It imports the types of the domain and never the reverse, so that everything else can be
//! tested and embedded without a single environment variable.

mod accounts;
mod file_permissions;
mod identities;
mod issuance;
mod issuer_conflicts;
mod issuers;
mod jwks;
mod keys;
mod listeners;
mod mistakes;
mod names;
mod reader;
mod ring;
pub mod settings;
mod sources;
mod store;
mod tables;
mod tokens;

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, StatusCode};

pub use accounts::{AccountStoreConfig, AccountsConfig};
pub use issuance::IssuanceConfig;
pub(crate) use issuance::MIN_TOKEN_BYTES;
pub use keys::{DEV_ISSUER_FILE, DEV_KEY_ALGORITHM, DEV_KEY_FILE};
pub use mistakes::Mistakes;
use reader::Reader;
pub use ring::RotationConfig;
pub use sources::Sources;
pub use store::StoreConfig;
pub use tokens::{IssuerConfig, KeysConfig, TokenConfig, TokenMode};

use crate::gate::DenialConfig;
use crate::gate::cached_decision::CacheConfig;
use crate::gate::credential::Cookies;
use crate::gate::identity::IdentityHeaders;
use crate::gate::open::OpenPaths;
use crate::gate::service::AccessLog;
use crate::gate::upstream::UpstreamJwt;
use crate::opaque::CookiePair;
use crate::server::{Limits, ListenerConfig};
use crate::session::SessionPolicy;
use crate::telemetry::audit::AuditTarget;
use crate::telemetry::logs::{Format, LogConfig};
use crate::wire::networks::Networks;

/// Everything that was configured, checked.
#[derive(Debug)]
pub struct Config {
    /// Whose tokens are accepted, and the key that signs.
    pub tokens: TokenConfig,
    /// The longest token that is read, in bytes.
    pub max_token_bytes: usize,
    /// The store of the sessions, and the policy that they are read under.
    pub sessions: SessionConfig,
    /// Where users, API keys and clients are, and what is asked of passwords.
    pub accounts: AccountsConfig,
    /// Limits of the cache of decisions.
    pub cache: CacheConfig,
    /// What the gate answers, and where.
    pub gate: GateConfig,
    /// Where metrics are served.
    pub metrics_listen: ListenerConfig,
    /// What clients may do.
    pub limits: Limits,
    /// How long a stop waits.
    pub shutdown_grace: Duration,
    /// What is logged.
    pub logs: LogConfig,
    /// Where `dev` and the embedded store keep files.
    pub data_dir: PathBuf,
    /// What an issuer needs to know, where this process is one.
    pub issuance: Option<IssuanceConfig>,
    /// What is allowed, but may not be what the operator meant; a line each.
    pub warnings: Vec<String>,
}

/// The sessions' section.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Where they are.
    pub store: StoreConfig,
    /// The folder that may be made for them.
    pub data_dir: PathBuf,
    /// The policy that they are read under.
    pub policy: SessionPolicy,
}

/// The gate's own section.
#[derive(Debug)]
pub struct GateConfig {
    /// Where it listens.
    pub listen: ListenerConfig,
    /// What stands before every path.
    pub prefix: String,
    /// The cookies that may carry a credential.
    pub cookies: Cookies,
    /// Which claim goes into which header.
    pub identity: IdentityHeaders,
    /// The header in which the application is given a signed token, if it is.
    pub upstream_jwt_header: Option<HeaderName>,
    /// How it says no.
    pub denial_config: DenialConfig,
    /// Which answers are logged.
    pub access_log: AccessLog,
    /// The paths that are open to anybody.
    pub open: OpenPaths,
    /// The gateways whose word is taken on who the client is.
    pub gateways: Networks,
}

/// What `dev` has to know before everything is checked, since it makes what is missing.
#[derive(Clone, Debug)]
pub struct BeforeDev {
    /// Where it keeps its files.
    pub data_dir: PathBuf,
    /// Whether no key is configured.
    pub needs_key: bool,
    /// Whether the operator chose a staleness.
    pub has_staleness: bool,
    /// Whether the operator has accounts somewhere.
    pub has_accounts: bool,
}

impl Config {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// All mistakes together.
    pub fn load(sources: &Sources) -> Result<Self, Mistakes> {
        Self::load_all(sources, false)
    }

    /// The same for `dev`, and for commands that may be used beside it: where no key is
    /// configured, the one that `dev` made serves. A server for production never takes it unasked,
    /// since everybody who tried `dev` here could sign with it.
    ///
    /// # Errors
    /// All mistakes together.
    pub fn load_beside_dev(sources: &Sources) -> Result<Self, Mistakes> {
        Self::load_all(sources, true)
    }

    fn load_all(sources: &Sources, with_dev_key: bool) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::default();
        let read = sources.read(&mut mistakes);
        let mut reader = Reader::new(&read, &mut mistakes);
        let mut config = Self::assemble(&mut reader, &read.issuers, with_dev_key);
        config.warnings = mistakes.warnings();
        if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
    }

    /// Reads and checks what commands need that only look after sessions: no key, no address.
    ///
    /// # Errors
    /// All mistakes in these together.
    pub fn load_sessions(sources: &Sources) -> Result<SessionConfig, Mistakes> {
        let mut mistakes = Mistakes::default();
        let read = sources.read(&mut mistakes);
        let (sessions, _) = sessions(&mut Reader::new(&read, &mut mistakes));
        if mistakes.is_empty() { Ok(sessions) } else { Err(mistakes) }
    }

    /// Reads and checks what concerns the rotation of keys, whatever keys there are now.
    ///
    /// # Errors
    /// All mistakes in these together.
    pub fn load_rotation(sources: &Sources) -> Result<RotationConfig, Mistakes> {
        let mut mistakes = Mistakes::default();
        let read = sources.read(&mut mistakes);
        let rotation = RotationConfig::read(&mut Reader::new(&read, &mut mistakes));
        if mistakes.is_empty() { Ok(rotation) } else { Err(mistakes) }
    }

    /// Reads and checks what commands need that look after accounts, and end the sessions of some.
    ///
    /// # Errors
    /// All mistakes in these together.
    pub fn load_accounts(sources: &Sources) -> Result<(AccountsConfig, SessionConfig), Mistakes> {
        let mut mistakes = Mistakes::default();
        let read = sources.read(&mut mistakes);
        let mut reader = Reader::new(&read, &mut mistakes);
        let (sessions, _) = sessions(&mut reader);
        let data_dir = PathBuf::from(reader.text("DATA_DIR"));
        let accounts = accounts::read(&mut reader, &sessions.store, &data_dir);
        if mistakes.is_empty() { Ok((accounts, sessions)) } else { Err(mistakes) }
    }

    /// Where a command tells what it changed, and the folder that may be made for it.
    ///
    /// # Errors
    /// Where the sources cannot be read.
    pub fn load_audit(sources: &Sources) -> Result<(AuditTarget, PathBuf), Mistakes> {
        let mut mistakes = Mistakes::default();
        let read = sources.read(&mut mistakes);
        let reader = Reader::new(&read, &mut mistakes);
        let data_dir = PathBuf::from(reader.text("DATA_DIR"));
        let target = issuance::audit(&reader, &data_dir);
        if mistakes.is_empty() { Ok((target, data_dir)) } else { Err(mistakes) }
    }

    /// What `dev` has to know beforehand. Whatever is wrong with the sources is left for
    /// [`Config::load`] to tell.
    pub fn before_dev(sources: &Sources) -> BeforeDev {
        let mut mistakes = Mistakes::default();
        let read = sources.read(&mut mistakes);
        let has_key = keys::SOURCES.iter().any(|name| read.is_named(name));
        BeforeDev {
            data_dir: Reader::new(&read, &mut mistakes).text("DATA_DIR").into(),
            needs_key: !has_key && read.issuers.is_empty(),
            has_staleness: read.get("SESSION_STALENESS").is_some(),
            has_accounts: read.get("ACCOUNTS_URL").is_some(),
        }
    }

    fn assemble(
        reader: &mut Reader<'_>,
        tables: &[tables::IssuerTable],
        with_dev_key: bool,
    ) -> Self {
        let data_dir = PathBuf::from(reader.text("DATA_DIR"));
        let (sessions, cache) = sessions(reader);
        let accounts = accounts::read(reader, &sessions.store, &data_dir);
        let gate = gate(reader);
        let metrics_listen = listeners::read(reader, listeners::METRICS);
        let mut tokens = keys::read(reader, tables, with_dev_key.then_some(&data_dir));
        check_upstream_jwt(reader, &gate, &tokens);
        let timeout = sessions.policy.timeout;
        let issuance = issuance::read(reader, &mut tokens, &data_dir, timeout);
        if let Some(issuance) = &issuance {
            store::check_lists(reader, &sessions.store, &issuance.policy);
        }
        listeners::check(reader, &gate.listen, &metrics_listen, issuance.as_ref());
        Self {
            issuance,
            warnings: Vec::new(),
            tokens,
            max_token_bytes: bytes(reader.number("MAX_TOKEN_BYTES", 256, 1 << 20)),
            sessions,
            accounts,
            cache,
            gate,
            metrics_listen,
            limits: limits(reader),
            shutdown_grace: reader.seconds("SHUTDOWN_GRACE", 0.0, 3_600.0),
            logs: LogConfig {
                format: reader.parsed("LOG_FORMAT", Format::parse),
                filter: reader.parsed("LOG_LEVEL", LogConfig::check_filter),
            },
            data_dir,
        }
    }
}

fn sessions(reader: &mut Reader<'_>) -> (SessionConfig, CacheConfig) {
    let inactivity = reader.seconds("SESSION_INACTIVITY_TIMEOUT", 0.0, 31_536_000.0);
    let inactivity = (!inactivity.is_zero()).then_some(inactivity);
    let staleness = reader.seconds("SESSION_STALENESS", 0.0, 3_600.0);
    // The store learns that a session is in use when it is read, which a long staleness delays.
    if inactivity.is_some_and(|limit| staleness.saturating_mul(10) > limit) {
        reader.wrong(
            "SESSION_STALENESS",
            "is more than a tenth of SESSION_INACTIVITY_TIMEOUT: sessions in use would seem idle",
        );
    }
    let timeout = reader.seconds("STORE_TIMEOUT", 0.001, 60.0);
    let bytes = reader.number("CACHE_BYTES", 1 << 16, 1 << 40);
    let stale_if_error = reader.parsed("SESSION_STORE_DOWN", stale_if_error).unwrap_or(staleness);
    let suspect_when_down = stale_if_error < staleness;
    let policy = SessionPolicy { inactivity, timeout, records_use: true, suspect_when_down };
    let data_dir = PathBuf::from(reader.text("DATA_DIR"));
    let store = store::read(reader, &data_dir);
    if store.is_behind_sentinels() && staleness < Duration::from_secs(1) {
        reader.wrong(
            "SESSION_STALENESS",
            "is less than a second: so late it may be known behind sentinels that the master is \
             another one",
        );
    }
    // A handle and its session are two questions, and no gateway waits for twice the time.
    let store_timeout = timeout.mul_f64(1.2);
    (
        SessionConfig { store, data_dir, policy },
        CacheConfig { staleness, stale_if_error, store_timeout, bytes },
    )
}

/// How long what was read may be believed while the store is down; `None`: as long as always.
fn stale_if_error(text: &str) -> Result<Option<Duration>, &'static str> {
    const WRONG: &str = "write `deny`, or `stale-for` and a number of seconds up to 86400, as in \
                         `stale-for 60`; unset: for as long as SESSION_STALENESS";
    match text.split_whitespace().collect::<Vec<_>>().as_slice() {
        [] => Ok(None),
        ["deny"] => Ok(Some(Duration::ZERO)),
        ["stale-for", seconds] => {
            let seconds: f64 = seconds.parse().map_err(|_| WRONG)?;
            let fits = (0.0..=86_400.0).contains(&seconds);
            fits.then(|| Some(Duration::from_secs_f64(seconds))).ok_or(WRONG)
        }
        _ => Err(WRONG),
    }
}

fn gate(reader: &mut Reader<'_>) -> GateConfig {
    let missing_credentials = reader.parsed("MISSING_CREDENTIALS_STATUS", |text| match text {
        "401" => Ok(StatusCode::UNAUTHORIZED),
        "403" => Ok(StatusCode::FORBIDDEN),
        _ => Err("write 401 or 403"),
    });
    let identity = reader.list("IDENTITY_HEADERS").join(",");
    let identity = IdentityHeaders::parse(&identity).unwrap_or_else(|problems| {
        for problem in problems {
            reader.wrong("IDENTITY_HEADERS", problem);
        }
        IdentityHeaders::default()
    });
    let identity = identity.sending_unverified(reader.boolean("SEND_UNVERIFIED_EMAIL"));
    GateConfig {
        listen: listeners::gate(reader),
        prefix: reader.parsed("URL_PREFIX", prefix),
        cookies: cookies(reader),
        upstream_jwt_header: reader
            .parsed("UPSTREAM_JWT_HEADER", |text| UpstreamJwt::parse_header(text, &identity)),
        identity,
        denial_config: DenialConfig { missing_credentials, realm: reader.parsed("REALM", realm) },
        access_log: reader.parsed("ACCESS_LOG", AccessLog::parse),
        open: reader.parsed("OPEN_GATE_PATHS", OpenPaths::parse),
        gateways: gateways(reader),
    }
}

/// The cookies that may carry a credential. One of a pair must not also be good by itself.
fn cookies(reader: &mut Reader<'_>) -> Cookies {
    let single = reader.parsed("TOKEN_COOKIE", cookie_name);
    let pair = reader.parsed("TOKEN_COOKIES", CookiePair::parse);
    let of_pair = |name: &String| pair.is_some_and(|p| [p.user, p.token].contains(&name.as_str()));
    if single.as_ref().is_some_and(of_pair) {
        reader.wrong(
            "TOKEN_COOKIE",
            "is one of the pair of TOKEN_COOKIES, which is not good by itself",
        );
    }
    Cookies { single, pair }
}

/// A handle has no token to hand on: one must be signed.
fn check_upstream_jwt(reader: &mut Reader<'_>, gate: &GateConfig, tokens: &TokenConfig) {
    let needs_key = gate.upstream_jwt_header.is_some() && tokens.mode == TokenMode::Opaque;
    if needs_key && keys::lacks_signer(reader, tokens) {
        reader.wrong(
            "UPSTREAM_JWT_HEADER",
            "with TOKEN_MODE=opaque the gate signs tokens itself: set PRIVATE_KEY, SECRET_KEY or KEY_RING_FILE",
        );
    }
}

/// The gateways that are believed.
fn gateways(reader: &mut Reader<'_>) -> Networks {
    listed_networks(reader).unwrap_or_else(|problem| {
        reader.wrong("TRUSTED_PROXIES", problem);
        Networks::default()
    })
}

fn listed_networks(reader: &mut Reader<'_>) -> Result<Networks, String> {
    match reader.text("TRUSTED_PROXIES").as_str() {
        "off" => Ok(Networks::default()),
        _ => Networks::parse(&reader.list("TRUSTED_PROXIES")),
    }
}

fn limits(reader: &mut Reader<'_>) -> Limits {
    let max_connections = bytes(reader.number("MAX_CONNECTIONS", 1, 1 << 20));
    let max_per_address = match bytes(reader.number("MAX_CONNECTIONS_PER_ADDRESS", 0, 1 << 20)) {
        0 => max_connections.div_ceil(4),
        number => number,
    };
    Limits {
        max_connections,
        max_per_address,
        // What is wrong with them is told where the gate's are read.
        gateways: listed_networks(reader).unwrap_or_default(),
        max_headers: bytes(reader.number("MAX_HEADERS", 1, 65_535)),
        idle_timeout: reader.seconds("IDLE_TIMEOUT", 1.0, 86_400.0),
        socket_mode: reader.parsed("SOCKET_MODE", |text| {
            u32::from_str_radix(text, 8)
                .ok()
                .filter(|mode| *mode <= 0o777)
                .ok_or("write permissions in octal, such as 660")
        }),
        ..Limits::default()
    }
}

/// A prefix starts with one slash and does not end with one, so that paths can be set after it.
fn prefix(text: &str) -> Result<String, String> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"/._~-".contains(&b);
    let text = text.trim_end_matches('/');
    if text.is_empty() {
        return Ok(String::new());
    }
    if !text.starts_with('/') || text.contains("//") || !text.bytes().all(is_plain) {
        return Err(format!("{text:?} is not a path such as /auth"));
    }
    Ok(text.to_owned())
}

/// `token` of RFC 9110, section 5.6.2, as RFC 6265 wants it for the name of a cookie.
fn cookie_name(text: &str) -> Result<Option<String>, String> {
    let in_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    match text {
        "" => Ok(None),
        name if name.bytes().all(in_token) => Ok(Some(name.to_owned())),
        name => Err(format!("{name:?} is not the name of a cookie")),
    }
}

/// What fits between the quotes of a challenge.
fn realm(text: &str) -> Result<String, String> {
    let fits = |b: u8| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\';
    if text.bytes().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("write plain text without quotes and backslashes".to_owned())
    }
}

fn bytes(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
