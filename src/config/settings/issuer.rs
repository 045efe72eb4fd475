//! The settings of a process that issues tokens.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::config::setting::{Entry, Kind, Setting, settings};
use crate::config::texts::{
    MIN_HOOK_SECRET_BYTES, MIN_TOKEN_BYTES, audit_target, hash_key, hook_url, long_secret,
    networks, page, public_url, route, scope, scopes,
};
use crate::config::values::{
    boolean, json_list, list, list_or_off, minutes, optional, or_off, path, seconds, whole,
};
use crate::issuer::policy::RefreshPolicy;
use crate::secret::Secret;
use crate::telemetry::audit::AuditTarget;
use crate::wire::networks::Networks;

settings! {
// The issuer and its listeners.
AUTHORIZATION_SERVER: bool = boolean, "true or false", "false",
    "Issue tokens too, on listeners of their own; --issuer without a value says the same";
ISSUER_LISTEN: Vec<String> = list, "comma list of addresses", "127.0.0.1:8081",
    "The addresses of the issuer; the gateway forwards to them";
ISSUER_TLS_CERT_FILE: Option<PathBuf> = optional(path), "path", "",
    "The certificate chain of the issuer, in PEM: TLS on its TCP addresses; read again when \
    it changes";
ISSUER_TLS_KEY_FILE: Option<PathBuf> = optional(path), "path", "", "Its private key, in PEM";
ISSUER_TLS_CLIENT_CA_FILE: Option<PathBuf> = optional(path), "path", "",
    "The CA that clients of the issuer must have a certificate of, in PEM (unset: none is \
    asked for)";
INTERNAL_LISTEN: Vec<String> = list_or_off, "comma list of addresses, or off", "127.0.0.1:8082",
    "The addresses for other services and administrators; never behind the gateway";
INTERNAL_TLS_CERT_FILE: Option<PathBuf> = optional(path), "path", "",
    "The certificate chain of the internal listener, in PEM: TLS on its TCP addresses; read \
    again when it changes";
INTERNAL_TLS_KEY_FILE: Option<PathBuf> = optional(path), "path", "", "Its private key, in PEM";
INTERNAL_TLS_CLIENT_CA_FILE: Option<PathBuf> = optional(path), "path", "",
    "The CA that clients of the internal listener must have a certificate of, in PEM (unset: \
    none is asked for)";
GRPC_LISTEN: Vec<String> = list_or_off, "comma list of addresses, or off", "127.0.0.1:50051",
    "The addresses of gRPC";
GRPC_TLS_CERT_FILE: Option<PathBuf> = optional(path), "path", "",
    "The certificate chain of gRPC, in PEM: TLS on its TCP addresses; read again when it \
    changes";
GRPC_TLS_KEY_FILE: Option<PathBuf> = optional(path), "path", "", "Its private key, in PEM";
GRPC_TLS_CLIENT_CA_FILE or GRPC_CLIENT_CA_FILE: Option<PathBuf> = optional(path), "path", "",
    "The CA that clients of gRPC must have a certificate of, in PEM (unset: none is asked for)";
PUBLIC_URL: Option<String> = optional(public_url), "URL", "",
    "The URL before the issuer's paths as clients see them (unset: ISSUER where it is a \
    URL, else the first ISSUER_LISTEN)";
TRUSTED_PROXIES: Networks = networks, "comma list of networks, or off", "127.0.0.0/8,::1/128",
    "Networks whose X-Forwarded-For is believed, for limits, sessions, logs and policies; at the \
    gate also that of gateways that prove themselves";
ADMIN_TOKEN: Option<Secret> [Secret] = long_secret(MIN_TOKEN_BYTES), "text", "",
    "The administrator's bearer token, of at least 32 bytes (unset: one is made and kept in \
    admin-token in DATA_DIR; outside loopback INTERNAL_LISTEN needs one that is set)";

// What is issued.
EXPIRY: Duration = minutes(0.01, 525_600.0), "minutes", "15",
    "The lifetime of access tokens; tp-auth's default is 1440";
JWT_LEASE_TIME: Duration = seconds(1.0, 31_536_000.0), "seconds", "",
    "jwthenticator's EXPIRY; its default is 90000";
REFRESH_TOKEN_EXPIRY: Duration = seconds(1.0, 315_360_000.0), "seconds", "604800",
    "The lifetime of refresh tokens; jwthenticator's default is 86400";
KEY_EXPIRY: Duration = seconds(0.0, 315_360_000.0), "seconds", "172800",
    "The lifetime of keys that are registered by /register_key; 0: no end";
REFRESH_POLICY: RefreshPolicy = RefreshPolicy::parse, "rotate, sliding or reusable", "rotate",
    "Each refresh token works once, or lives on (tp-auth), or works until its end \
    (jwthenticator)";
REFRESH_RESTRICT_MINUTES: Duration = minutes(0.0, 525_600.0), "minutes", "2",
    "The time that the lease on a used token is kept; sliding: the least time between two \
    refreshes that take effect, at most EXPIRY";
REFRESH_GRACE_SECONDS: Duration = seconds(0.0, 300.0), "seconds", "0",
    "The time in which a lost answer of a refresh is given again; 0: not at all";
TICKET_LIFETIME: Duration = seconds(1.0, 300.0), "seconds", "10",
    "The time for which a ticket of POST /ticket opens a web socket, once";
AUTH_SCOPES: Option<Vec<String>> = optional(scopes), "comma list, or JSON", "",
    "The scopes that exist (unset: any)";
TOKEN_URL: String = route, "path", "/token", "The path of the token endpoint";

// Who may log in, and how often.
TOKEN_HOOK_URL: Option<Url> = optional(hook_url), "URL", "",
    "The URL of your code that checks passwords, in place of the built-in accounts";
TOKEN_HOOK_SECRET: Option<Secret> [Secret] = long_secret(MIN_HOOK_SECRET_BYTES), "text", "",
    "The secret that signs requests to the hook";
TOKEN_HOOK_TIMEOUT: Duration = seconds(0.1, 30.0), "seconds", "5",
    "The longest wait for the hook";
MAX_SESSIONS_PER_USER: usize = whole(0, 10_000), "number", "10",
    "A person's sessions; the least recently seen goes for a newer one; 0: any number, as \
    memcached needs";
MAX_SESSIONS_PER_KEY: usize = whole(0, 10_000), "number", "100",
    "The sessions of one API key, and of one client or service that acts for itself; likewise";
REPLACE_DEVICE_SESSIONS: bool = boolean, "true or false", "false",
    "End the session that the same device and client had before, when its user logs in again; \
    not with memcached, which lists none";
SESSIONS_SCOPE: Option<String> = optional(scope), "scope", "",
    "The scope that lets a token list and end other sessions of its user (unset: only logins \
    by password may)";
RATE_LIMITS: bool = boolean, "true or false", "true", "Limit attempts at all";
RATE_LIMIT_PER_MINUTE: u32 = whole(1, 1_000_000), "number", "60",
    "Checks of a secret that one address may ask for in a minute";
LOCK_TRIES or AUTHNZERVER_USERLOCKTRIES: u32 = whole(1, 1_000), "number", "10",
    "Failures after which an account is refused for a while";
LOCK_TIME or AUTHNZERVER_USERLOCKTIME: Duration = seconds(1.0, 86_400.0), "seconds", "900",
    "The time for which it is refused";

// The issuer's routes.
AUDIT_LOG: Option<AuditTarget> = optional(audit_target), "path, stderr or off", "",
    "The target of audit events, a JSON object a line (unset: audit.jsonl in DATA_DIR)";
AUDIT_STORE: bool = boolean, "true or false", "true",
    "Keep audit events in the accounts' database too, where they can be searched";
AUDIT_RETENTION: u32 = whole(0, 36_500), "days", "90",
    "The age at which they are deleted there; 0: never";
AUDIT_HASH_KEY or PIISALT or AUTHNZERVER_PIISALT: Option<Secret> [Secret] = hash_key, "text or none", "",
    "The key of hashes that audit events and the access log have in place of names and addresses, of \
    at least 16 bytes (unset or `none`: the names and addresses)";
DISABLE_EXTERNAL_API: bool = boolean, "true or false", "false",
    "No /authenticate and no JSON /refresh on the issuer (jwthenticator's)";
DISABLE_INTERNAL_API: bool = boolean, "true or false", "false",
    "No /register_key and no /is_key_registered (jwthenticator's)";
OPEN_KEY_REGISTRATION: bool = boolean, "true or false", "false",
    "These two without the administrator's token, as jwthenticator's InternalClient asks; on \
    loopback or a unix socket alone";
OPENAPI_URL: Option<String> = or_off(page), "path or off", "/openapi.json",
    "The OpenAPI document";
DOCS_URL: Option<String> = or_off(page), "path or off", "/docs", "A page to try the API out in";
REDOC_URL: Option<String> = or_off(page), "path or off", "/redoc",
    "A page about the API to read";
ENABLE_CORS: bool = boolean, "true or false", "true",
    "Let pages of CORS_URLS call the issuer";
CORS_URLS: Vec<String> = json_list, "comma list, or JSON list", "",
    "Origins: https://app.example, *.example for all below it, or *";
CORS_ALLOW_CREDENTIALS: bool = boolean, "true or false", "false",
    "Let browsers send cookies along; not with the origin *";
CORS_ALLOW_METHODS: Vec<String> = json_list, "comma list, or JSON list", "GET,POST,PATCH,DELETE",
    "The methods";
CORS_ALLOW_HEADERS: Vec<String> = json_list,
    "comma list, or JSON list", "authorization,content-type", "The request headers";}
