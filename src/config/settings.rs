//! Every setting: its names, its type, its default and its meaning, in one table.
//!
//! The table is what the environment, the file and the flags are read by, what `--help` prints,
//! and what docs/reference/settings.md is made of. Its rows are in several files: here those of
//! every process, in `issuer` those of one that issues tokens, in `accounts` those of accounts in
//! their owners' hands, in `authnzerver` those of its wire.

mod accounts;
mod authnzerver;
mod issuer;

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, StatusCode};
use url::Url;

pub(super) use super::setting::Setting;
pub use super::setting::{Entry, Kind};
use super::setting::{joined, settings};
use super::texts::{
    MIN_TOKEN_BYTES, algorithm, at_jwt_only, cookie_name, gateway_networks, header, login_url,
    long_secret, long_secrets, mode, parameter, pem, prefix, realm, refusal, stale_if_error,
    user_prefix,
};
use super::tokens::TokenMode;
use super::values::{
    boolean, fraction, list, list_or_off, minutes, optional, path, seconds, secret, text, whole,
};
use crate::gate::authorizer::AuthorizerFormat;
use crate::gate::dpop::ReplayScope;
use crate::gate::open::OpenPaths;
use crate::gate::service::AccessLog;
use crate::opaque::CookiePair;
use crate::secret::Secret;
use crate::session::SessionBinding;
use crate::telemetry::logs::{Format, LogConfig};
use crate::token::{Algorithm, SessionRule};
use crate::wire::networks::Networks;
pub(crate) use accounts::*;
pub(crate) use authnzerver::*;
pub(crate) use issuer::*;

/// The whole table.
pub const SETTINGS: &[&Entry] = &joined::<
    { ROWS.len() + issuer::ROWS.len() + accounts::ROWS.len() + authnzerver::ROWS.len() },
    4,
>([ROWS, issuer::ROWS, accounts::ROWS, authnzerver::ROWS]);

settings! {
    // Keys.
    PUBLIC_KEY: Option<Secret> [Text] = pem, "PEM, or base64 of PEM", "",
        "The key that verifies tokens";
    PRIVATE_KEY: Option<Secret> [Secret] = pem, "PEM, or base64 of PEM", "",
        "The key that signs tokens; the gate itself needs only the public one";
    SECRET_KEY: Option<Secret> [Secret] = secret, "text", "",
        "The shared secret of HS256, HS384 and HS512";
    RSA_PUBLIC_KEY: Option<Secret> [Text] = pem, "PEM", "",
        "jwthenticator's PUBLIC_KEY; also RSA_PUBLIC_KEY_PATH";
    RSA_PRIVATE_KEY: Option<Secret> [Secret] = pem, "PEM", "",
        "jwthenticator's PRIVATE_KEY; also RSA_PRIVATE_KEY_PATH";
    ALGORITHM or JWT_ALGORITHM: Option<Algorithm> = algorithm, "name", "HS256",
        "The algorithm of the key above (RS256 where an RSA_* key is set)";
    KEY_RING_FILE: Option<PathBuf> = optional(path), "path", "",
        "Our own keys, which `key rotate` hands over, in place of the keys above";
    JWKS_FILE: Option<PathBuf> = optional(path), "path", "",
        "Published keys (RFC 7517), in place of the keys above";
    JWKS_URL: Option<String> = optional(text), "URL", "", "The same, fetched over https";
    JWKS_INSECURE_HTTP: bool = boolean, "true or false", "false", "Allow JWKS_URL to be http";
    JWKS_REFRESH: Duration = seconds(1.0, 86_400.0), "seconds", "300",
        "The usual time between two reads of published keys";
    JWKS_COOLDOWN: Duration = seconds(1.0, 86_400.0), "seconds", "30",
        "The least time between two reads, also after a failure";
    JWKS_MAX_AGE: Duration = seconds(1.0, 31_536_000.0), "seconds", "86400",
        "The time for which published keys are used without a new read";
    INTROSPECTION_TIMEOUT: Duration = seconds(0.1, 30.0), "seconds", "2",
        "The longest wait for an issuer that is asked about its tokens (`introspection_url`)";

    // Tokens.
    ISSUER: Option<String> = optional(text), "text", "prismaticain",
        "The `iss` of accepted tokens; set but empty: not checked (the default with RSA_* keys); \
        of an issuer, unset: PUBLIC_URL, else where it listens";
    JWT_AUDIENCE: Vec<String> = list, "comma list", "",
        "Names of this service; `aud` must hold one of them (unset: none, or with a fixed key \
        ISSUER)";
    LEEWAY: Duration = minutes(0.0, 1_440.0), "minutes", "1",
        "The difference of clocks that is allowed, for `exp`, `nbf` and `iat`; tp-auth's default \
        is 10";
    ACCESS_TOKEN_TYPE: bool = at_jwt_only, "any or at+jwt", "any",
        "The `typ` that tokens must have: at+jwt (RFC 9068), or any that names no other kind";
    USER_PREFIX: String = user_prefix, "text", "",
        "A prefix for the users of the issuer above in X-Auth-User and X-Auth-Username";
    MAX_TOKEN_BYTES: usize = whole(256, 1 << 20), "bytes", "8192",
        "Longer tokens are refused unread";
    TOKEN_COOKIE: Option<String> = optional(cookie_name), "name", "",
        "A cookie that may carry the token, beside the bearer header";
    ACCEPT_API_KEYS: bool = boolean, "true or false", "false",
        "Take API keys of the built-in accounts at the gate, in X-Api-Key or as a bearer token";
    ACCEPT_BASIC: bool = boolean, "true or false", "false",
        "Take names and passwords of the built-in accounts at the gate (HTTP Basic), in a process that \
        issues tokens";
    ACCOUNTS_ISSUER: Option<String> = optional(text), "text", "",
        "The issuer whose users the accounts are, where the gate takes their credentials (unset: \
        this service itself)";
    ACCOUNTS_USER_PREFIX: String = user_prefix, "text", "",
        "A prefix for these users, where that issuer is none of those above";
    TOKEN_MODE: TokenMode = TokenMode::parse, "jwt or opaque", "jwt",
        "The tokens that clients get: signed ones, or handles, which the gate then accepts too";
    TOKEN_COOKIES: Option<CookiePair> = CookiePair::parse, "off, host or tp-auth", "off",
        "A pair of cookies for the credential: `__Host-user_id` and `__Host-access_token`, or \
        tp-auth's without `__Host-`";
    UPSTREAM_JWT_HEADER: String = text, "header name", "",
        "A header that hands the app a signed token with every 200 (unset: none)";
    UPSTREAM_JWT_AUDIENCE: Option<String> = optional(text), "text", "",
        "The app that this token is for: it is then signed by our own key, short-lived, with the \
        identity in it (unset: the client's own token)";
    UPSTREAM_JWT_LIFETIME: Duration = seconds(10.0, 3_600.0), "seconds", "300",
        "The life of such a token; at least half of it is left when the app gets it";
    SESSION_RULE: SessionRule = SessionRule::parse,
        "required, when-present or ignored", "when-present",
        "The rule for `sid`: required, checked when present, or ignored";

    // Sessions and their store.
    DB_URL: Option<Secret> [Text] = secret, "URL", "",
        "The store of sessions: sqlite:PATH, redis[s]://, valkey[s]://, dragonfly://, \
        redis+unix:///PATH, redis[s]+sentinel://HOST,HOST,HOST/MASTER, \
        redis[s]+cluster://HOST,HOST, memcached://HOST:PORT,HOST:PORT, memory: (unset: sqlite in \
        DATA_DIR)";
    DB_CA_FILE: Option<PathBuf> = optional(path), "path", "",
        "The CA of servers that are reached by rediss://, in PEM (unset: the system's)";
    LOGIN_REDIS_DB: u32 = whole(0, 65_535), "number", "9",
        "The Redis database of sessions, whatever DB_URL says; on a cluster a part of the keys";
    REFRESH_RESTRICT_DB: u32 = whole(0, 65_535), "number", "8",
        "The Redis database of refresh leases and limits, whatever DB_URL says";
    STORE_TIMEOUT: Duration = seconds(0.001, 60.0), "seconds", "0.15",
        "The longest wait for the store; then it counts as down";
    SESSION_STALENESS: Duration = seconds(0.0, 3_600.0), "seconds", "5",
        "The longest time until a revocation elsewhere is known; 0 asks the store every time";
    SESSION_STORE_DOWN: Option<Duration> = stale_if_error, "deny, or stale-for and seconds", "",
        "The time that sessions are believed while the store is down (unset: SESSION_STALENESS)";
    SESSION_INACTIVITY_TIMEOUT: Duration = seconds(0.0, 31_536_000.0), "seconds", "0",
        "The time after which an unused session ends; 0: never";
    SESSION_BINDING: SessionBinding = SessionBinding::parse,
        "off, user-agent, address, or both with a comma", "off",
        "What a session's tokens are bound to, as its login had it: the gate, refreshes and the routes \
        for users refuse others; the gateway must tell it";

    // Accounts and passwords.
    ACCOUNTS_URL: Option<Secret> [Text] = secret, "URL", "",
        "The database of users, API keys and clients: sqlite:PATH, \
        postgres://USER:PASSWORD@HOST/DATABASE (unset: the SQLite file of DB_URL, else one in \
        DATA_DIR)";
    PASSWORD_MEMORY_KIB: u32 = whole(8, 4 << 20), "KiB", "65536", "The memory of one Argon2id hash";
    PASSWORD_PASSES: u32 = whole(1, 1_000), "number", "3",
        "The passes of a hash through that memory";
    PASSWORD_LANES: u32 = whole(1, 255), "number", "4", "Argon2id's degree of parallelism";
    PASSWORD_THREADS: usize = whole(0, 1_024), "number", "0",
        "The number of passwords hashed at once, each in memory of its own; 0: half of the cores";
    PASSWORD_QUEUE: usize = whole(1, 65_536), "number", "64",
        "The number of passwords that may wait to be hashed; beyond it the answer is 503";
    PASSWORD_MIN_LENGTH: usize = whole(1, 1_024), "characters", "12",
        "The least length of a new password";
    PASSWORD_MAX_SIMILARITY: u8 = whole(0, 100), "percent", "50",
        "The part of a new password that may be like its owner's names; 100: all of it";
    PASSWORD_MAX_CHAR_FREQUENCY: f64 = fraction, "number from 0 to 1", "0.3",
        "The largest part of a new password that one character may make";

    // The process.
    CACHE_BYTES: u64 = whole(1 << 16, 1 << 40), "bytes", "67108864",
        "The room for remembered answers, 2 to 3 KB each";
    DATA_DIR: PathBuf = path, "path", "portcullis-data",
        "The folder for the files of `dev` and of the embedded store";

    // The gate and its listeners.
    LISTEN: Vec<String> = list, "comma list of addresses", "",
        "The addresses of the gate: 127.0.0.1:8080, unix:/run/portcullis.sock (unset: LISTEN_HOST \
        and PORT)";
    LISTEN_HOST: String = text, "IP address", "127.0.0.1", "The address of the gate";
    PORT: u16 = whole(0, 65_535), "number", "8080", "The port of the gate";
    LISTEN_TLS_CERT_FILE: Option<PathBuf> = optional(path), "path", "",
        "The certificate chain of the gate, in PEM: TLS on its TCP addresses; read again when it \
        changes";
    LISTEN_TLS_KEY_FILE: Option<PathBuf> = optional(path), "path", "", "Its private key, in PEM";
    LISTEN_TLS_CLIENT_CA_FILE: Option<PathBuf> = optional(path), "path", "",
        "The CA that clients of the gate must have a certificate of, in PEM (unset: none is asked \
        for)";
    EXT_AUTHZ_LISTEN: Vec<String> = list_or_off, "comma list of addresses, or off", "off",
        "The addresses where Envoy asks by gRPC: 127.0.0.1:9001, unix:/run/ext-authz.sock";
    EXT_AUTHZ_TLS_CERT_FILE: Option<PathBuf> = optional(path), "path", "",
        "The certificate chain of ext_authz, in PEM: TLS on its TCP addresses; read again when it \
        changes";
    EXT_AUTHZ_TLS_KEY_FILE: Option<PathBuf> = optional(path), "path", "",
        "Its private key, in PEM";
    EXT_AUTHZ_TLS_CLIENT_CA_FILE: Option<PathBuf> = optional(path), "path", "",
        "The CA that clients of ext_authz must have a certificate of, in PEM (unset: none is asked \
        for)";
    METRICS_LISTEN: Vec<String> = list_or_off, "comma list of addresses, or off", "127.0.0.1:9090",
        "The addresses of /metrics, /health and /ready";
    METRICS_TLS_CERT_FILE: Option<PathBuf> = optional(path), "path", "",
        "The certificate chain of the metrics, in PEM: TLS on its TCP addresses; read again when \
        it changes";
    METRICS_TLS_KEY_FILE: Option<PathBuf> = optional(path), "path", "", "Its private key, in PEM";
    METRICS_TLS_CLIENT_CA_FILE: Option<PathBuf> = optional(path), "path", "",
        "The CA that clients of the metrics must have a certificate of, in PEM (unset: none is \
        asked for)";
    SOCKET_MODE: u32 = mode, "octal", "660", "The permissions of unix sockets";
    URL_PREFIX: String = prefix, "path", "", "A prefix of every path of the gate";
    OPEN_GATE_PATHS: OpenPaths = OpenPaths::parse, "comma list of paths", "",
        "Paths that the gate answers to anybody, of /, /health, /ready, /jwks and \
        /.well-known/jwks.json; a gateway that asks there by mistake may let everybody in";
    POLICY_FILE: Option<PathBuf> = optional(path), "path", "",
        "The routes and what each demands, in TOML (unset: a good credential for everything)";
    PERMISSIONS_FILE or AUTHNZERVER_PERMISSIONS: Option<PathBuf> = optional(path), "path", "",
        "authnzerver's model of permissions, in JSON, for routes with `permission`, and for /check and \
        /check-limit of the internal listener";
    CASBIN_MODEL: Option<PathBuf> = optional(path), "path", "",
        "Casbin's model, for routes with `casbin` (unset, with CASBIN_STORED_RULES: roles, objects \
        that may end in a star, and denials)";
    CASBIN_POLICY: Option<PathBuf> = optional(path), "path", "",
        "Casbin's policy, in comma-separated lines";
    CASBIN_STORED_RULES: bool = boolean, "true or false", "false",
        "Casbin's rules in the database of accounts count too, and are followed";
    AUTHORIZER_URL: Option<String> = optional(text), "URL", "",
        "An external authorizer, which routes with `authorize` ask";
    AUTHORIZER_FORMAT: AuthorizerFormat = AuthorizerFormat::parse,
        "simple, authzen, opa or oso", "simple", "The form of questions and answers";
    AUTHORIZER_TOKEN: Option<Secret> [Secret] = secret, "text", "",
        "A bearer token or an API key, by which the gate shows the authorizer who it is";
    AUTHORIZER_CA_FILE: Option<PathBuf> = optional(path), "path", "",
        "The CA of its certificate, in PEM (unset: the system's)";
    AUTHORIZER_INSECURE_HTTP: bool = boolean, "true or false", "false",
        "Allow AUTHORIZER_URL to be http";
    AUTHORIZER_TIMEOUT: Duration = seconds(0.01, 30.0), "seconds", "1",
        "The longest wait for its answer";
    AUTHORIZER_CACHE: Option<Duration> = optional(seconds(0.0, 3_600.0)), "seconds", "",
        "The time for which an answer is remembered, at most SESSION_STALENESS (unset: that)";
    GATEWAY_SECRET: Vec<Secret> [Secret] = long_secrets(MIN_TOKEN_BYTES), "comma list of texts", "",
        "Values of X-Portcullis-Gateway by which gateways prove themselves, each of at least 32 bytes";
    GATEWAY_NETWORKS: Networks = gateway_networks, "comma list of networks", "",
        "Networks in which there are gateways alone; once a proof is set, nobody else may ask";
    CLIENT_CERTIFICATE_HEADER: Option<HeaderName> = optional(header), "header name", "",
        "The header in which gateways that proved themselves hand over a client's certificate";
    DPOP_WINDOW: Duration = seconds(1.0, 3_600.0), "seconds", "60",
        "The greatest difference between the time in a DPoP proof and ours, in either direction";
    DPOP_MEMORY: Option<ReplayScope> = optional(ReplayScope::parse), "process or store", "",
        "What remembers DPoP proofs, each of which is good once: each process for itself, or the store \
        (unset: the store where DB_URL names a server, else the process)";
    DPOP_MEMORY_SIZE: usize = whole(1, 100_000_000), "number", "500000",
        "The number of DPoP proofs that a process remembers; beyond it the answer is 503";
    LOGIN_URL: Option<Url> = optional(login_url), "URL", "",
        "The page that a browser without a good credential is redirected to (unset: the denial)";
    RETURN_HOSTS: Vec<String> = list, "comma list of hosts", "",
        "The hosts of pages that it may send browsers back to; .example.org for all below it";
    RETURN_SECRET: Option<Secret> [Secret] = long_secret(MIN_TOKEN_BYTES), "text", "",
        "The secret that signs the way back for the login page, of at least 32 bytes (unset: not signed)";
    ACCEPT_TICKETS: Option<String> = optional(parameter), "name", "",
        "The parameter of the query in which handshakes of web sockets show a ticket; they may also show \
        it in Sec-WebSocket-Protocol (unset: no tickets)";
    ANONYMOUS: bool = boolean, "true or false", "false",
        "Let requests without any credential pass where no more than one is needed, with the role \
        `anonymous` and nobody's name";
    READ_ONLY_ROLES: Vec<String> = list, "comma list of roles", "",
        "Roles whose users may only read (GET, HEAD, OPTIONS), whatever else they have; `demo` is usual";
    IDENTITY_HEADERS: Vec<String> = list, "comma list of Header=claim", "",
        "Headers added to, or in place of, the default identity headers";
    SEND_UNVERIFIED_EMAIL: bool = boolean, "true or false", "false",
        "Send an e-mail also where `email_verified` says that nobody verified it";
    MISSING_CREDENTIALS_STATUS: StatusCode = refusal, "401 or 403", "401",
        "The answer where there are no credentials; jwthenticator's is 403";
    REALM: String = realm, "text", "portcullis", "The realm in WWW-Authenticate";
    MAX_CONNECTIONS: usize = whole(1, 1 << 20), "number", "8192", "Connections at once; more wait";
    MAX_CONNECTIONS_PER_ADDRESS: usize = whole(0, 1 << 20), "number", "0",
        "Connections of one address at once (IPv6: of its /64); more are closed. Unix sockets, \
        TRUSTED_PROXIES and GATEWAY_NETWORKS may have all; 0: a quarter of MAX_CONNECTIONS";
    MAX_HEADERS: usize = whole(1, 65_535), "number", "1024",
        "Header lines of one request; more are answered 431";
    HOT_LOOP: bool = boolean, "true or false", "true",
        "Answer the gate's usual requests over HTTP/1.1 in a loop in front of hyper; false: by hyper alone";
    IDLE_TIMEOUT: Duration = seconds(1.0, 86_400.0), "seconds", "120",
        "The longest time of a connection without a request";
    SHUTDOWN_GRACE: Duration = seconds(0.0, 3_600.0), "seconds", "30",
        "The longest wait for requests under way at a stop";

    // Logs.
    LOG_FORMAT: Format = Format::parse, "text or json", "text", "The form of log lines";
    LOG_LEVEL: String = LogConfig::check_filter, "level or filter", "info",
        "The least level of log lines, or a filter";
    ACCESS_LOG: AccessLog = AccessLog::parse, "off, denied or all", "denied",
        "The answers of the gate that are logged";
}

/// The settings that say where keys are.
pub(super) const KEY_SOURCES: [&Entry; 8] = [
    KEY_RING_FILE.entry,
    PUBLIC_KEY.entry,
    PRIVATE_KEY.entry,
    SECRET_KEY.entry,
    RSA_PUBLIC_KEY.entry,
    RSA_PRIVATE_KEY.entry,
    JWKS_FILE.entry,
    JWKS_URL.entry,
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_name_is_used_twice() {
        let mut seen = HashSet::new();
        for setting in SETTINGS {
            for name in std::iter::once(&setting.name).chain(setting.aliases) {
                assert!(seen.insert(*name), "{name}");
            }
        }
    }

    #[test]
    fn every_default_can_be_read() {
        let unreadable = [
            unreadable_defaults(),
            issuer::unreadable_defaults(),
            accounts::unreadable_defaults(),
            authnzerver::unreadable_defaults(),
        ];
        assert_eq!(unreadable.concat(), [""; 0]);
    }
}
