//! Everything about issuing tokens.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, Method};
use url::Url;

use super::jwks::{NEVER_SENT, holds_credentials};
use super::keys::{NO_SIGNER, lacks_signer};
use super::listeners;
use super::reader::{NO_MEMBERS, Reader};
use super::tokens::{TokenConfig, TokenMode};
use crate::issuer::hook::HookConfig;
use crate::issuer::http::{CorsConfig, InternalConfig, Pages, TrustedProxies, WebConfig};
use crate::issuer::policy::{IssuancePolicy, RefreshPolicy};
use crate::issuer::throttle::ThrottleConfig;
use crate::opaque::CookiePair;
use crate::secret::Secret;
use crate::server::{Address, ListenerConfig};
use crate::store::CHANGE_TIMEOUT;
use crate::telemetry::audit::AuditTarget;
use crate::token::SessionRule;
use crate::token::key::{self, KeyError};

/// The shortest secret that signs requests to the hook, in bytes.
const MIN_SECRET_BYTES: usize = 16;
/// The shortest token of administrators, in bytes: it may be chosen, and is compared as often as
/// anybody likes, so that nobody can lock the administrator out.
pub(crate) const MIN_TOKEN_BYTES: usize = 32;
/// The file in DATA_DIR with the administrator's token of who set none.
const ADMIN_TOKEN_FILE: &str = "admin-token";
/// The audit log's file in DATA_DIR.
const AUDIT_FILE: &str = "audit.jsonl";

/// Settings that a gate alone does not use, and of which an operator would expect something.
const ISSUER_SETTINGS: [&str; 15] = [
    "ISSUER_LISTEN",
    "INTERNAL_LISTEN",
    "GRPC_LISTEN",
    "PUBLIC_URL",
    "ADMIN_TOKEN",
    "REFRESH_POLICY",
    "AUTH_SCOPES",
    "TOKEN_URL",
    "TOKEN_HOOK_URL",
    "MAX_SESSIONS_PER_USER",
    "MAX_SESSIONS_PER_KEY",
    "SESSIONS_SCOPE",
    "OPEN_KEY_REGISTRATION",
    "RATE_LIMIT_PER_MINUTE",
    "CORS_URLS",
];

/// What an issuer needs to know.
#[derive(Debug)]
pub struct IssuanceConfig {
    /// Where tokens are issued.
    pub listen: ListenerConfig,
    /// Where other services and administrators ask.
    pub internal: ListenerConfig,
    /// Where gRPC is served.
    pub grpc: ListenerConfig,
    /// The policy of tokens.
    pub policy: IssuancePolicy,
    /// What is decided about the routes.
    pub web: WebConfig,
    /// The file of a generated administrator's token, where one is needed and none is set.
    pub generated_admin_token: Option<PathBuf>,
    /// The limits.
    pub throttle: ThrottleConfig,
    /// Who checks passwords, where it is not the built-in accounts.
    pub hook: Option<HookConfig>,
    /// Where audit events go.
    pub audit: AuditTarget,
}

/// Reads everything; it is used only where AUTHORIZATION_SERVER is on, and checked in any case.
pub(super) fn read(
    reader: &mut Reader<'_>,
    tokens: &mut TokenConfig,
    data_dir: &Path,
    store_timeout: Duration,
) -> Option<IssuanceConfig> {
    let is_on = reader.boolean("AUTHORIZATION_SERVER");
    let listen = listeners::read(reader, listeners::ISSUER);
    let Names { issuer, public_url } = names(reader, &listen);
    if is_on {
        name_own_issuer(reader, tokens, &issuer);
    }
    let tokens = &*tokens;
    let token_path = reader.parsed("TOKEN_URL", path);
    let internal = listeners::read(reader, listeners::INTERNAL);
    let admin_token = secret(reader, "ADMIN_TOKEN", MIN_TOKEN_BYTES);
    let internal_config = internal_config(reader, &internal, admin_token.is_some());
    let is_made = admin_token.is_none() && internal.has_tcp();
    let generated_admin_token = is_made.then(|| data_dir.join(ADMIN_TOKEN_FILE));
    let grpc = grpc(reader);
    let token_url = format!("{public_url}{token_path}");
    let own_urls = vec![issuer.clone(), public_url.clone(), token_url];
    let policy =
        IssuancePolicy { own_urls, ..issuance_policy(reader, tokens, issuer, store_timeout) };
    let web = WebConfig {
        public_url,
        token_path,
        cookies: CookiePair::parse(&reader.text("TOKEN_COOKIES")).unwrap_or_default(),
        trusted_proxies: trusted_proxies(reader),
        admin_token,
        internal: internal_config,
        disable_external: reader.boolean("DISABLE_EXTERNAL_API"),
        disable_internal: reader.boolean("DISABLE_INTERNAL_API"),
        pages: Pages {
            openapi: page(reader, "OPENAPI_URL"),
            docs: page(reader, "DOCS_URL"),
            redoc: page(reader, "REDOC_URL"),
        },
        cors: cors(reader),
    };
    check_paths(reader, &web);
    let config = IssuanceConfig {
        listen,
        internal,
        grpc,
        policy,
        web,
        generated_admin_token,
        throttle: throttle(reader),
        hook: hook(reader),
        audit: audit(reader, data_dir),
    };
    if is_on {
        check_tokens(reader, tokens);
        if config.policy.refresh_policy != RefreshPolicy::Rotate && !config.policy.grace.is_zero() {
            reader.warn("REFRESH_GRACE_SECONDS", "is not used: REFRESH_POLICY is not `rotate`");
        }
    } else {
        warn_of_unused_settings(reader);
    }
    is_on.then_some(config)
}

/// Settings of an issuer where there is none. Processes may share one environment, so these are no
/// mistakes.
fn warn_of_unused_settings(reader: &mut Reader<'_>) {
    let set = ISSUER_SETTINGS.into_iter().filter(|name| reader.found(name).is_some());
    let set: Vec<_> = set.collect();
    if !set.is_empty() {
        let problem = format!("is not set, so nothing is issued; without use: {}", set.join(", "));
        reader.warn("AUTHORIZATION_SERVER", problem);
    }
}

/// Callers that the internal listener lets through without the administrator's token.
fn internal_config(
    reader: &mut Reader<'_>,
    listen: &ListenerConfig,
    has_token: bool,
) -> InternalConfig {
    let is_local_only = listen.is_loopback();
    let open_registration = reader.boolean("OPEN_KEY_REGISTRATION");
    if !is_local_only && !has_token {
        reader
            .wrong("INTERNAL_LISTEN", "can be reached from other hosts: set ADMIN_TOKEN_FILE too");
    }
    if !is_local_only && open_registration {
        reader.wrong(
            "OPEN_KEY_REGISTRATION",
            "any host that reaches INTERNAL_LISTEN could register keys: it is for loopback alone",
        );
    }
    let is_off = listen.addresses.is_empty();
    if open_registration && (is_off || reader.boolean("DISABLE_INTERNAL_API")) {
        reader.warn(
            "OPEN_KEY_REGISTRATION",
            "has no effect: INTERNAL_LISTEN or DISABLE_INTERNAL_API switches its routes off",
        );
    }
    // A socket that everybody may open guards nothing. What cannot be read is told elsewhere.
    let mode = reader.optional("SOCKET_MODE").and_then(|text| u32::from_str_radix(&text, 8).ok());
    let is_for_everybody = mode.is_none_or(|mode| mode & 0o006 != 0);
    let is_socket = !is_off && !listen.has_tcp();
    let socket_is_guarded = !has_token && is_socket && !is_for_everybody;
    InternalConfig { is_local_only, socket_is_guarded, open_registration }
}

/// How the issuer is called.
struct Names {
    /// What its metadata and its tokens say, to the letter (RFC 8414, section 2).
    issuer: String,
    /// What stands before its paths; no slash at its end.
    public_url: String,
}

/// ISSUER to the letter, else PUBLIC_URL to the letter, else the address where it listens: clients
/// compare it with what tokens say.
fn names(reader: &mut Reader<'_>, listen: &ListenerConfig) -> Names {
    let set = reader.found("ISSUER").and_then(|_| reader.optional("ISSUER"));
    let public = public_url(reader);
    let scheme = if listen.tls.is_some() { "https" } else { "http" };
    let listens = || match listen.addresses.first() {
        Some(Address::Tcp(address)) => format!("{scheme}://{address}"),
        _ => "http://localhost".to_owned(),
    };
    let is_url = |iss: &&String| iss.starts_with("https://") || iss.starts_with("http://");
    let of_issuer = set.as_ref().filter(is_url);
    let cut = |url: &String| url.trim_end_matches('/').to_owned();
    if let (Some(public), Some(issuer)) = (&public, of_issuer)
        && cut(public) != cut(issuer)
    {
        reader.wrong(
            "PUBLIC_URL",
            "disagrees with ISSUER: clients would refuse tokens of another issuer",
        );
    }
    let public_url = public.as_ref().or(of_issuer).map_or_else(listens, cut);
    Names { issuer: set.or(public).unwrap_or_else(listens), public_url }
}

/// The gate beside the issuer accepts what it issues, and whom that is for.
fn name_own_issuer(reader: &Reader<'_>, tokens: &mut TokenConfig, issuer: &str) {
    let Some(own) = tokens.issuers.first_mut() else {
        return;
    };
    let is_checked = own.iss.is_some() || reader.found("PUBLIC_URL").is_some();
    if reader.found("ISSUER").is_none() && is_checked {
        own.iss = Some(issuer.to_owned());
        issuer.clone_into(&mut own.name);
    }
    own.default_audience = Some(issuer.to_owned());
}

/// What must hold of the tokens for anything to be issued, and revoked.
fn check_tokens(reader: &mut Reader<'_>, tokens: &TokenConfig) {
    if tokens.issuers.first().is_some_and(|it| it.sessions == SessionRule::Ignored) {
        reader.wrong(
            "SESSION_RULE",
            "nothing that is issued could be revoked: an issuer needs sessions",
        );
    }
    if lacks_signer(reader, tokens) {
        // The same words at the same place are told once.
        reader.mistakes.add("AUTHORIZATION_SERVER", NO_SIGNER);
    }
}

fn issuance_policy(
    reader: &mut Reader<'_>,
    tokens: &TokenConfig,
    iss: String,
    store_timeout: Duration,
) -> IssuancePolicy {
    let audiences = tokens.issuers.first().map(|issuer| issuer.audiences.clone());
    let audiences = audiences.filter(|list| !list.is_empty()).unwrap_or_else(|| vec![iss.clone()]);
    let access_lifetime = access_lifetime(reader);
    let refresh_policy = reader.parsed("REFRESH_POLICY", RefreshPolicy::parse);
    let minute = Duration::from_secs(60);
    let refresh_window = reader.duration("REFRESH_RESTRICT_MINUTES", minute, 0.0, 525_600.0);
    if refresh_policy == RefreshPolicy::Sliding && refresh_window > access_lifetime {
        let problem = "longer than EXPIRY: a token would end before it may be refreshed again";
        reader.wrong("REFRESH_RESTRICT_MINUTES", problem);
    }
    IssuancePolicy {
        iss,
        audiences,
        access_lifetime,
        refresh_lifetime: reader.seconds("REFRESH_TOKEN_EXPIRY", 1.0, 315_360_000.0),
        key_lifetime: reader.seconds("KEY_EXPIRY", 0.0, 315_360_000.0),
        refresh_policy,
        refresh_window,
        grace: reader.seconds("REFRESH_GRACE_SECONDS", 0.0, 300.0),
        // From when a lease is asked for until the rotation took effect: the lease itself, the
        // renewal of the session, and the rotation, each of which may take as long as a change may.
        lease: store_timeout
            .max(CHANGE_TIMEOUT)
            .saturating_mul(3)
            .saturating_add(Duration::from_secs(1)),
        opaque: tokens.mode == TokenMode::Opaque,
        scopes: scopes(reader),
        max_sessions: super::bytes(reader.number("MAX_SESSIONS_PER_USER", 0, 10_000)),
        max_key_sessions: super::bytes(reader.number("MAX_SESSIONS_PER_KEY", 0, 10_000)),
        sessions_scope: sessions_scope(reader),
        own_urls: Vec::new(),
    }
}

/// EXPIRY in minutes, or JWT_LEASE_TIME in seconds; both, only if they agree.
pub(super) fn access_lifetime(reader: &mut Reader<'_>) -> Duration {
    const MINUTE: Duration = Duration::from_secs(60);
    let by_minutes = reader.duration("EXPIRY", MINUTE, 0.01, 525_600.0);
    if reader.found("JWT_LEASE_TIME").is_none() {
        return by_minutes;
    }
    let by_seconds = reader.seconds("JWT_LEASE_TIME", 1.0, 31_536_000.0);
    match (reader.layer("EXPIRY"), reader.layer("JWT_LEASE_TIME")) {
        (None, _) => by_seconds,
        (Some(minutes), Some(seconds)) if seconds > minutes => by_seconds,
        (Some(minutes), Some(seconds)) if minutes > seconds => by_minutes,
        _ => {
            if by_minutes != by_seconds {
                let problem = "disagrees with EXPIRY: they are minutes and seconds of one thing";
                reader.wrong("JWT_LEASE_TIME", problem);
            }
            by_seconds
        }
    }
}

/// AUTH_SCOPES: tp-auth's JSON object of names and meanings, a JSON list, or names with commas.
fn scopes(reader: &mut Reader<'_>) -> Option<Vec<String>> {
    let text = reader.optional("AUTH_SCOPES")?;
    let scopes = match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(serde_json::Value::Object(scopes)) => scopes.keys().cloned().collect(),
        _ => list(reader, "AUTH_SCOPES"),
    };
    if scopes.is_empty() {
        reader.wrong("AUTH_SCOPES", NO_MEMBERS);
    }
    if let Some(bad) = scopes.iter().find(|scope| !crate::token::is_scope(scope)) {
        reader.wrong("AUTH_SCOPES", format!("{bad:?} is no scope (RFC 6749, section 3.3)"));
    }
    Some(scopes)
}

fn sessions_scope(reader: &mut Reader<'_>) -> Option<String> {
    let scope = reader.optional("SESSIONS_SCOPE")?;
    if !crate::token::is_scope(&scope) {
        reader.wrong("SESSIONS_SCOPE", "is no scope (RFC 6749, section 3.3)");
    }
    Some(scope)
}

/// A JSON list of texts, or texts with commas between them.
fn list(reader: &mut Reader<'_>, name: &str) -> Vec<String> {
    let text = reader.text(name);
    if !text.starts_with(['[', '{']) {
        return reader.list(name);
    }
    serde_json::from_str(&text).unwrap_or_else(|_| {
        reader.wrong(name, "is no JSON list of texts");
        Vec::new()
    })
}

/// PUBLIC_URL, as it is written.
fn public_url(reader: &mut Reader<'_>) -> Option<String> {
    let text = reader.optional("PUBLIC_URL")?;
    let url = Url::parse(&text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.query().is_none()
            && url.fragment().is_none()
            && !holds_credentials(url)
    });
    if url.is_none() {
        reader.wrong("PUBLIC_URL", "is no URL such as https://id.example or https://example/id");
    }
    Some(text)
}

fn path(text: &str) -> Result<String, String> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"/._~-".contains(&b);
    if text.len() > 1 && text.starts_with('/') && text.bytes().all(is_plain) && !text.contains("//")
    {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no path such as /token"))
    }
}

fn page(reader: &mut Reader<'_>, name: &str) -> Option<String> {
    reader.parsed(name, |text| match text {
        "off" => Ok(None),
        text => path(text.trim_end_matches('/')).map(Some),
    })
}

/// A route must not stand where another does.
fn check_paths(reader: &mut Reader<'_>, web: &WebConfig) {
    const TAKEN: [&str; 16] = [
        "/token",
        "/refresh",
        "/revoke",
        "/introspect",
        "/logout",
        "/sessions",
        "/authenticate",
        "/validate",
        "/validate_request",
        "/jwks",
        "/.well-known/jwks.json",
        "/.well-known/oauth-authorization-server",
        "/health",
        "/ready",
        "/api/healthcheck",
        "/validate_request/traefik",
    ];
    let pages = &web.pages;
    let named = [
        ("TOKEN_URL", Some(&web.token_path)),
        ("OPENAPI_URL", pages.openapi.as_ref()),
        ("DOCS_URL", pages.docs.as_ref()),
        ("REDOC_URL", pages.redoc.as_ref()),
    ];
    for (place, (name, path)) in named.iter().enumerate() {
        let Some(path) = path else { continue };
        let is_own = *name == "TOKEN_URL" && path.as_str() == "/token";
        let is_below = path.starts_with("/sessions/")
            || path.starts_with("/.well-known/oauth-authorization-server/")
            || web.pages.docs.as_ref().is_some_and(|docs| path.starts_with(&format!("{docs}/")));
        let is_twice = named[..place].iter().any(|(_, other)| *other == Some(*path));
        if (TAKEN.contains(&path.as_str()) && !is_own) || is_below || is_twice {
            reader.wrong(name, format!("{path} is another route's"));
        }
    }
}

fn secret(reader: &mut Reader<'_>, name: &str, least: usize) -> Option<Secret> {
    let secret = reader.secret(name)?;
    let secret = Secret::new(secret.expose().trim_ascii());
    if secret.expose().len() < least {
        reader.wrong(name, format!("is shorter than {least} bytes"));
    } else if key::is_asymmetric_key(secret.expose()) {
        reader.wrong(name, KeyError::PairAsSecret.to_string());
    }
    Some(secret)
}

fn trusted_proxies(reader: &mut Reader<'_>) -> TrustedProxies {
    // What is wrong with them is told where the gate's are read.
    TrustedProxies(super::listed_networks(reader).unwrap_or_default())
}

fn throttle(reader: &mut Reader<'_>) -> ThrottleConfig {
    let number = |reader: &mut Reader<'_>, name, most| {
        u32::try_from(reader.number(name, 1, most)).unwrap_or(u32::MAX)
    };
    ThrottleConfig {
        enabled: reader.boolean("RATE_LIMITS"),
        per_minute: number(reader, "RATE_LIMIT_PER_MINUTE", 1_000_000),
        lock_tries: number(reader, "LOCK_TRIES", 1_000),
        lock_time: reader.seconds("LOCK_TIME", 1.0, 86_400.0),
    }
}

fn hook(reader: &mut Reader<'_>) -> Option<HookConfig> {
    let secret = secret(reader, "TOKEN_HOOK_SECRET", MIN_SECRET_BYTES);
    let timeout = reader.seconds("TOKEN_HOOK_TIMEOUT", 0.1, 30.0);
    let Some(text) = reader.optional("TOKEN_HOOK_URL") else {
        for name in ["TOKEN_HOOK_SECRET", "TOKEN_HOOK_TIMEOUT"] {
            if reader.found(name).is_some() {
                reader.warn(name, "is not used: there is no TOKEN_HOOK_URL");
            }
        }
        return None;
    };
    let url = Url::parse(&text).ok().filter(|url| url.host().is_some());
    let Some(url) = url else {
        reader.wrong("TOKEN_HOOK_URL", "is no URL such as https://app.example/login");
        return None;
    };
    if holds_credentials(&url) {
        reader.wrong("TOKEN_HOOK_URL", NEVER_SENT);
    }
    if url.scheme() != "https" && !(url.scheme() == "http" && is_this_host(&url)) {
        reader.wrong("TOKEN_HOOK_URL", "carries passwords: https, or http to this host itself");
    }
    let Some(secret) = secret else {
        reader.wrong(
            "TOKEN_HOOK_URL",
            "needs TOKEN_HOOK_SECRET_FILE, which its requests are signed with",
        );
        return None;
    };
    Some(HookConfig { url, secret, timeout })
}

fn is_this_host(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// AUDIT_LOG, or a file in DATA_DIR.
pub(super) fn audit(reader: &Reader<'_>, data_dir: &Path) -> AuditTarget {
    match reader.optional("AUDIT_LOG").as_deref() {
        None => AuditTarget::File(data_dir.join(AUDIT_FILE)),
        Some("off") => AuditTarget::Off,
        Some("stderr") => AuditTarget::Stderr,
        Some(path) => AuditTarget::File(path.into()),
    }
}

fn cors(reader: &mut Reader<'_>) -> Option<CorsConfig> {
    let is_on = reader.boolean("ENABLE_CORS");
    let origins = list(reader, "CORS_URLS");
    let credentials = reader.boolean("CORS_ALLOW_CREDENTIALS");
    if credentials && origins.iter().any(|origin| origin == "*") {
        reader.wrong(
            "CORS_ALLOW_CREDENTIALS",
            "every page could act for its visitors: name the origins",
        );
    }
    for origin in &origins {
        let host = origin.split_once("://").map_or(origin.as_str(), |(_, host)| host);
        let inner = host.strip_prefix("*.").unwrap_or(host);
        if origin != "*" && (inner.is_empty() || inner.contains(['*', '/', ' '])) {
            let problem =
                format!("{origin:?} is no origin such as https://app.example or *.example");
            reader.wrong("CORS_URLS", problem);
        }
    }
    let (mut methods, mut headers) = (Vec::new(), Vec::new());
    for text in list(reader, "CORS_ALLOW_METHODS") {
        match Method::from_bytes(text.to_ascii_uppercase().as_bytes()) {
            Ok(method) => methods.push(method),
            Err(_) => reader.wrong("CORS_ALLOW_METHODS", format!("{text:?} is no method")),
        }
    }
    for text in list(reader, "CORS_ALLOW_HEADERS") {
        match HeaderName::from_bytes(text.as_bytes()) {
            Ok(name) => headers.push(name),
            Err(_) => reader.wrong("CORS_ALLOW_HEADERS", format!("{text:?} is no header")),
        }
    }
    (is_on && !origins.is_empty()).then_some(CorsConfig { origins, credentials, methods, headers })
}

/// Where gRPC is served, and how it is encrypted; outside loopback it has to be.
fn grpc(reader: &mut Reader<'_>) -> ListenerConfig {
    let grpc = listeners::read(reader, listeners::GRPC);
    let is_tried = listeners::GRPC[1..].iter().any(|name| reader.found(name).is_some());
    if !grpc.is_loopback() && !is_tried {
        let problem =
            "can be reached from other hosts: set GRPC_TLS_CERT_FILE and GRPC_TLS_KEY_FILE";
        reader.wrong("GRPC_LISTEN", problem);
    }
    grpc
}
