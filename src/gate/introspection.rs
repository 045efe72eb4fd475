//! Opaque tokens of other issuers: the issuer is asked whether a token is good (RFC 7662).
//!
//! A yes is `active: true` with claims that pass every check of a token of that issuer, and nothing
//! else is. `active: false` is a no. Whatever else comes, or does not come in time, is no answer, and
//! lets nobody in. Nothing is remembered here: the cache of decisions keeps what was good for
//! `SESSION_STALENESS`, asks once for all who wait for the same, and keeps no refusal.
//!
//! The secret goes to the issuer's address and nowhere else: redirects are not followed, and neither
//! it nor a token is in any log line or error.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request};
use http_body_util::Full;
use serde_json::Value;
use tracing::warn;
use url::Url;

use super::api_key::{is_api_key, is_key_refresh_token};
use super::denial::DenialCode;
use super::metrics::{GateMetrics, IntrospectionOutcome};
use super::remote::RemoteService;
use crate::clock::Clock;
use crate::opaque::TICKET_PREFIX;
use crate::secret::Secret;
use crate::store::Priority;
use crate::token::{Claims, Issuer, TokenError, Verified, verify_introspected};
use crate::wire::https::HttpsClient;

/// The least length of a prefix by which tokens are told from handles of ours: one handle in 70 billion
/// begins with a given text of 6 characters by chance.
const MIN_TELLING_PREFIX: usize = 6;
/// The place where an issuer is asked, and what it is asked about.
#[derive(Clone, Debug)]
pub struct IntrospectionEndpoint {
    /// Its address.
    pub url: Url,
    /// The name and the secret by which this gate shows who it is (RFC 6749, section 2.3.1).
    pub client: (String, Secret),
    /// The beginning of its tokens, where they have one.
    pub token_prefix: Option<String>,
    /// The longest wait for an answer.
    pub timeout: Duration,
}

/// An issuer that is asked about its tokens.
pub type IntrospectedIssuer = Issuer<IntrospectionEndpoint>;

/// The place of an issuer among those that are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IssuerIndex(pub(super) u16);

/// The issuers that are asked.
#[derive(Debug)]
pub struct Introspection {
    issuers: Vec<AskedIssuer>,
    clock: Arc<dyn Clock>,
    metrics: GateMetrics,
}

struct AskedIssuer {
    issuer: Arc<Issuer>,
    endpoint: IntrospectionEndpoint,
    authorization: HeaderValue,
    service: RemoteService,
}

impl fmt::Debug for AskedIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AskedIssuer").field(&self.issuer.name).finish()
    }
}

/// The reason why a token is not good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntrospectionError {
    /// Its issuer says so.
    #[error("its issuer says that it is not active: it is unknown, has expired or was revoked")]
    Inactive,
    /// It is good at its issuer, and not here.
    #[error(transparent)]
    Claims(#[from] TokenError),
    /// Its issuer gave no answer that can be used; this is never a yes.
    #[error("its issuer gave no answer: {0}")]
    NoAnswer(String),
}

impl Introspection {
    /// Issuers that are asked by a client which trusts the system's certificate authorities.
    ///
    /// # Errors
    /// The system has none that can be read.
    pub fn new(
        issuers: &[IntrospectedIssuer],
        clock: Arc<dyn Clock>,
        metrics: GateMetrics,
    ) -> std::io::Result<Self> {
        let longest = issuers.iter().map(|issuer| issuer.keys.timeout).max().unwrap_or_default();
        let client = HttpsClient::new(longest)?;
        let issuers = issuers.iter().map(|issuer| AskedIssuer {
            authorization: authorization(&issuer.keys.client),
            issuer: Arc::new(issuer.with_keys(Arc::default())),
            endpoint: issuer.keys.clone(),
            service: RemoteService::new(client.clone(), issuer.keys.timeout, Arc::clone(&clock)),
        });
        let issuers = issuers.collect();
        Ok(Self { issuers, clock, metrics })
    }

    /// The issuer that is asked about a token: the one whose prefix it has; where one has none, that
    /// is asked about all that have neither the form of a signed token nor that of our API keys, of
    /// their refresh tokens and of our tickets, which are secrets of ours also where they are not
    /// accepted.
    pub(super) fn issuer_of(&self, token: &str) -> Option<IssuerIndex> {
        let is_ours =
            is_api_key(token) || is_key_refresh_token(token) || token.starts_with(TICKET_PREFIX);
        let is_its = |asked: &AskedIssuer| match asked.endpoint.token_prefix.as_deref() {
            Some(prefix) => token.starts_with(prefix),
            None => !is_compact_jws(token) && !is_ours,
        };
        self.issuers.iter().position(is_its).and_then(|it| u16::try_from(it).ok()).map(IssuerIndex)
    }

    /// Returns whether a token is some issuer's by its prefix, whatever form it has: the prefix is so
    /// long that none of our handles begins with it.
    pub(super) fn is_told_from_handles(&self, token: &str) -> bool {
        let prefixes = self.issuers.iter().filter_map(|it| it.endpoint.token_prefix.as_deref());
        { prefixes }.any(|it| it.len() >= MIN_TELLING_PREFIX && token.starts_with(it))
    }

    /// The longest wait for any issuer: to be asked, and for its answer.
    pub(super) fn longest_wait(&self) -> Duration {
        let waits = self.issuers.iter().map(|asked| asked.service.longest_wait());
        waits.max().unwrap_or_default()
    }

    /// Asks an issuer about a token. One that `is_known` was good before, and does not wait behind
    /// those that anybody could have made up.
    ///
    /// # Errors
    /// The reason why it is not good now. Its session is not checked here.
    pub async fn verify(
        &self,
        issuer: IssuerIndex,
        token: &str,
        is_known: bool,
    ) -> Result<Verified, IntrospectionError> {
        let unknown = || IntrospectionError::Claims(TokenError::UnknownIssuer);
        let asked = self.issuers.get(usize::from(issuer.0)).ok_or_else(unknown)?;
        let priority = if is_known { Priority::Known } else { Priority::Unknown };
        let answer = asked.service.ask(priority, asked.question(token), read).await;
        let (outcome, problem) = match &answer {
            Ok(Some(_)) => (IntrospectionOutcome::Active, None),
            Ok(None) => (IntrospectionOutcome::Inactive, None),
            Err(problem) => (IntrospectionOutcome::Failed, Some(problem)),
        };
        self.metrics.introspected(&asked.issuer.name, outcome);
        if let Some(problem) = problem.filter(|_| asked.service.may_warn()) {
            let issuer = &*asked.issuer.name;
            warn!(
                issuer,
                problem, "an issuer gave no answer about its tokens: nobody gets in by them"
            );
        }
        let claims = answer.map_err(IntrospectionError::NoAnswer)?;
        let claims = claims.ok_or(IntrospectionError::Inactive)?;
        Ok(verify_introspected(&asked.issuer, &claims, self.clock.now())?)
    }
}

impl AskedIssuer {
    /// The question about a token (RFC 7662, section 2.1).
    fn question(&self, token: &str) -> http::Result<Request<Full<Bytes>>> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token)
            .append_pair("token_type_hint", "access_token")
            .finish();
        Request::post(self.endpoint.url.as_str())
            .header(AUTHORIZATION, &self.authorization)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(form)))
    }
}

/// Reads an answer (RFC 7662, section 2.2): the claims of a token that is active; `None` of one that is
/// not.
fn read(body: &[u8]) -> Result<Option<Claims>, String> {
    let unreadable = "its answer is no object that says whether the token is active";
    let claims = Claims::parse(body).map_err(|_| unreadable.to_owned())?;
    match claims.get("active") {
        Some(Value::Bool(true)) => Ok(Some(claims)),
        Some(Value::Bool(false)) => Ok(None),
        _ => Err(unreadable.to_owned()),
    }
}

/// Both form-encoded, as RFC 6749, section 2.3.1 has it.
fn authorization((id, secret): &(String, Secret)) -> HeaderValue {
    let encoded = |bytes: &[u8]| form_urlencoded::byte_serialize(bytes).collect::<String>();
    let pair = format!("{}:{}", encoded(id.as_bytes()), encoded(secret.expose()));
    let value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)));
    // Base64 always fits into a header.
    let mut value = value.unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// Returns whether it has the form of a signed token: three parts (RFC 7515, section 7.1).
fn is_compact_jws(token: &str) -> bool {
    token.bytes().filter(|byte| *byte == b'.').count() == 2
}

impl From<IntrospectionError> for DenialCode {
    fn from(error: IntrospectionError) -> Self {
        match error {
            IntrospectionError::Inactive => Self::TokenInactive,
            IntrospectionError::Claims(error) => error.into(),
            IntrospectionError::NoAnswer(_) => Self::IntrospectionUnavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yes_is_active_true_and_nothing_else() {
        for yes in [r#"{"active":true}"#, r#"{"sub":"a","active":true}"#] {
            assert!(matches!(read(yes.as_bytes()), Ok(Some(_))), "{yes}");
        }
        for no in [r#"{"active":false}"#, r#"{"active":false,"sub":"a"}"#] {
            assert_eq!(read(no.as_bytes()), Ok(None), "{no}");
        }
        for unreadable in [
            "",
            "{}",
            "true",
            "[true]",
            r#""active""#,
            r#"{"active":"true"}"#,
            r#"{"active":1}"#,
            r#"{"active":null}"#,
            r#"{"Active":true}"#,
            r#"{"active":false,"active":true}"#,
            r#"{"active":true} {"active":true}"#,
            r#"{"active":true"#,
            "<html>active: true</html>",
        ] {
            assert!(read(unreadable.as_bytes()).is_err(), "{unreadable}");
        }
    }

    #[test]
    fn name_and_secret_are_form_encoded_and_do_not_show() {
        let value = authorization(&("a b".to_owned(), Secret::new("p:q%+")));
        assert_eq!(
            value.as_bytes(),
            format!("Basic {}", STANDARD.encode("a+b:p%3Aq%25%2B")).as_bytes()
        );
        assert!(value.is_sensitive());
        let endpoint = IntrospectionEndpoint {
            url: Url::parse("https://login.example.com/introspect").expect("a URL"),
            client: ("gate".to_owned(), Secret::new("hunter2")),
            token_prefix: None,
            timeout: Duration::from_secs(2),
        };
        assert!(!format!("{endpoint:?}").contains("hunter2"));
    }

    #[test]
    fn three_parts_are_a_signed_token_and_all_else_is_opaque() {
        for (token, is_signed) in [
            ("a.b.c", true),
            ("..", true),
            ("abc", false),
            ("ya29.a0", false),
            ("a.b.c.d.e", false),
        ] {
            assert_eq!(is_compact_jws(token), is_signed, "{token}");
        }
    }
}
