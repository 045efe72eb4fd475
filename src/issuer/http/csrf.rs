//! Cross-site request forgery: a browser adds our cookies to whatever page asks it to send a request.
//! So a request that changes something by cookies has to prove that it comes from a page of ours.
//!
//! Browsers prove it by themselves, with `Sec-Fetch-Site` or `Origin`. Whoever sends neither sends a
//! token in a header, as double submit has it: the same that a cookie holds, which no page of another
//! site can read. The token is signed under the credential of the session, so that nobody who can
//! plant cookies, and does not know the credential, can make one.

use std::sync::Arc;

use aws_lc_rs::hmac;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use serde::Serialize;
use url::{Origin, Url};
use utoipa::ToSchema;

use super::cors::CorsConfig;
use super::reply::{ErrorBody, json};
use super::{Web, WebConfig, cookies, paths};
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::opaque::CookiePair;
use crate::secret::{Random, RandomFailed, Secret, random_id};

/// The header that holds the token.
const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");
/// The header in which a browser tells from which site a request comes.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The first bytes of what is signed, so that no other signature under the key is a token.
const LABEL: &[u8] = b"portcullis-csrf\0";

/// A new token of the session with this credential.
pub(super) fn new_token(credential: &str, random: &dyn Random) -> Result<String, RandomFailed> {
    let nonce = random_id(random)?;
    let tag = hmac::sign(&key(credential), &signed(&nonce));
    Ok(format!("{nonce}.{}", URL_SAFE_NO_PAD.encode(tag)))
}

/// Returns whether it is a token of the session with this credential.
fn is_token_of(token: &str, credential: &str) -> bool {
    let Some((nonce, tag)) = token.split_once('.') else { return false };
    let tag = URL_SAFE_NO_PAD.decode(tag).unwrap_or_default();
    hmac::verify(&key(credential), &signed(nonce), &tag).is_ok()
}

fn key(credential: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, credential.as_bytes())
}

fn signed(nonce: &str) -> Vec<u8> {
    [LABEL, nonce.as_bytes()].concat()
}

/// The origin of a request, as far as it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Site {
    /// It is ours, or one that may call with cookies.
    Own,
    /// It is another site's, or two headers disagree.
    Other,
    /// Nothing: a program, or a browser of old.
    Untold,
}

/// The pages that are ours, and the cookies of theirs.
#[derive(Clone, Copy, Debug)]
pub(super) struct ForgeryCheck<'c> {
    public_url: &'c str,
    cookies: Option<CookiePair>,
    cors: Option<&'c CorsConfig>,
}

impl WebConfig {
    /// The check of requests that act by cookies.
    pub(super) fn forgery_check(&self) -> ForgeryCheck<'_> {
        let Self { public_url, cookies, cors, .. } = self;
        ForgeryCheck { public_url, cookies: *cookies, cors: cors.as_ref() }
    }
}

impl ForgeryCheck<'_> {
    /// Checks that a request, which may change something by its cookies, was sent by a page of ours.
    ///
    /// # Errors
    /// [`IssueError::Forbidden`].
    pub(super) fn check(self, method: &Method, headers: &HeaderMap) -> Result<(), IssueError> {
        if method.is_safe() {
            return Ok(());
        }
        match self.site(headers) {
            Site::Own => Ok(()),
            Site::Other => OTHER_SITE,
            Site::Untold if self.shows_token(headers) => Ok(()),
            Site::Untold => Err(IssueError::Forbidden(
                "with cookies send X-CSRF-Token, which GET /csrf gives, or Origin",
            )),
        }
    }

    /// Refuses what another site's page has sent; for a login, which acts by no cookie, but sets some.
    ///
    /// # Errors
    /// [`IssueError::Forbidden`].
    pub(super) fn refuse_other_sites(self, headers: &HeaderMap) -> Result<(), IssueError> {
        if self.site(headers) == Site::Other { OTHER_SITE } else { Ok(()) }
    }

    fn site(self, headers: &HeaderMap) -> Site {
        let (Ok(origin), Ok(site)) = (one(headers, &ORIGIN), one(headers, &FETCH_SITE)) else {
            return Site::Other;
        };
        let may_send_cookies = self.cors.filter(|cors| cors.credentials);
        if may_send_cookies.zip(origin).is_some_and(|(cors, origin)| cors.allows(origin)) {
            return Site::Own;
        }
        let is_own = match (site, origin) {
            (Some(site), _) => matches!(site, "same-origin" | "none"),
            (None, Some(origin)) => self.is_own_origin(origin, headers),
            (None, None) => return Site::Untold,
        };
        if is_own { Site::Own } else { Site::Other }
    }

    /// True if it is the origin of PUBLIC_URL, or of the host that was asked. Where PUBLIC_URL is https,
    /// a page that came in clear text, which anybody on the way could have written, is none of ours.
    fn is_own_origin(self, origin: &str, headers: &HeaderMap) -> bool {
        let Ok(public) = Url::parse(self.public_url) else { return false };
        let Some((scheme, host)) = origin.split_once("://") else { return false };
        let is_as_safe = scheme == "https" || public.scheme() != "https";
        let is_asked = one(headers, &HOST).ok().flatten().is_some_and(|asked| asked == host);
        Url::parse(origin).is_ok_and(|origin| is_same(&origin.origin(), &public.origin()))
            || (is_as_safe && is_asked)
    }

    /// True if the token in the header is the one in the cookie, and of this session.
    fn shows_token(self, headers: &HeaderMap) -> bool {
        let Some(pair) = self.cookies else { return false };
        let shown = one(headers, &TOKEN_HEADER).ok().flatten();
        let (Some(shown), Some(kept)) = (shown, cookies::csrf(pair, headers)) else { return false };
        let Some((_, credential)) = cookies::read(pair, headers) else { return false };
        // Compared in constant time, both.
        Secret::new(shown) == Secret::new(kept) && is_token_of(shown, &credential)
    }
}

/// The refusal of another site's page.
const OTHER_SITE: Result<(), IssueError> =
    Err(IssueError::Forbidden("cookies are not accepted from another site's page"));

fn is_same(one: &Origin, other: &Origin) -> bool {
    one.is_tuple() && one == other
}

/// There are two of a header, or its value is no text.
#[derive(Clone, Copy, Debug)]
struct Unclear;

/// The value of a header that there may be once.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Unclear> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(value), None) => Ok(Some(value)),
        _ => Err(Unclear),
    }
}

/// A token against forged requests.
#[derive(Serialize, ToSchema)]
pub(super) struct CsrfAnswer {
    /// The token, for the header X-CSRF-Token; a cookie holds it too.
    csrf_token: String,
}

/// Get a token against forged requests
///
/// For programs that act by cookies. What changes something by cookies needs it in X-CSRF-Token, unless
/// Origin or Sec-Fetch-Site, which browsers send, say that a page of this host asks. It is good as long
/// as the access token; a login sets the cookie too.
#[utoipa::path(
    get, path = paths::CSRF, tag = "Sessions", security(("cookies" = [])),
    responses(
        (status = 200, description = "The token, and a cookie with it", body = CsrfAnswer),
        (status = 401, description = "There is no live session, or logins set no cookies", body = ErrorBody),
        (status = 503, description = "The store does not answer", body = ErrorBody),
    ),
)]
pub(super) async fn token(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, IssueError> {
    let pair = web.config.cookies.ok_or(IssueError::MissingToken)?;
    let (_, credential) = cookies::read(pair, &headers).ok_or(IssueError::MissingToken)?;
    web.bearer(&method, &headers, &caller).await?;
    let csrf_token = new_token(&credential, web.issuance.random.as_ref())?;
    let mut response = json(StatusCode::OK, &CsrfAnswer { csrf_token: csrf_token.clone() });
    cookies::set_csrf(pair, &mut response, &csrf_token);
    Ok(response)
}

#[cfg(test)]
mod tests;
