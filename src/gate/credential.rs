//! Finding the credential in a request. It is found here, not believed.
//!
//! There are four sources: a bearer token, an API key in a header of its own, a cookie of the
//! operator's choice, or one of a pair of cookies, of which the other names the user. Exactly one
//! credential is judged: where two sources hold different ones, the request is refused.

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};

use super::api_key::is_api_key;
use super::denial::DenialCode;
use crate::opaque::{CookiePair, names_user};

/// The scheme of bearer tokens; schemes are case-insensitive (RFC 9110, section 11.1).
const BEARER: &[u8] = b"bearer";

/// The header of API keys.
const API_KEY: &str = "x-api-key";

/// The cookies in which a credential may come; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cookies {
    /// A cookie that is good by itself.
    pub single: Option<String>,
    /// A cookie that is only good together with another one.
    pub pair: Option<CookiePair>,
}

/// A credential, as the client sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'h> {
    /// A token, a handle, or rubbish.
    pub credential: &'h str,
    /// The source that it was found in.
    pub source: CredentialSource<'h>,
}

/// The source of a credential: header or cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialSource<'h> {
    /// In the `Authorization` header.
    Bearer,
    /// In `X-Api-Key`.
    ApiKeyHeader,
    /// In a cookie by itself.
    Cookie,
    /// In one of a pair of cookies.
    Pair {
        /// The user that the other cookie names.
        user: &'h str,
    },
}

impl CredentialSource<'_> {
    /// Checks that a credential of `subject` may come from here.
    ///
    /// # Errors
    /// [`DenialCode::CookieMismatch`] where the cookie beside it names another user.
    pub fn check(&self, subject: &str) -> Result<(), DenialCode> {
        match self {
            Self::Pair { user } if !names_user(user, subject) => Err(DenialCode::CookieMismatch),
            Self::Bearer | Self::ApiKeyHeader | Self::Cookie | Self::Pair { .. } => Ok(()),
        }
    }
}

/// The one credential that the client sent: a bearer token (RFC 6750, section 2.1), an API key where
/// these are accepted, or a cookie.
///
/// # Errors
/// [`DenialCode::MissingCredentials`] where there is none; [`DenialCode::MalformedCredentials`]
/// where there is something that cannot be read in one way only; [`DenialCode::SeveralCredentials`]
/// where there are two different ones; [`DenialCode::CookieMismatch`] where the other one of a pair
/// of cookies is missing.
pub fn find<'h>(
    headers: &'h HeaderMap,
    cookies: &Cookies,
    accepts_api_keys: bool,
) -> Result<Found<'h>, DenialCode> {
    let of = |source| move |credential| Found { credential, source };
    let in_header = bearer(headers)?.map(of(CredentialSource::Bearer));
    let key = if accepts_api_keys { api_key(headers)? } else { None };
    let key = key.map(of(CredentialSource::ApiKeyHeader));
    let single = cookies.single.as_ref().map(|name| in_cookies(headers, name)).transpose()?;
    let single = single.flatten().map(of(CredentialSource::Cookie));
    let pair = cookies.pair.map(|pair| in_pair(headers, pair)).transpose()?.flatten();
    let mut found = [in_header, key, single, pair].into_iter().flatten();
    let first = found.next().ok_or(DenialCode::MissingCredentials)?;
    if found.all(|other| other.credential == first.credential) {
        Ok(first)
    } else {
        Err(DenialCode::SeveralCredentials)
    }
}

/// A credential in one of a pair of cookies.
fn in_pair(headers: &HeaderMap, pair: CookiePair) -> Result<Option<Found<'_>>, DenialCode> {
    let Some(credential) = in_cookies(headers, pair.token)? else { return Ok(None) };
    let user = in_cookies(headers, pair.user)?.ok_or(DenialCode::CookieMismatch)?;
    Ok(Some(Found { credential, source: CredentialSource::Pair { user } }))
}

/// The API key in the header of its own. What is no API key is none of another kind there.
fn api_key(headers: &HeaderMap) -> Result<Option<&str>, DenialCode> {
    let mut values = headers.get_all(API_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.to_str().ok().map(str::trim).filter(|key| is_api_key(key));
    match (key, values.next()) {
        (Some(key), None) if is_plain(key.as_bytes()) => Ok(Some(key)),
        _ => Err(DenialCode::MalformedCredentials),
    }
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>, DenialCode> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(DenialCode::MalformedCredentials);
    }
    let value = value.as_bytes().trim_ascii();
    let Some((scheme, rest)) = value.split_at_checked(BEARER.len()) else {
        return Ok(None);
    };
    if !scheme.eq_ignore_ascii_case(BEARER) || rest.first().is_some_and(u8::is_ascii_graphic) {
        return Ok(None);
    }
    let token = rest.trim_ascii_start();
    if token.is_empty() || !is_plain(token) {
        return Err(DenialCode::MalformedCredentials);
    }
    std::str::from_utf8(token).map(Some).map_err(|_| DenialCode::MalformedCredentials)
}

/// Returns whether all bytes are visible ASCII and none is a comma, which would join two values. It
/// sums up instead of searching, since this is done for every request: a compiler makes of it a few
/// steps for many bytes.
fn is_plain(token: &[u8]) -> bool {
    let spoilt =
        |byte: u8| u8::from(byte <= b' ') | u8::from(byte >= 0x7f) | u8::from(byte == b',');
    token.iter().fold(0, |sum, byte| sum | spoilt(*byte)) == 0
}

/// The value of the cookie `name`. Two of that name with different values are refused: an attacker
/// who can set a cookie for a parent domain could otherwise choose which identity is taken.
fn in_cookies<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, DenialCode> {
    let mut found = None;
    for line in headers.get_all(COOKIE) {
        for pair in line.as_bytes().split(|byte| *byte == b';') {
            let pair = pair.trim_ascii();
            let Some(value) = pair.strip_prefix(name.as_bytes()).and_then(|p| p.strip_prefix(b"="))
            else {
                continue;
            };
            let value = std::str::from_utf8(value).map_err(|_| DenialCode::MalformedCredentials)?;
            if found.is_some_and(|earlier| earlier != value) {
                return Err(DenialCode::MalformedCredentials);
            }
            found = Some(value);
        }
    }
    Ok(found.filter(|value| !value.is_empty()))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    /// The headers of a request with these lines.
    fn headers(lines: &[(HeaderName, &[u8])]) -> HeaderMap {
        let lines = lines
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_bytes(value).unwrap()));
        lines.collect()
    }

    fn cookie_lines(lines: &[&[u8]]) -> HeaderMap {
        headers(&lines.iter().map(|line| (COOKIE, *line)).collect::<Vec<_>>())
    }

    fn cookie(name: &str) -> Cookies {
        Cookies { single: Some(name.to_owned()), pair: None }
    }

    fn in_authorization(value: &[u8]) -> Result<String, DenialCode> {
        find(&headers(&[(AUTHORIZATION, value)]), &cookie("t"), false)
            .map(|it| it.credential.to_owned())
    }

    fn in_cookie(lines: &[&[u8]]) -> Result<String, DenialCode> {
        find(&cookie_lines(lines), &cookie("t"), false).map(|it| it.credential.to_owned())
    }

    #[test]
    fn a_bearer_token_is_found() {
        for value in ["Bearer x.y.z", "bearer x.y.z", "BEARER  x.y.z", " Bearer x.y.z "] {
            assert_eq!(in_authorization(value.as_bytes()).as_deref(), Ok("x.y.z"), "{value}");
        }
    }

    #[test]
    fn another_scheme_is_no_credential_here() {
        for value in ["Basic eHg6eHg=", "x.y.z", "", "Bearerx y", "Digest a, b"] {
            let missing = Err(DenialCode::MissingCredentials);
            assert_eq!(in_authorization(value.as_bytes()), missing, "{value}");
        }
    }

    #[test]
    fn what_cannot_be_read_in_one_way_is_refused() {
        for value in
            [&b"Bearer"[..], b"Bearer ", b"Bearer a b", b"Bearer a,Bearer b", b"Bearer \xff"]
        {
            assert_eq!(in_authorization(value), Err(DenialCode::MalformedCredentials));
        }
        let twice = headers(&[(AUTHORIZATION, b"Bearer a"), (AUTHORIZATION, b"Bearer a")]);
        assert_eq!(find(&twice, &Cookies::default(), false), Err(DenialCode::MalformedCredentials));
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        for lines in [
            &[&b"t=x"[..]][..],
            &[b"a=1; t=x; b=2"],
            &[b"tt=1;t=x"],
            &[b"a=1", b"t=x"],
            &[b"t=x; t=x"],
            &[b"bad\xff; =; ;;; t=x"],
        ] {
            assert_eq!(in_cookie(lines).as_deref(), Ok("x"), "{lines:?}");
        }
    }

    #[test]
    fn cookies_that_disagree_are_refused() {
        for lines in [&[&b"t=x; t=y"[..]][..], &[b"t=x", b"t=y"], &[b"t=; t=y"], &[b"t=\xff"]] {
            assert_eq!(in_cookie(lines), Err(DenialCode::MalformedCredentials), "{lines:?}");
        }
    }

    #[test]
    fn a_cookie_of_another_name_is_no_credential() {
        for lines in [&[&b"tt=x"[..]][..], &[b"T=x"], &[b"t"], &[b"t="], &[b"a=t=x"], &[b""]] {
            assert_eq!(in_cookie(lines), Err(DenialCode::MissingCredentials), "{lines:?}");
        }
        let cookie = cookie_lines(&[b"t=x"]);
        assert_eq!(find(&cookie, &Cookies::default(), false), Err(DenialCode::MissingCredentials));
    }

    #[test]
    fn two_different_credentials_are_refused_and_the_same_twice_is_one() {
        let cookies = Cookies { pair: Some(CookiePair::TP_AUTH), ..cookie("t") };
        let find = |lines: &[(HeaderName, &[u8])]| {
            find(&headers(lines), &cookies, true).map(|found| found.credential.to_owned())
        };
        let key = || HeaderName::from_static(API_KEY);
        let several = Err(DenialCode::SeveralCredentials);
        for (lines, expected) in [
            (vec![(AUTHORIZATION, &b"Bearer a"[..]), (COOKIE, b"t=a")], Ok("a".to_owned())),
            (vec![(AUTHORIZATION, b"Bearer pk_a"), (key(), b"pk_a")], Ok("pk_a".to_owned())),
            (vec![(AUTHORIZATION, b"Basic a"), (COOKIE, b"t=b")], Ok("b".to_owned())),
            (vec![(COOKIE, b"user_id=alice; access_token=a; t=a")], Ok("a".to_owned())),
            (vec![(AUTHORIZATION, b"Bearer a"), (COOKIE, b"t=b")], several.clone()),
            (vec![(AUTHORIZATION, b"Bearer a"), (key(), b"pk_a")], several.clone()),
            (vec![(key(), b"pk_a"), (COOKIE, b"t=b")], several.clone()),
            (vec![(COOKIE, b"user_id=alice; access_token=a; t=b")], several),
        ] {
            assert_eq!(find(&lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn an_api_key_stands_in_its_header_where_these_are_accepted() {
        let key = |lines: &[&[u8]], accepted| {
            let name = HeaderName::from_static(API_KEY);
            let lines: Vec<_> = lines.iter().map(|line| (name.clone(), *line)).collect();
            find(&headers(&lines), &Cookies::default(), accepted).map(|found| {
                let is_of_header = found.source == CredentialSource::ApiKeyHeader;
                (found.credential.to_owned(), is_of_header)
            })
        };
        let good = Ok(("pk_x".to_owned(), true));
        assert_eq!(key(&[b"pk_x"], true), good);
        assert_eq!(key(&[b" pk_x "], true), good);
        assert_eq!(key(&[b"pk_x"], false), Err(DenialCode::MissingCredentials));
        for lines in [
            &[&b""[..]][..],
            &[b"x"],
            &[b"a.b.c"],
            &[b"pk_a b"],
            &[b"pk_x", b"pk_x"],
            &[b"pk_\xff"],
        ] {
            assert_eq!(key(lines, true), Err(DenialCode::MalformedCredentials), "{lines:?}");
        }
    }

    #[test]
    fn a_pair_of_cookies_is_good_together_alone() {
        let found = |lines: &[&[u8]], cookies: &Cookies| {
            let headers = cookie_lines(lines);
            let found = find(&headers, cookies, false)?;
            found.source.check("alice").map(|()| found.credential.to_owned())
        };
        let tp_auth = Cookies { single: None, pair: Some(CookiePair::TP_AUTH) };
        let host = Cookies { single: None, pair: Some(CookiePair::HOST) };
        let (mismatch, malformed, missing) = (
            Err(DenialCode::CookieMismatch),
            Err(DenialCode::MalformedCredentials),
            Err(DenialCode::MissingCredentials),
        );
        let good = || Ok("x".to_owned());
        for (cookies, lines, expected) in [
            (&tp_auth, &[&b"user_id=alice; access_token=x"[..]][..], good()),
            (&tp_auth, &[b"access_token=x", b"user_id=%61lice"], good()),
            (&tp_auth, &[b"access_token=x; user_id=alice; user_id=alice"], good()),
            (&tp_auth, &[b"access_token=x; user_id=bob"], mismatch.clone()),
            (&tp_auth, &[b"access_token=x; user_id="], mismatch.clone()),
            (&tp_auth, &[b"access_token=x"], mismatch.clone()),
            (&tp_auth, &[b"access_token=x; user_id=bob; user_id=alice"], malformed.clone()),
            (&tp_auth, &[b"access_token=x; access_token=y; user_id=alice"], malformed),
            (&tp_auth, &[b"user_id=alice"], missing.clone()),
            (&tp_auth, &[b"__Host-user_id=alice; __Host-access_token=x"], missing.clone()),
            (&host, &[b"__Host-user_id=alice; __Host-access_token=x"], good()),
            (&host, &[b"user_id=alice; __Host-access_token=x"], mismatch),
            (&host, &[b"user_id=alice; access_token=x"], missing.clone()),
            (&Cookies::default(), &[b"user_id=alice; access_token=x"], missing),
        ] {
            assert_eq!(found(lines, cookies), expected, "{lines:?}");
        }
    }
}
