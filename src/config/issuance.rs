//! Everything about issuing tokens.

use std::path::PathBuf;
use std::time::Duration;

use super::audit::{self, AuditConfig};
use super::authnzerver::{self, WireConfig};
use super::hook;
use super::lifetimes::access_lifetime;
use super::listeners;
use super::mail::{self, MailConfig};
use super::reader::Reader;
use super::settings::{self, Entry};
use super::signer::{NO_SIGNER, lacks_signer};
use super::tokens::{TokenConfig, TokenMode};
use super::web;
use crate::issuer::hook::HookConfig;
use crate::issuer::http::WebConfig;
use crate::issuer::policy::{IssuancePolicy, RefreshPolicy};
use crate::issuer::self_service::SelfServiceConfig;
use crate::issuer::throttle::ThrottleConfig;
use crate::server::{Address, ListenerConfig};
use crate::store::CHANGE_TIMEOUT;
use crate::token::SessionRule;

/// The file in DATA_DIR with the administrator's token of who set none.
const ADMIN_TOKEN_FILE: &str = "admin-token";

/// Settings that a gate alone does not use, and of which an operator would expect something.
const ISSUER_SETTINGS: [&Entry; 18] = [
    settings::ISSUER_LISTEN.entry,
    settings::INTERNAL_LISTEN.entry,
    settings::GRPC_LISTEN.entry,
    settings::PUBLIC_URL.entry,
    settings::ADMIN_TOKEN.entry,
    settings::REFRESH_POLICY.entry,
    settings::AUTH_SCOPES.entry,
    settings::TOKEN_URL.entry,
    settings::TOKEN_HOOK_URL.entry,
    settings::MAX_SESSIONS_PER_USER.entry,
    settings::MAX_SESSIONS_PER_KEY.entry,
    settings::SESSIONS_SCOPE.entry,
    settings::OPEN_KEY_REGISTRATION.entry,
    settings::RATE_LIMIT_PER_MINUTE.entry,
    settings::CORS_URLS.entry,
    settings::SIGN_UP.entry,
    settings::SMTP_HOST.entry,
    settings::AUTHNZERVER_LISTEN.entry,
];

/// The issuer's section.
#[derive(Debug)]
pub struct IssuanceConfig {
    /// The listener where tokens are issued.
    pub listen: ListenerConfig,
    /// The listener for other services and administrators.
    pub internal: ListenerConfig,
    /// The listener of gRPC.
    pub grpc: ListenerConfig,
    /// authnzerver's wire, where it is on.
    pub authnzerver: Option<WireConfig>,
    /// The policy of tokens.
    pub policy: IssuancePolicy,
    /// The rules of the routes.
    pub web: WebConfig,
    /// The file of a generated administrator's token, where one is needed and none is set.
    pub generated_admin_token: Option<PathBuf>,
    /// The limits.
    pub throttle: ThrottleConfig,
    /// The hook that checks passwords in place of the built-in accounts.
    pub hook: Option<HookConfig>,
    /// Mails, where any are sent.
    pub mail: Option<MailConfig>,
    /// Self-service.
    pub self_service: SelfServiceConfig,
    /// The audit log.
    pub audit: AuditConfig,
}

/// Reads everything; it is used only where AUTHORIZATION_SERVER is on, and checked in any case.
pub(super) fn read(
    reader: &mut Reader<'_>,
    tokens: &mut TokenConfig,
    store_timeout: Duration,
    gate: &ListenerConfig,
) -> Option<IssuanceConfig> {
    let is_on = reader.get(settings::AUTHORIZATION_SERVER);
    let listen = listeners::read(reader, &listeners::ISSUER);
    let Names { issuer, public_url } = names(reader, &listen);
    if is_on {
        name_own_issuer(reader, tokens, &issuer);
    }
    let internal = listeners::read(reader, &listeners::INTERNAL);
    let web = web::read(reader, public_url, &internal, gate);
    let is_made = internal.has_tcp() && !reader.is_set(settings::ADMIN_TOKEN);
    let generated_admin_token =
        is_made.then(|| reader.get(settings::DATA_DIR).join(ADMIN_TOKEN_FILE));
    let hook = hook::read(reader);
    let mail = mail::read(reader, &web.public_url);
    let self_service = mail::self_service(reader, mail.is_some(), hook.is_some());
    let config = IssuanceConfig {
        listen,
        internal,
        grpc: listeners::grpc(reader),
        authnzerver: authnzerver::read(reader, &web),
        policy: issuance_policy(reader, tokens, issuer, &web, store_timeout),
        web,
        generated_admin_token,
        throttle: ThrottleConfig {
            enabled: reader.get(settings::RATE_LIMITS),
            per_minute: reader.get(settings::RATE_LIMIT_PER_MINUTE),
            lock_tries: reader.get(settings::LOCK_TRIES),
            lock_time: reader.get(settings::LOCK_TIME),
        },
        hook,
        mail,
        self_service,
        audit: audit::read(reader),
    };
    if is_on {
        check_tokens(reader, tokens);
        if config.policy.refresh_policy != RefreshPolicy::Rotate && !config.policy.grace.is_zero() {
            let problem = "is not used: REFRESH_POLICY is not `rotate`";
            reader.warn(settings::REFRESH_GRACE_SECONDS, problem);
        }
    } else {
        warn_of_unused_settings(reader);
    }
    is_on.then_some(config)
}

/// Settings of an issuer where there is none. Processes may share one environment, so these are no
/// mistakes.
fn warn_of_unused_settings(reader: &mut Reader<'_>) {
    let set = ISSUER_SETTINGS.into_iter().filter(|setting| reader.is_set(*setting));
    let set: Vec<_> = set.map(|setting| setting.name).collect();
    if !set.is_empty() {
        let problem = format!("is not set, so nothing is issued; without use: {}", set.join(", "));
        reader.warn(settings::AUTHORIZATION_SERVER, problem);
    }
}

/// The names of the issuer.
struct Names {
    /// The name in its metadata and its tokens, to the letter (RFC 8414, section 2).
    issuer: String,
    /// The URL before its paths; no slash at its end.
    public_url: String,
}

/// ISSUER to the letter, else PUBLIC_URL to the letter, else the address where it listens: clients
/// compare it with what tokens say.
fn names(reader: &mut Reader<'_>, listen: &ListenerConfig) -> Names {
    let set = reader.if_set(settings::ISSUER).flatten();
    let public = reader.get(settings::PUBLIC_URL);
    let listens = || match listen.addresses.first() {
        Some(Address::Tcp(address)) => format!("{}://{address}", listen.scheme()),
        _ => "http://localhost".to_owned(),
    };
    let is_url = |iss: &&String| iss.starts_with("https://") || iss.starts_with("http://");
    let of_issuer = set.as_ref().filter(is_url);
    let cut = |url: &String| url.trim_end_matches('/').to_owned();
    if let (Some(public), Some(issuer)) = (&public, of_issuer)
        && cut(public) != cut(issuer)
    {
        reader.wrong(
            settings::PUBLIC_URL,
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
    let is_checked = own.iss.is_some() || reader.is_set(settings::PUBLIC_URL);
    if !reader.is_set(settings::ISSUER) && is_checked {
        own.iss = Some(issuer.to_owned());
        own.name = issuer.into();
    }
    own.default_audience = Some(issuer.to_owned());
}

/// Checks that tokens can be issued, and revoked.
fn check_tokens(reader: &mut Reader<'_>, tokens: &TokenConfig) {
    if tokens.issuers.first().is_some_and(|it| it.sessions == SessionRule::Ignored) {
        reader.wrong(
            settings::SESSION_RULE,
            "nothing that is issued could be revoked: an issuer needs sessions",
        );
    }
    if lacks_signer(reader, tokens) {
        // The same words at the same place are told once.
        reader.wrong(settings::AUTHORIZATION_SERVER, NO_SIGNER);
    }
}

fn issuance_policy(
    reader: &mut Reader<'_>,
    tokens: &TokenConfig,
    iss: String,
    web: &WebConfig,
    store_timeout: Duration,
) -> IssuancePolicy {
    let audiences = tokens.issuers.first().map(|issuer| issuer.audiences.clone());
    let audiences = audiences.filter(|list| !list.is_empty()).unwrap_or_else(|| vec![iss.clone()]);
    let token_url = format!("{}{}", web.public_url, web.token_path);
    let own_urls = vec![iss.clone(), web.public_url.clone(), token_url];
    let access_lifetime = access_lifetime(reader);
    let refresh_policy = reader.get(settings::REFRESH_POLICY);
    let refresh_window = reader.get(settings::REFRESH_RESTRICT_MINUTES);
    if refresh_policy == RefreshPolicy::Sliding && refresh_window > access_lifetime {
        let problem = "longer than EXPIRY: a token would end before it may be refreshed again";
        reader.wrong(settings::REFRESH_RESTRICT_MINUTES, problem);
    }
    IssuancePolicy {
        iss,
        audiences,
        access_lifetime,
        refresh_lifetime: reader.get(settings::REFRESH_TOKEN_EXPIRY),
        ticket_lifetime: reader.get(settings::TICKET_LIFETIME),
        key_lifetime: reader.get(settings::KEY_EXPIRY),
        refresh_policy,
        refresh_window,
        grace: reader.get(settings::REFRESH_GRACE_SECONDS),
        // From when a lease is asked for until the rotation took effect: the lease itself, the
        // renewal of the session, and the rotation, each of which may take as long as a change may.
        lease: store_timeout
            .max(CHANGE_TIMEOUT)
            .saturating_mul(3)
            .saturating_add(Duration::from_secs(1)),
        opaque: tokens.mode == TokenMode::Opaque,
        scopes: reader.get(settings::AUTH_SCOPES),
        max_sessions: reader.get(settings::MAX_SESSIONS_PER_USER),
        max_key_sessions: reader.get(settings::MAX_SESSIONS_PER_KEY),
        replaces_device_sessions: reader.get(settings::REPLACE_DEVICE_SESSIONS),
        sessions_scope: reader.get(settings::SESSIONS_SCOPE),
        own_urls,
    }
}
