//! The gate: its addresses, the credentials that it takes, and its answers.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::authorizer;
use super::casbin;
use super::issuance::IssuanceConfig;
use super::listeners;
use super::login_page;
use super::policy::{PolicyConfig, PolicyFiles, PolicySource};
use super::reader::Reader;
use super::settings;
use super::signer::lacks_signer;
use super::store::StoreConfig;
use super::tokens::{IssuerConfig, TokenConfig, TokenMode};
use crate::gate::DenialConfig;
use crate::gate::authorizer::AuthorizerConfig;
use crate::gate::browser::LoginPage;
use crate::gate::credential::Cookies;
use crate::gate::dpop::ReplayScope;
use crate::gate::identity::IdentityHeaders;
use crate::gate::open::OpenPaths;
use crate::gate::service::AccessLog;
use crate::gate::upstream::UpstreamJwt;
use crate::policy::ReadOnlyRoles;
use crate::secret::Secret;
use crate::server::ListenerConfig;
use crate::session::SessionBinding;
use crate::token::SigningKey;
use crate::wire::networks::Networks;

/// The way in which DPoP proofs are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DpopConfig {
    /// The greatest difference of the clocks.
    pub window: Duration,
    /// The memory that holds them.
    pub scope: ReplayScope,
    /// The number that a process remembers.
    pub memory_size: usize,
}

/// The gate's own section.
#[derive(Debug)]
pub struct GateConfig {
    /// The listener.
    pub listen: ListenerConfig,
    /// The listener where gateways ask by gRPC.
    pub ext_authz: ListenerConfig,
    /// The prefix of every path.
    pub prefix: String,
    /// The cookies that may carry a credential.
    pub cookies: Cookies,
    /// True where API keys of the accounts are credentials.
    pub accepts_api_keys: bool,
    /// True where names and passwords of the accounts are credentials.
    pub accepts_basic: bool,
    /// The parameter of the query in which tickets are shown, where they are accepted.
    pub ticket_parameter: Option<String>,
    /// True where requests without a credential may pass.
    pub admits_anonymous: bool,
    /// The roles whose users may only read.
    pub read_only: ReadOnlyRoles,
    /// The claims that go into headers.
    pub identity: IdentityHeaders,
    /// The header in which the application is given a signed token, if it is.
    pub upstream_jwt_header: Option<HeaderName>,
    /// The application that this token is made for, and its life, where it is not the client's own.
    pub upstream_audience: Option<(String, Duration)>,
    /// The form of a denial.
    pub denial_config: DenialConfig,
    /// The answers that are logged.
    pub access_log: AccessLog,
    /// The paths that are open to anybody.
    pub open: OpenPaths,
    /// Values of the header by which a gateway proves itself.
    pub gateway_secrets: Vec<Secret>,
    /// Networks in which there are gateways alone.
    pub gateway_networks: Networks,
    /// The header in which gateways hand over a client's certificate, if they do.
    pub client_certificate_header: Option<HeaderName>,
    /// The way in which DPoP proofs are judged.
    pub dpop: DpopConfig,
    /// The routes and the models of permissions, where the operator has any, and their files.
    pub policy: Option<PolicyConfig>,
    /// The external authorizer, if there is one.
    pub authorizer: Option<AuthorizerConfig>,
    /// The page that browsers are led to, where there is one.
    pub login_page: Option<Arc<LoginPage>>,
    /// The gateways whose word is taken on who the client is.
    pub gateways: Networks,
}

pub(super) fn read(
    reader: &mut Reader<'_>,
    store: &StoreConfig,
    staleness: Duration,
) -> GateConfig {
    let identity = identity(reader);
    let header = reader.get(settings::UPSTREAM_JWT_HEADER);
    let header = UpstreamJwt::parse_header(&header, &identity);
    let accepts_basic = reader.get(settings::ACCEPT_BASIC);
    GateConfig {
        listen: listeners::gate(reader),
        ext_authz: listeners::read(reader, &listeners::EXT_AUTHZ),
        prefix: reader.get(settings::URL_PREFIX),
        cookies: cookies(reader),
        accepts_api_keys: reader.get(settings::ACCEPT_API_KEYS),
        accepts_basic,
        ticket_parameter: reader.get(settings::ACCEPT_TICKETS),
        admits_anonymous: reader.get(settings::ANONYMOUS),
        read_only: ReadOnlyRoles::new(reader.get(settings::READ_ONLY_ROLES), identity.roles()),
        upstream_audience: reader
            .get(settings::UPSTREAM_JWT_AUDIENCE)
            .map(|audience| (audience, reader.get(settings::UPSTREAM_JWT_LIFETIME))),
        gateway_secrets: reader.get(settings::GATEWAY_SECRET),
        gateway_networks: reader.get(settings::GATEWAY_NETWORKS),
        client_certificate_header: reader.get(settings::CLIENT_CERTIFICATE_HEADER),
        dpop: dpop(reader, store),
        policy: policy(reader, &identity),
        authorizer: authorizer::read(reader, staleness),
        login_page: login_page::read(reader),
        upstream_jwt_header: reader.good(settings::UPSTREAM_JWT_HEADER, header).flatten(),
        identity,
        denial_config: DenialConfig {
            missing_credentials: reader.get(settings::MISSING_CREDENTIALS_STATUS),
            realm: reader.get(settings::REALM),
            accepts_basic,
        },
        access_log: reader.get(settings::ACCESS_LOG),
        open: reader.get(settings::OPEN_GATE_PATHS),
        gateways: reader.get(settings::TRUSTED_PROXIES),
    }
}

/// The judgement of DPoP proofs. Where many instances may share a store, it remembers them, unless the
/// operator says otherwise.
fn dpop(reader: &mut Reader<'_>, store: &StoreConfig) -> DpopConfig {
    let is_shared = matches!(store, StoreConfig::Redis { .. } | StoreConfig::Memcached(_));
    let scope = reader.get(settings::DPOP_MEMORY);
    if is_shared && scope == Some(ReplayScope::Process) {
        let problem = "each instance takes a proof once, so several take it several times";
        reader.warn(settings::DPOP_MEMORY, problem);
    }
    let by_store = if is_shared { ReplayScope::Store } else { ReplayScope::Process };
    DpopConfig {
        window: reader.get(settings::DPOP_WINDOW),
        scope: scope.unwrap_or(by_store),
        memory_size: reader.get(settings::DPOP_MEMORY_SIZE),
    }
}

/// The policy, if there is one; every mistake in its files is one of the configuration.
pub(super) fn policy(reader: &mut Reader<'_>, identity: &IdentityHeaders) -> Option<PolicyConfig> {
    let files = PolicyFiles {
        routes: reader.get(settings::POLICY_FILE),
        permissions: reader.get(settings::PERMISSIONS_FILE),
        casbin: casbin::files(reader),
    };
    if files.all().next().is_none() && files.casbin.is_none() {
        return None;
    }
    // One that cannot be read is a mistake already.
    let has_authorizer = reader.is_named(settings::AUTHORIZER_URL);
    let source = PolicySource::new(files, identity.roles()).with_authorizer(has_authorizer);
    let seen = source.versions();
    let read = source.read();
    let (set, found) = read.map_or_else(|found| (None, found), |(it, found)| (Some(it), found));
    reader.mistakes.extend(found);
    Some(PolicyConfig { source, seen, set: set? })
}

/// Checks that gateways prove themselves where they tell of clients' certificates: nobody else is believed.
pub(super) fn check_client_certificate(reader: &mut Reader<'_>, gate: &GateConfig) {
    let is_proven = has_proof(gate) || !gate.listen.has_tcp();
    if gate.client_certificate_header.is_some() && !is_proven {
        let problem = "is believed of gateways that prove themselves: set GATEWAY_SECRET, \
                       GATEWAY_NETWORKS or LISTEN_TLS_CLIENT_CA_FILE, or listen on a unix socket alone";
        reader.wrong(settings::CLIENT_CERTIFICATE_HEADER, problem);
    }
}

/// Returns whether gateways have to prove themselves.
fn has_proof(gate: &GateConfig) -> bool {
    gate.listen.asks_for_certificates()
        || !gate.gateway_secrets.is_empty()
        || !gate.gateway_networks.is_empty()
}

/// Warns where anybody who can connect may say which request he asks about.
pub(super) fn warn_of_unproven_gateways(reader: &mut Reader<'_>, gate: &GateConfig) {
    let has_routes = gate.policy.as_ref().is_some_and(|policy| policy.set.policy.is_some());
    for listener in unproven_listeners(gate).filter(|_| has_routes) {
        let problem = format!(
            "whoever reaches {listener} can say which request he asks about, and so choose the route: \
             set GATEWAY_SECRET, GATEWAY_NETWORKS or a CA of its clients, or listen on a unix socket"
        );
        reader.warn(settings::POLICY_FILE, problem);
    }
}

/// Warns where nothing says which requests need a user, and all without a credential pass.
pub(super) fn warn_of_anonymous(reader: &mut Reader<'_>, gate: &GateConfig) {
    let has_routes = gate.policy.as_ref().is_some_and(|policy| policy.set.policy.is_some());
    if gate.admits_anonymous && !has_routes {
        let problem = "every request without a credential passes, but where the gateway's address \
                       demands a scope: name in POLICY_FILE what needs a user";
        reader.warn(settings::ANONYMOUS, problem);
    }
}

/// Warns where nothing of a client can be known that sessions are bound to, so that all are refused.
pub(super) fn warn_of_binding(reader: &mut Reader<'_>, gate: &GateConfig, binding: SessionBinding) {
    let needs_client = binding.address && gate.gateways.are_loopback();
    for listener in unproven_listeners(gate).filter(|_| needs_client) {
        let problem = format!(
            "no gateway that asks at {listener} from another host is believed who the client is, so \
             all sessions are refused there: set TRUSTED_PROXIES, or a proof as GATEWAY_SECRET"
        );
        reader.warn(settings::SESSION_BINDING, problem);
    }
}

/// Warns where no gateway on another host is believed who the client is, so that the tries of all its
/// clients are counted as those of one.
pub(super) fn warn_of_unknown_clients(reader: &mut Reader<'_>, gate: &GateConfig) {
    let is_limited = gate.accepts_basic && gate.gateways.are_loopback();
    for listener in unproven_listeners(gate).filter(|_| is_limited) {
        let problem = format!(
            "all clients of a gateway that asks at {listener} from another host share one limit of \
             tries: set TRUSTED_PROXIES, or a proof of the gateway as GATEWAY_SECRET"
        );
        reader.warn(settings::ACCEPT_BASIC, problem);
    }
}

/// The settings of the listeners where somebody on another host may ask without a proof.
fn unproven_listeners(gate: &GateConfig) -> impl Iterator<Item = &'static str> + use<> {
    let listeners = [
        (settings::LISTEN.entry, &gate.listen),
        (settings::EXT_AUTHZ_LISTEN.entry, &gate.ext_authz),
    ];
    let is_open =
        |at: &ListenerConfig| !has_proof(gate) && !at.asks_for_certificates() && !at.is_loopback();
    let open = listeners.map(|(setting, at)| is_open(at).then_some(setting.name));
    open.into_iter().flatten()
}

/// Warns where a route asks for an issuer whose tokens nobody accepts here.
pub(super) fn warn_of_unknown_issuers(
    reader: &mut Reader<'_>,
    gate: &GateConfig,
    tokens: &TokenConfig,
) {
    let signing = tokens.issuers.iter().map(|issuer| issuer.iss.as_deref());
    let introspected = tokens.introspected.iter().map(|issuer| issuer.iss.as_deref());
    let accepted: Vec<_> = signing.chain(introspected).collect();
    if accepted.contains(&None) {
        return;
    }
    let policy = gate.policy.as_ref().and_then(|policy| policy.set.policy.as_ref());
    for issuer in policy.iter().flat_map(|policy| policy.named_issuers()) {
        if !accepted.contains(&Some(issuer)) {
            let problem =
                format!("a route asks for the issuer {issuer:?}, whose tokens are refused");
            reader.warn(settings::POLICY_FILE, problem);
        }
    }
}

/// The claims that go into headers; those of a user's roles are among them.
pub(super) fn identity(reader: &mut Reader<'_>) -> IdentityHeaders {
    let listed = reader.get(settings::IDENTITY_HEADERS).join(",");
    let identity = IdentityHeaders::parse(&listed).unwrap_or_else(|problems| {
        for problem in problems {
            reader.wrong(settings::IDENTITY_HEADERS, problem);
        }
        IdentityHeaders::default()
    });
    identity.sending_unverified(reader.get(settings::SEND_UNVERIFIED_EMAIL))
}

/// The cookies that may carry a credential. One of a pair must not also be good by itself.
fn cookies(reader: &mut Reader<'_>) -> Cookies {
    let single = reader.get(settings::TOKEN_COOKIE);
    let pair = reader.get(settings::TOKEN_COOKIES);
    let of_pair = |name: &String| pair.is_some_and(|p| [p.user, p.token].contains(&name.as_str()));
    if single.as_ref().is_some_and(of_pair) {
        reader.wrong(
            settings::TOKEN_COOKIE,
            "is one of the pair of TOKEN_COOKIES, which is not good by itself",
        );
    }
    Cookies { single, pair }
}

/// Passwords are checked where tokens are issued: the limits on guessing, the threads that hash and
/// the audit log are there.
pub(super) fn check_basic(
    reader: &mut Reader<'_>,
    gate: &GateConfig,
    issuance: Option<&IssuanceConfig>,
) {
    let problem = match issuance {
        _ if !gate.accepts_basic => return,
        Some(IssuanceConfig { hook: None, .. }) => return,
        Some(_) => "TOKEN_HOOK_URL checks the passwords, and the accounts have none",
        None => "passwords are checked where tokens are issued: set AUTHORIZATION_SERVER=true",
    };
    reader.wrong(settings::ACCEPT_BASIC, problem);
}

/// A handle has no token to hand on, and a token for an audience is our own: one must be signed.
pub(super) fn check_upstream_jwt(reader: &mut Reader<'_>, gate: &GateConfig, tokens: &TokenConfig) {
    let has_header = gate.upstream_jwt_header.is_some();
    if has_header && tokens.mode == TokenMode::Opaque && lacks_signer(reader, tokens) {
        reader.wrong(
            settings::UPSTREAM_JWT_HEADER,
            "with TOKEN_MODE=opaque the gate signs tokens itself: set PRIVATE_KEY, SECRET_KEY or KEY_RING_FILE",
        );
    }
    let Some((audience, _)) = &gate.upstream_audience else { return };
    let is_secret = |key: &SigningKey| key.verifying().public().is_none();
    let is_accepted = |issuer: &IssuerConfig| {
        issuer.audiences.iter().chain(&issuer.default_audience).any(|own| own == audience)
    };
    let problem = if !has_header {
        "needs UPSTREAM_JWT_HEADER, the header that it is sent in"
    } else if lacks_signer(reader, tokens) {
        "the gate signs these tokens itself: set PRIVATE_KEY or KEY_RING_FILE"
    } else if tokens.signing.as_ref().is_some_and(is_secret) {
        "an app that checks by SECRET_KEY could make tokens too: sign with PRIVATE_KEY or KEY_RING_FILE"
    } else if tokens.issuers.iter().any(is_accepted) {
        "is a name of this service, so the app could use the token here: choose another"
    } else if let Some((header, claim)) = gate.identity.clash() {
        let problem = format!("{header} would be the claim {claim:?}, which says another thing");
        return reader.wrong(settings::IDENTITY_HEADERS, problem);
    } else {
        return;
    };
    reader.wrong(settings::UPSTREAM_JWT_AUDIENCE, problem);
}
