//! The findings of each step about a credential, in words; never a part of it.

use std::net::IpAddr;
use std::time::Duration;

use crate::account::KeyBounds;
use crate::clock::Clock;
use crate::gate::api_key::is_key_refresh_token;
use crate::gate::basic::BasicCredentials;
use crate::gate::cached_decision::{CredentialKind, session_of};
use crate::gate::credential::{CredentialSource, Found};
use crate::gate::denial::{Denial, DenialCode};
use crate::gate::handle::is_handle;
use crate::gate::inquiry::Inquiry;
use crate::gate::{Gate, dpop};
use crate::session::{NotLive, Session};
use crate::token::{Confirmation, TokenError, Verified, algorithm};

/// The time from which on a credential has no end that anybody should read.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

pub(super) fn credential_found(kind: CredentialKind, found: &Found<'_>) -> String {
    let what = match kind {
        _ if found.source == CredentialSource::Handshake => "a ticket",
        CredentialKind::Jwt => "a token",
        CredentialKind::Handle => "a handle",
        CredentialKind::ApiKey => "an API key",
        CredentialKind::Password => "a name and a password",
        CredentialKind::Introspected(_) => "an opaque token",
    };
    let source = match found.source {
        CredentialSource::Bearer | CredentialSource::Dpop | CredentialSource::Basic => {
            "the Authorization header"
        }
        CredentialSource::ApiKeyHeader => "the X-Api-Key header",
        CredentialSource::Cookie => "a cookie",
        CredentialSource::Handshake => "a handshake of a web socket",
        CredentialSource::Pair { .. } => "one of a pair of cookies",
    };
    format!("{what} of {} bytes in {source}", found.credential.len())
}

/// The claims of the credential, where it is good by itself, and the bounds of an API key; else the
/// reason why not.
pub(super) async fn verify(
    gate: &Gate,
    kind: CredentialKind,
    credential: &str,
    client: Option<IpAddr>,
) -> Result<(Verified, KeyBounds), String> {
    let verifier = gate.decisions.verifier();
    if let (CredentialKind::Password, Some(basic)) = (kind, gate.decisions.basic()) {
        let shown = BasicCredentials::parse(credential).map_err(DenialCode::description)?;
        return unbound(basic.verify(&shown, client).await.map(|(verified, _)| verified));
    }
    if let (CredentialKind::ApiKey, Some(keys)) = (kind, gate.decisions.api_keys()) {
        return keys.verify(credential, false).await.map_err(|error| error.to_string());
    }
    let issuers = gate.decisions.introspection();
    if let (CredentialKind::Introspected(issuer), Some(issuers)) = (kind, issuers) {
        return unbound(issuers.verify(issuer, credential, false).await);
    }
    if let (CredentialKind::Handle, Some(handles)) = (kind, gate.decisions.handles()) {
        let found = handles.verify(credential, false, verifier).await;
        return unbound(found.map(|(verified, _)| verified));
    }
    let verified = verifier.verify(credential);
    unbound(verified.map_err(|error| token_refused(gate, credential, error)))
}

/// The findings about credentials that have no bounds of their own.
pub(super) fn unbound<E: ToString>(
    found: Result<Verified, E>,
) -> Result<(Verified, KeyBounds), String> {
    found.map(|verified| (verified, KeyBounds::default())).map_err(|error| error.to_string())
}

/// The bounds of an API key, and those that the request does not meet.
pub(super) fn bounds_found(bounds: &KeyBounds, met: Result<(), Denial>) -> Result<String, String> {
    let address = bounds.address.map(|range| range.to_string());
    let all = [
        ("issuer", bounds.issuer.as_deref()),
        ("audience", bounds.audience.as_deref()),
        ("subject", bounds.subject.as_deref()),
        ("address", address.as_deref()),
    ];
    let named = all.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?)));
    let named: Vec<_> = named.collect();
    let bound = match named.as_slice() {
        [] => "the key is bound to nothing that a request says".to_owned(),
        named => format!("the key is bound to {}", named.join(", ")),
    };
    let unmet = |denial: Denial| match denial.refusal {
        Some(refusal) => format!("{bound}; {refusal} ({})", refusal.code()),
        None => format!("{bound}; {}", denial.code.description()),
    };
    met.map_err(unmet).map(|()| bound.clone())
}

pub(super) fn cookies_found(
    source: &CredentialSource<'_>,
    verified: &Verified,
) -> Result<String, String> {
    match source.check(&verified.subject) {
        Ok(()) => Ok("the other cookie names the same user".to_owned()),
        Err(code) => Err(code.description().to_owned()),
    }
}

/// What the sender proved, where the token is bound to one.
pub(super) fn possession_found(
    token: &Verified,
    shown: Result<(), String>,
) -> Result<String, String> {
    let finding = match Confirmation::of(&token.claims) {
        Ok(demanded) if demanded.is_empty() => "the token is not bound to its sender",
        _ => "the sender proved what the token is bound to",
    };
    shown.map(|()| finding.to_owned())
}

/// The reason why a proof is not that of the token, and what differs.
pub(super) fn not_shown(
    denial: &Denial,
    found: &Found<'_>,
    token: &Verified,
    inquiry: &Inquiry<'_>,
) -> String {
    let key = Confirmation::of(&token.claims).ok().and_then(|demanded| demanded.key);
    let mismatches = match (denial.code, key) {
        (DenialCode::DpopProofMismatch, Some(key)) => {
            dpop::mismatches(key, found.credential, inquiry)
        }
        _ => Vec::new(),
    };
    let told = denial.code.description().to_owned();
    mismatches.iter().fold(told, |told, mismatch| format!("{told}; {mismatch}"))
}

fn token_refused(gate: &Gate, token: &str, error: TokenError) -> String {
    let verifier = gate.decisions.verifier();
    let advice = match error {
        TokenError::Malformed if is_handle(token) => {
            "; it may be a handle, which are accepted with TOKEN_MODE=opaque".to_owned()
        }
        TokenError::Malformed if is_key_refresh_token(token) => {
            "; it is the refresh token of an API key, which is for the issuer alone".to_owned()
        }
        TokenError::TooLarge => format!("; MAX_TOKEN_BYTES is {}", verifier.max_token_bytes()),
        TokenError::UnknownIssuer => {
            let accepted = verifier.issuers().iter().filter_map(|issuer| issuer.iss.as_deref());
            format!("; accepted are: {}", accepted.collect::<Vec<_>>().join(", "))
        }
        TokenError::WrongAudience => {
            let ours =
                verifier.issuers().iter().flat_map(|issuer| match &issuer.default_audience {
                    Some(default) if issuer.audiences.is_empty() => std::slice::from_ref(default),
                    _ => issuer.audiences.as_slice(),
                });
            let ours = ours.map(String::as_str).collect::<Vec<_>>().join(", ");
            format!("; this service goes by [{ours}] (JWT_AUDIENCE)")
        }
        TokenError::Expired | TokenError::NotYetValid => "; LEEWAY is already counted".to_owned(),
        _ => String::new(),
    };
    format!("{error}{advice}")
}

pub(super) fn token_found(verified: &Verified, clock: &dyn Clock) -> String {
    let left = verified.usable_until.since(clock.now());
    let issuer = &verified.issuer.name;
    let Some(signature) = &verified.signature else {
        let known = format!("known, issuer {issuer}");
        let has_end = left < FOR_EVER;
        return if has_end {
            format!("{known}; good for another {} s", left.as_secs())
        } else {
            known
        };
    };
    let left = left.as_secs();
    let key = signature
        .key
        .as_ref()
        .map_or_else(|| "the shared secret".to_owned(), |key| format!("key {key}"));
    format!(
        "issuer {issuer}, signed with {} by {key}; good for another {left} s, leeway included",
        algorithm::name(signature.algorithm),
    )
}

pub(super) async fn session_found(
    gate: &Gate,
    verified: &Verified,
) -> Result<(String, Option<Session>), String> {
    let (user, id) = match session_of(verified) {
        Ok(Some(named)) => named,
        Ok(None) => {
            let none = "the token names no session, or its issuer's are not looked at";
            return Ok((none.to_owned(), None));
        }
        Err(_) => return Err("the token names a session that nobody could own".to_owned()),
    };
    match gate.decisions.sessions().live(&user, &id).await {
        Ok(session) => {
            let finding = format!(
                "session {id} of {user} lives: since {}, last seen {}, until {}",
                session.created, session.last_seen, session.expires
            );
            Ok((finding, Some(session)))
        }
        Err(NotLive::Unknown) => Err(format!("{user} has no session {id}, or it was revoked")),
        Err(NotLive::Ended(how)) => Err(format!("session {id} of {user} is over: {how:?}")),
        Err(NotLive::Store(error)) => Err(error.to_string()),
    }
}
