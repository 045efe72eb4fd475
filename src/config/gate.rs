//! The gate: its addresses, the credentials that it takes, and its answers.

use http::HeaderName;

use super::listeners;
use super::reader::Reader;
use super::settings;
use super::signer::lacks_signer;
use super::tokens::{TokenConfig, TokenMode};
use crate::gate::DenialConfig;
use crate::gate::credential::Cookies;
use crate::gate::identity::IdentityHeaders;
use crate::gate::open::OpenPaths;
use crate::gate::service::AccessLog;
use crate::gate::upstream::UpstreamJwt;
use crate::server::ListenerConfig;
use crate::wire::networks::Networks;

/// The gate's own section.
#[derive(Debug)]
pub struct GateConfig {
    /// The listener.
    pub listen: ListenerConfig,
    /// The prefix of every path.
    pub prefix: String,
    /// The cookies that may carry a credential.
    pub cookies: Cookies,
    /// The claims that go into headers.
    pub identity: IdentityHeaders,
    /// The header in which the application is given a signed token, if it is.
    pub upstream_jwt_header: Option<HeaderName>,
    /// The form of a denial.
    pub denial_config: DenialConfig,
    /// The answers that are logged.
    pub access_log: AccessLog,
    /// The paths that are open to anybody.
    pub open: OpenPaths,
    /// The gateways whose word is taken on who the client is.
    pub gateways: Networks,
}

pub(super) fn read(reader: &mut Reader<'_>) -> GateConfig {
    let identity = identity(reader);
    let header = reader.get(settings::UPSTREAM_JWT_HEADER);
    let header = UpstreamJwt::parse_header(&header, &identity);
    GateConfig {
        listen: listeners::gate(reader),
        prefix: reader.get(settings::URL_PREFIX),
        cookies: cookies(reader),
        upstream_jwt_header: reader.good(settings::UPSTREAM_JWT_HEADER, header).flatten(),
        identity,
        denial_config: DenialConfig {
            missing_credentials: reader.get(settings::MISSING_CREDENTIALS_STATUS),
            realm: reader.get(settings::REALM),
        },
        access_log: reader.get(settings::ACCESS_LOG),
        open: reader.get(settings::OPEN_GATE_PATHS),
        gateways: reader.get(settings::TRUSTED_PROXIES),
    }
}

fn identity(reader: &mut Reader<'_>) -> IdentityHeaders {
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

/// A handle has no token to hand on: one must be signed.
pub(super) fn check_upstream_jwt(reader: &mut Reader<'_>, gate: &GateConfig, tokens: &TokenConfig) {
    let needs_key = gate.upstream_jwt_header.is_some() && tokens.mode == TokenMode::Opaque;
    if needs_key && lacks_signer(reader, tokens) {
        reader.wrong(
            settings::UPSTREAM_JWT_HEADER,
            "with TOKEN_MODE=opaque the gate signs tokens itself: set PRIVATE_KEY, SECRET_KEY or KEY_RING_FILE",
        );
    }
}
