//! Authentication of clients (RFC 6749, section 2.3; RFC 7523).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;

use super::Dependencies;
use super::audit::{Audit, Event};
use super::caller::{Caller, authorization};
use super::error::{Cause, IssueError};
use super::metrics::IssuerMetrics;
use super::policy::IssuancePolicy;
use super::throttle::Throttle;
use crate::account::{AccountStore, Client, KeyDigest};
use crate::clock::Clock;
use crate::lease::{Lease, Leases};
use crate::opaque;
use crate::secret::Secret;
use crate::token::jwks::JwksError;
use crate::token::{Claims, Issuer, KeyRing, SessionRule, Verifier, jwks};

/// The `client_assertion_type` of a signed JWT.
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Longest lifetime of an assertion, until whose end its `jti` is remembered. Authlib's live an hour.
const LONGEST_ASSERTION: Duration = Duration::from_secs(3_600);
/// Tolerance for a client's clock.
const ASSERTION_LEEWAY: Duration = Duration::from_secs(30);
/// The longest assertion, in bytes.
const MAX_ASSERTION_BYTES: usize = 8192;

/// Authentication of clients.
#[derive(Debug)]
pub struct ClientAuthentication {
    policy: Arc<IssuancePolicy>,
    accounts: Arc<dyn AccountStore>,
    leases: Leases,
    throttle: Throttle,
    audit: Audit,
    metrics: IssuerMetrics,
    clock: Arc<dyn Clock>,
}

/// Credentials that a client shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCredentials {
    /// A secret; `by_header` where it came by HTTP Basic.
    Secret {
        /// Its id.
        id: String,
        /// The secret.
        secret: Secret,
        /// True if it came in the header.
        by_header: bool,
    },
    /// A signed assertion (RFC 7523, section 2.2).
    Assertion {
        /// The id that the form names beside it.
        id: Option<String>,
        /// The JWT.
        assertion: Secret,
    },
    /// Nothing but its name: a public client.
    Public {
        /// Its id.
        id: String,
        /// True if it came in the header.
        by_header: bool,
    },
}

/// The form's part of it.
#[derive(Clone, Debug, Default)]
pub struct ClientForm {
    /// `client_id`.
    pub id: Option<String>,
    /// `client_secret`.
    pub secret: Option<Secret>,
    /// `client_assertion_type`.
    pub assertion_type: Option<String>,
    /// `client_assertion`.
    pub assertion: Option<Secret>,
}

impl ClientCredentials {
    /// Reads what a request shows, if anything.
    ///
    /// # Errors
    /// [`IssueError::InvalidRequest`] where it shows more than one thing (RFC 6749, section 2.3),
    /// [`IssueError::InvalidClient`] where the header cannot be read.
    pub fn read(headers: &HeaderMap, form: ClientForm) -> Result<Option<Self>, IssueError> {
        let twice = || IssueError::invalid_request("the client authenticates in more than one way");
        if let Some((id, secret)) = basic(headers)? {
            if form.secret.is_some() || form.assertion.is_some() {
                return Err(twice());
            }
            if form.id.is_some_and(|named| named != id) {
                return Err(IssueError::invalid_request("client_id is not the header's"));
            }
            // A secret that is empty may be left out, and is as good as left out (RFC 6749,
            // section 2.3.1).
            let is_empty = secret.expose().is_empty();
            return Ok(Some(if is_empty {
                Self::Public { id, by_header: true }
            } else {
                Self::Secret { id, secret, by_header: true }
            }));
        }
        match (form.id, form.secret, form.assertion) {
            (_, Some(_), Some(_)) => Err(twice()),
            (id, None, Some(assertion)) => match form.assertion_type.as_deref() {
                Some(JWT_BEARER) => Ok(Some(Self::Assertion { id, assertion })),
                _ => Err(IssueError::invalid_request(format!(
                    "client_assertion_type must be {JWT_BEARER}"
                ))),
            },
            (Some(id), Some(secret), None) => {
                Ok(Some(Self::Secret { id, secret, by_header: false }))
            }
            (None, Some(_), None) => Err(IssueError::invalid_request("client_id is missing")),
            (Some(id), None, None) => Ok(Some(Self::Public { id, by_header: false })),
            (None, None, None) => Ok(None),
        }
    }

    fn is_by_header(&self) -> bool {
        matches!(self, Self::Secret { by_header: true, .. } | Self::Public { by_header: true, .. })
    }
}

/// HTTP Basic with both halves form-encoded (RFC 6749, section 2.3.1). Other schemes are none of
/// the client's authentication.
fn basic(headers: &HeaderMap) -> Result<Option<(String, Secret)>, IssueError> {
    let Some(rest) = authorization(headers, "basic")? else { return Ok(None) };
    let refused = IssueError::InvalidClient { by_header: true };
    let decoded = STANDARD.decode(rest).map_err(|_| refused.clone())?;
    let text = Secret::new(decoded);
    let (id, secret) =
        text.expose_str().and_then(|text| text.split_once(':')).ok_or_else(|| refused.clone())?;
    let (id, secret) = (form_decoded(id), form_decoded(secret));
    match (id, secret) {
        (Some(id), Some(secret)) if !id.is_empty() => Ok(Some((id, Secret::new(secret)))),
        _ => Err(refused),
    }
}

fn form_decoded(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    percent_encoding::percent_decode_str(&text).decode_utf8().ok().map(Into::into)
}

impl ClientAuthentication {
    pub(super) fn new(on: &Dependencies) -> Self {
        let Dependencies { policy, accounts, leases, throttle, audit, metrics, clock, .. } =
            on.clone();
        Self { policy, accounts, leases, throttle, audit, metrics, clock }
    }

    /// The client that shows these credentials.
    ///
    /// # Errors
    /// [`IssueError::InvalidClient`], the same whether the client or its secret is unknown.
    pub async fn authenticate(
        &self,
        shown: &ClientCredentials,
        caller: &Caller,
    ) -> Result<Client, IssueError> {
        // Ours are random; an operator may have put another one into the store.
        let is_random = match shown {
            ClientCredentials::Secret { secret, .. } => opaque::is_generated(secret),
            ClientCredentials::Assertion { .. } | ClientCredentials::Public { .. } => true,
        };
        let check = self.client_unaudited(shown);
        let error = match self.throttle.secret(is_random, caller, check).await {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        let event = self.audit.event(Event::ClientRefused).error(&error);
        event.client(named(shown).as_deref()).address(caller.address).write();
        self.metrics.issued("client", Some(&error));
        Err(error)
    }

    async fn client_unaudited(&self, shown: &ClientCredentials) -> Result<Client, IssueError> {
        let refused = || IssueError::InvalidClient { by_header: shown.is_by_header() };
        let id = named(shown).filter(|id| is_client_id(id)).ok_or_else(refused)?;
        let client = self.accounts.client(&id).await?.ok_or_else(refused)?;
        let is_good = match shown {
            ClientCredentials::Public { .. } => !client.is_confidential(),
            ClientCredentials::Secret { secret, .. } => self.is_secret_of(&client, secret),
            ClientCredentials::Assertion { assertion, .. } => {
                self.is_assertion_of(&client, assertion).await?
            }
        };
        if is_good { Ok(client) } else { Err(refused()) }
    }

    fn is_secret_of(&self, client: &Client, secret: &Secret) -> bool {
        let shown = Secret::new(KeyDigest::of(secret).as_str());
        let now = self.clock.now();
        let live = client.secrets.iter().filter(|secret| secret.is_live(now));
        // Every one is compared, whichever it is.
        live.fold(false, |found, kept| found | (Secret::new(kept.digest.as_str()) == shown))
    }

    /// True for an assertion that is the client's own, for us, in time, and was never seen before
    /// (RFC 7523, section 3).
    async fn is_assertion_of(
        &self,
        client: &Client,
        assertion: &Secret,
    ) -> Result<bool, IssueError> {
        let (Some(jwks), Some(assertion)) = (&client.jwks, assertion.expose_str()) else {
            return Ok(false);
        };
        let keys = jwks::parse(jwks.to_string().as_bytes(), None).and_then(jwks::KeySet::usable);
        let damaged = |error: &JwksError| format!("the keys of the client {}: {error}", client.id);
        let Ok(keys) = keys.inspect_err(|error| Cause::CorruptRecord(damaged(error)).log()) else {
            return Ok(false);
        };
        let issuer = Issuer {
            name: client.id.as_str().into(),
            iss: Some(client.id.clone()),
            audiences: self.policy.own_urls.clone(),
            leeway: ASSERTION_LEEWAY,
            sessions: SessionRule::Ignored,
            keys: Arc::new(KeyRing::fixed(keys)),
            ..Issuer::default()
        };
        let verifier =
            Verifier::new(vec![Arc::new(issuer)], MAX_ASSERTION_BYTES, Arc::clone(&self.clock));
        let Ok(verified) = verifier.verify(assertion) else {
            return Ok(false);
        };
        let now = self.clock.now();
        let jti = verified.claims.text("jti").ok().flatten().filter(|jti| !jti.is_empty());
        let is_short = verified.usable_until <= now.after(LONGEST_ASSERTION + ASSERTION_LEEWAY);
        let (Some(jti), true, true) = (jti, is_short, verified.subject == client.id) else {
            return Ok(false);
        };
        let name = format!("assertion:{}:{jti}", client.id);
        let lease = self.leases.acquire(&name, "", now, verified.usable_until).await?;
        Ok(lease == Lease::Acquired)
    }
}

/// The client that is named, which is not yet believed.
fn named(shown: &ClientCredentials) -> Option<String> {
    match shown {
        ClientCredentials::Secret { id, .. }
        | ClientCredentials::Public { id, .. }
        | ClientCredentials::Assertion { id: Some(id), .. } => Some(id.clone()),
        ClientCredentials::Assertion { id: None, assertion } => {
            use base64::engine::general_purpose::URL_SAFE_NO_PAD;
            let payload = assertion.expose_str()?.split('.').nth(1)?;
            let claims = Claims::parse(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
            claims.text("iss").ok().flatten().map(Cow::into_owned)
        }
    }
}

/// `client_id` of RFC 6749, appendix A.1, and no longer than anybody needs.
pub fn is_client_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;

    use super::*;

    fn read(
        header: Option<&str>,
        form: ClientForm,
    ) -> Result<Option<ClientCredentials>, IssueError> {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(AUTHORIZATION, header.parse().expect("a header"));
        }
        ClientCredentials::read(&headers, form)
    }

    fn basic_of(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn both_halves_of_the_basic_header_are_form_decoded() {
        let shown = read(Some(&basic_of("a%20b+c:p%3Aq%25:r")), ClientForm::default());
        let expected = ClientCredentials::Secret {
            id: "a b c".to_owned(),
            secret: Secret::new("p:q%:r"),
            by_header: true,
        };
        assert_eq!(shown, Ok(Some(expected)));
    }

    #[test]
    fn a_header_that_cannot_be_read_is_the_clients_mistake() {
        for header in [
            "Basic",
            "basic ",
            "Basic !",
            &basic_of(""),
            &basic_of("nocolon"),
            &basic_of(":"),
            &basic_of(":x"),
            &basic_of("%ff:x"),
        ] {
            let refused = Err(IssueError::InvalidClient { by_header: true });
            assert_eq!(read(Some(header), ClientForm::default()), refused, "{header}");
        }
        for other in ["Bearer x", "Bearer", "Basics", "Basicx y"] {
            assert_eq!(read(Some(other), ClientForm::default()), Ok(None), "{other}");
        }
    }

    #[test]
    fn an_empty_secret_is_as_good_as_none_in_the_header_too() {
        let public =
            |by_header| Ok(Some(ClientCredentials::Public { id: "spa".into(), by_header }));
        let form = || ClientForm { id: Some("spa".to_owned()), ..ClientForm::default() };
        assert_eq!(read(Some(&basic_of("spa:")), ClientForm::default()), public(true));
        assert_eq!(read(Some(&basic_of("spa:")), form()), public(true));
        assert_eq!(read(None, form()), public(false));
        let both = ClientForm { secret: Some(Secret::new("s")), ..form() };
        assert!(read(Some(&basic_of("spa:")), both).is_err());
    }

    #[test]
    fn more_than_one_way_is_refused() {
        let both = ClientForm { secret: Some(Secret::new("s")), ..ClientForm::default() };
        assert!(read(Some(&basic_of("a:b")), both).is_err());
        let other = ClientForm { id: Some("b".to_owned()), ..ClientForm::default() };
        assert!(read(Some(&basic_of("a:b")), other).is_err());
        let both = ClientForm {
            id: Some("a".to_owned()),
            secret: Some(Secret::new("s")),
            assertion: Some(Secret::new("x")),
            assertion_type: Some(JWT_BEARER.to_owned()),
        };
        assert!(read(None, both).is_err());
        let unknown = ClientForm { assertion: Some(Secret::new("x")), ..ClientForm::default() };
        assert!(read(None, unknown).is_err());
    }
}
