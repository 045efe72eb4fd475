//! Every setting: its names, its unit, its default and its meaning, in one table.
//!
//! The table is what the environment, the file and the flags are read by, what `--help` prints,
//! and what docs/reference/settings.md is made of.

/// How a setting's value may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// In the environment, in the file, as a flag.
    Plain,
    /// As plain, or in a file of its own, by the setting's name and `_FILE`.
    Text,
    /// As text, but never as a flag: every user of the host can read a command line.
    Secret,
}

/// A setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name in the environment; in lower case, its key in the file; with dashes, its flag.
    pub name: &'static str,
    /// Other names for it in the environment and the file, from the older systems.
    pub aliases: &'static [&'static str],
    /// How its value may be given.
    pub kind: Kind,
    /// What the value is, for people: a unit, or a form.
    pub value: &'static str,
    /// What holds where nothing is set; empty: nothing.
    pub default: &'static str,
    /// What it does, in one line.
    pub help: &'static str,
}

impl Setting {
    /// The setting of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }
}

const fn plain(
    name: &'static str,
    value: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { name, aliases: &[], kind: Kind::Plain, value, default, help }
}

/// The table.
pub const SETTINGS: &[Setting] = &[
    Setting {
        kind: Kind::Text,
        ..plain("PUBLIC_KEY", "PEM, or base64 of PEM", "", "The key that verifies tokens")
    },
    Setting {
        kind: Kind::Secret,
        ..plain(
            "PRIVATE_KEY",
            "PEM, or base64 of PEM",
            "",
            "The key that signs tokens; the gate itself needs only the public one",
        )
    },
    Setting {
        kind: Kind::Secret,
        ..plain("SECRET_KEY", "text", "", "The shared secret of HS256, HS384 and HS512")
    },
    Setting {
        kind: Kind::Text,
        ..plain("RSA_PUBLIC_KEY", "PEM", "", "jwthenticator's PUBLIC_KEY; also RSA_PUBLIC_KEY_PATH")
    },
    Setting {
        kind: Kind::Secret,
        ..plain(
            "RSA_PRIVATE_KEY",
            "PEM",
            "",
            "jwthenticator's PRIVATE_KEY; also RSA_PRIVATE_KEY_PATH",
        )
    },
    Setting {
        aliases: &["JWT_ALGORITHM"],
        ..plain(
            "ALGORITHM",
            "name",
            "HS256",
            "The algorithm of the key above (RS256 where an RSA_* key is set)",
        )
    },
    plain(
        "KEY_RING_FILE",
        "path",
        "",
        "Our own keys, which `key rotate` hands over, in place of the keys above",
    ),
    plain("JWKS_FILE", "path", "", "Published keys (RFC 7517), in place of the keys above"),
    plain("JWKS_URL", "URL", "", "The same, fetched over https"),
    plain("JWKS_INSECURE_HTTP", "true or false", "false", "Allow JWKS_URL to be http"),
    plain("JWKS_REFRESH", "seconds", "300", "How often published keys are read"),
    plain(
        "JWKS_COOLDOWN",
        "seconds",
        "30",
        "The least time between two reads, also after a failure",
    ),
    plain("JWKS_MAX_AGE", "seconds", "86400", "How long published keys may be used unrefreshed"),
    plain(
        "ISSUER",
        "text",
        "prismaticain",
        "The `iss` of accepted tokens; set but empty: not checked (the default with RSA_* keys); of \
         an issuer, unset: PUBLIC_URL, else where it listens",
    ),
    plain(
        "JWT_AUDIENCE",
        "comma list",
        "",
        "Names of this service; `aud` must hold one of them (unset: none, or with a fixed key ISSUER)",
    ),
    plain(
        "LEEWAY",
        "minutes",
        "1",
        "By how much clocks may differ, for `exp`, `nbf` and `iat`; tp-auth's default is 10",
    ),
    plain(
        "ACCESS_TOKEN_TYPE",
        "any or at+jwt",
        "any",
        "What `typ` tokens must have: at+jwt (RFC 9068), or any that names no other kind",
    ),
    plain(
        "USER_PREFIX",
        "text",
        "",
        "What stands before the users of the issuer above in X-Auth-User and X-Auth-Username",
    ),
    plain("MAX_TOKEN_BYTES", "bytes", "8192", "Longer tokens are refused unread"),
    plain(
        "TOKEN_COOKIE",
        "name",
        "",
        "A cookie that may carry the token, beside the bearer header",
    ),
    plain(
        "TOKEN_MODE",
        "jwt or opaque",
        "jwt",
        "What clients are given: signed tokens, or handles, which the gate then accepts too",
    ),
    plain(
        "TOKEN_COOKIES",
        "off, host or tp-auth",
        "off",
        "A pair of cookies for the credential: `__Host-user_id` and `__Host-access_token`, or \
         tp-auth's without `__Host-`",
    ),
    plain(
        "UPSTREAM_JWT_HEADER",
        "header name",
        "",
        "A header that hands the app a signed token with every 200 (unset: none)",
    ),
    plain(
        "SESSION_RULE",
        "required, when-present or ignored",
        "when-present",
        "Whether tokens must carry `sid`, and whether it is looked at",
    ),
    Setting {
        kind: Kind::Text,
        ..plain(
            "DB_URL",
            "URL",
            "",
            "Where sessions are: sqlite:PATH, redis[s]://, valkey[s]://, dragonfly://, \
             redis+unix:///PATH, redis[s]+sentinel://HOST,HOST,HOST/MASTER, \
             redis[s]+cluster://HOST,HOST, memcached://HOST:PORT,HOST:PORT, memory: \
             (unset: sqlite in DATA_DIR)",
        )
    },
    plain(
        "DB_CA_FILE",
        "path",
        "",
        "The CA of servers that are reached by rediss://, in PEM (unset: the system's)",
    ),
    plain(
        "LOGIN_REDIS_DB",
        "number",
        "9",
        "The Redis database of sessions, whatever DB_URL says; on a cluster a part of the keys",
    ),
    plain(
        "REFRESH_RESTRICT_DB",
        "number",
        "8",
        "The Redis database of refresh leases and limits, whatever DB_URL says",
    ),
    plain(
        "STORE_TIMEOUT",
        "seconds",
        "0.15",
        "How long the store may take; then it counts as down",
    ),
    plain(
        "SESSION_STALENESS",
        "seconds",
        "5",
        "How late a revocation elsewhere is learnt of at worst; 0 asks the store every time",
    ),
    plain(
        "SESSION_STORE_DOWN",
        "deny, or stale-for and seconds",
        "",
        "How long what was read is believed while the store is down (unset: SESSION_STALENESS)",
    ),
    plain("SESSION_INACTIVITY_TIMEOUT", "seconds", "0", "How long a session may rest; 0: for ever"),
    Setting {
        kind: Kind::Text,
        ..plain(
            "ACCOUNTS_URL",
            "URL",
            "",
            "Where users, API keys and clients are: sqlite:PATH, postgres://USER:PASSWORD@HOST/DATABASE \
             (unset: the SQLite file of DB_URL, else one in DATA_DIR)",
        )
    },
    plain("PASSWORD_MEMORY_KIB", "KiB", "65536", "The memory of one Argon2id hash"),
    plain("PASSWORD_PASSES", "number", "3", "How often a hash goes through that memory"),
    plain("PASSWORD_LANES", "number", "4", "Argon2id's degree of parallelism"),
    plain(
        "PASSWORD_THREADS",
        "number",
        "0",
        "How many passwords are hashed at once, each in memory of its own; 0: half of the cores",
    ),
    plain(
        "PASSWORD_QUEUE",
        "number",
        "64",
        "How many passwords may wait to be hashed; beyond that the answer is 503",
    ),
    plain("PASSWORD_MIN_LENGTH", "characters", "12", "The least length of a new password"),
    plain(
        "PASSWORD_MAX_SIMILARITY",
        "percent",
        "50",
        "How much of a new password may be like its owner's names; 100: all of it",
    ),
    plain(
        "PASSWORD_MAX_CHAR_FREQUENCY",
        "number from 0 to 1",
        "0.3",
        "Which part of a new password one character may make",
    ),
    plain("CACHE_BYTES", "bytes", "67108864", "The room for remembered answers"),
    plain("DATA_DIR", "path", "portcullis-data", "Where `dev` and the embedded store keep files"),
    plain(
        "LISTEN",
        "comma list of addresses",
        "",
        "Where the gate listens: 127.0.0.1:8080, unix:/run/portcullis.sock (unset: LISTEN_HOST and PORT)",
    ),
    plain("LISTEN_HOST", "IP address", "127.0.0.1", "The address of the gate"),
    plain("PORT", "number", "8080", "The port of the gate"),
    plain(
        "LISTEN_TLS_CERT_FILE",
        "path",
        "",
        "The certificate chain of the gate, in PEM: TLS on its TCP addresses; read again when it changes",
    ),
    plain("LISTEN_TLS_KEY_FILE", "path", "", "Its private key, in PEM"),
    plain(
        "LISTEN_TLS_CLIENT_CA_FILE",
        "path",
        "",
        "The CA that clients of the gate must have a certificate of, in PEM (unset: none is asked for)",
    ),
    plain(
        "METRICS_LISTEN",
        "comma list of addresses, or off",
        "127.0.0.1:9090",
        "Where /metrics, /health and /ready are served",
    ),
    plain(
        "METRICS_TLS_CERT_FILE",
        "path",
        "",
        "The certificate chain of the metrics, in PEM: TLS on its TCP addresses; read again when it changes",
    ),
    plain("METRICS_TLS_KEY_FILE", "path", "", "Its private key, in PEM"),
    plain(
        "METRICS_TLS_CLIENT_CA_FILE",
        "path",
        "",
        "The CA that clients of the metrics must have a certificate of, in PEM (unset: none is asked for)",
    ),
    plain("SOCKET_MODE", "octal", "660", "The permissions of unix sockets"),
    plain("URL_PREFIX", "path", "", "What stands before every path of the gate"),
    plain(
        "OPEN_GATE_PATHS",
        "comma list of paths",
        "",
        "Which of /, /health, /ready, /jwks and /.well-known/jwks.json the gate answers to anybody; a gateway that asks there by mistake may let everybody in",
    ),
    plain(
        "IDENTITY_HEADERS",
        "comma list of Header=claim",
        "",
        "Headers added to, or in place of, the default identity headers",
    ),
    plain(
        "SEND_UNVERIFIED_EMAIL",
        "true or false",
        "false",
        "Send an e-mail also where `email_verified` says that nobody verified it",
    ),
    plain(
        "MISSING_CREDENTIALS_STATUS",
        "401 or 403",
        "401",
        "The answer where there are no credentials; jwthenticator's is 403",
    ),
    plain("REALM", "text", "portcullis", "The realm in WWW-Authenticate"),
    plain("MAX_CONNECTIONS", "number", "8192", "Connections at once; more wait"),
    plain(
        "MAX_CONNECTIONS_PER_ADDRESS",
        "number",
        "0",
        "Connections of one address at once (IPv6: of its /64); more are closed. Unix sockets and \
         TRUSTED_PROXIES may have all; 0: a quarter of MAX_CONNECTIONS",
    ),
    plain("MAX_HEADERS", "number", "1024", "Header lines of one request; more are answered 431"),
    plain("IDLE_TIMEOUT", "seconds", "120", "How long a connection may stay without a request"),
    plain("SHUTDOWN_GRACE", "seconds", "30", "How long a stop waits for requests under way"),
    plain("LOG_FORMAT", "text or json", "text", "How log lines are written"),
    plain("LOG_LEVEL", "level or filter", "info", "Which log lines are written"),
    plain("ACCESS_LOG", "off, denied or all", "denied", "Which answers are logged"),
    plain(
        "AUTHORIZATION_SERVER",
        "true or false",
        "false",
        "Issue tokens too, on listeners of their own; --issuer without a value says the same",
    ),
    plain(
        "ISSUER_LISTEN",
        "comma list of addresses",
        "127.0.0.1:8081",
        "Where tokens are issued; the gateway leads there",
    ),
    plain(
        "ISSUER_TLS_CERT_FILE",
        "path",
        "",
        "The certificate chain of the issuer, in PEM: TLS on its TCP addresses; read again when it changes",
    ),
    plain("ISSUER_TLS_KEY_FILE", "path", "", "Its private key, in PEM"),
    plain(
        "ISSUER_TLS_CLIENT_CA_FILE",
        "path",
        "",
        "The CA that clients of the issuer must have a certificate of, in PEM (unset: none is asked for)",
    ),
    plain(
        "INTERNAL_LISTEN",
        "comma list of addresses, or off",
        "127.0.0.1:8082",
        "Where other services and administrators ask; never behind the gateway",
    ),
    plain(
        "INTERNAL_TLS_CERT_FILE",
        "path",
        "",
        "The certificate chain of the internal listener, in PEM: TLS on its TCP addresses; read again when it changes",
    ),
    plain("INTERNAL_TLS_KEY_FILE", "path", "", "Its private key, in PEM"),
    plain(
        "INTERNAL_TLS_CLIENT_CA_FILE",
        "path",
        "",
        "The CA that clients of the internal listener must have a certificate of, in PEM (unset: none is asked for)",
    ),
    plain(
        "GRPC_LISTEN",
        "comma list of addresses, or off",
        "127.0.0.1:50051",
        "Where gRPC is served",
    ),
    plain(
        "GRPC_TLS_CERT_FILE",
        "path",
        "",
        "The certificate chain of gRPC, in PEM: TLS on its TCP addresses; read again when it changes",
    ),
    plain("GRPC_TLS_KEY_FILE", "path", "", "Its private key, in PEM"),
    Setting {
        aliases: &["GRPC_CLIENT_CA_FILE"],
        ..plain(
            "GRPC_TLS_CLIENT_CA_FILE",
            "path",
            "",
            "The CA that clients of gRPC must have a certificate of, in PEM (unset: none is asked for)",
        )
    },
    plain(
        "PUBLIC_URL",
        "URL",
        "",
        "What stands before the issuer's paths as clients see them (unset: ISSUER where it is a \
         URL, else the first ISSUER_LISTEN)",
    ),
    plain(
        "TRUSTED_PROXIES",
        "comma list of networks, or off",
        "127.0.0.0/8,::1/128",
        "Whose X-Forwarded-For is believed, for limits, sessions and the audit log",
    ),
    Setting {
        kind: Kind::Secret,
        ..plain(
            "ADMIN_TOKEN",
            "text",
            "",
            "The administrator's bearer token, of at least 32 bytes (unset: one is made and kept in \
             admin-token in DATA_DIR; outside loopback INTERNAL_LISTEN needs one that is set)",
        )
    },
    plain("EXPIRY", "minutes", "15", "How long access tokens live; tp-auth's default is 1440"),
    plain("JWT_LEASE_TIME", "seconds", "", "jwthenticator's EXPIRY; its default is 90000"),
    plain(
        "REFRESH_TOKEN_EXPIRY",
        "seconds",
        "604800",
        "How long refresh tokens live; jwthenticator's default is 86400",
    ),
    plain(
        "KEY_EXPIRY",
        "seconds",
        "172800",
        "How long keys live that are registered by /register_key; 0: for ever",
    ),
    plain(
        "REFRESH_POLICY",
        "rotate, sliding or reusable",
        "rotate",
        "Each refresh token works once, or lives on (tp-auth), or works until its end (jwthenticator)",
    ),
    plain(
        "REFRESH_RESTRICT_MINUTES",
        "minutes",
        "2",
        "How long the lease on a used token is kept; sliding: how often at most a refresh takes effect, at most EXPIRY",
    ),
    plain(
        "REFRESH_GRACE_SECONDS",
        "seconds",
        "0",
        "How long a rotation's answer is given again to who lost it; 0: not at all",
    ),
    plain("AUTH_SCOPES", "comma list, or JSON", "", "The scopes that exist (unset: any)"),
    plain("TOKEN_URL", "path", "/token", "The path of the token endpoint"),
    plain("TOKEN_HOOK_URL", "URL", "", "Who checks passwords in place of the built-in accounts"),
    Setting {
        kind: Kind::Secret,
        ..plain("TOKEN_HOOK_SECRET", "text", "", "What requests to the hook are signed with")
    },
    plain("TOKEN_HOOK_TIMEOUT", "seconds", "5", "How long the hook may take"),
    plain(
        "MAX_SESSIONS_PER_USER",
        "number",
        "10",
        "A person's sessions; the least recently seen goes for a newer one; 0: any number, as \
         memcached needs",
    ),
    plain(
        "MAX_SESSIONS_PER_KEY",
        "number",
        "100",
        "The sessions of one API key, and of one client or service that acts for itself; likewise",
    ),
    plain(
        "SESSIONS_SCOPE",
        "scope",
        "",
        "The scope that lets a token list and end other sessions of its user (unset: only logins \
         by password may)",
    ),
    plain("RATE_LIMITS", "true or false", "true", "Whether attempts are limited at all"),
    plain(
        "RATE_LIMIT_PER_MINUTE",
        "number",
        "60",
        "Checks of a secret that one address may ask for in a minute",
    ),
    plain("LOCK_TRIES", "number", "10", "Failures after which an account is refused for a while"),
    plain("LOCK_TIME", "seconds", "900", "For how long"),
    plain(
        "AUDIT_LOG",
        "path, stderr or off",
        "",
        "Where audit events go, a JSON object a line (unset: audit.jsonl in DATA_DIR)",
    ),
    plain(
        "DISABLE_EXTERNAL_API",
        "true or false",
        "false",
        "No /authenticate and no JSON /refresh on the issuer (jwthenticator's)",
    ),
    plain(
        "DISABLE_INTERNAL_API",
        "true or false",
        "false",
        "No /register_key and no /is_key_registered (jwthenticator's)",
    ),
    plain(
        "OPEN_KEY_REGISTRATION",
        "true or false",
        "false",
        "These two without the administrator's token, as jwthenticator's InternalClient asks; on \
         loopback or a unix socket alone",
    ),
    plain("OPENAPI_URL", "path or off", "/openapi.json", "The OpenAPI document"),
    plain("DOCS_URL", "path or off", "/docs", "A page to try the API out in"),
    plain("REDOC_URL", "path or off", "/redoc", "A page about the API to read"),
    plain("ENABLE_CORS", "true or false", "true", "Whether pages of CORS_URLS may call the issuer"),
    plain(
        "CORS_URLS",
        "comma list, or JSON list",
        "",
        "Origins: https://app.example, *.example for all below it, or *",
    ),
    plain(
        "CORS_ALLOW_CREDENTIALS",
        "true or false",
        "false",
        "Whether browsers may send cookies along; not with the origin *",
    ),
    plain("CORS_ALLOW_METHODS", "comma list, or JSON list", "GET,POST,DELETE", "The methods"),
    plain(
        "CORS_ALLOW_HEADERS",
        "comma list, or JSON list",
        "authorization,content-type",
        "The request headers",
    ),
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
}
