//! Values of a form of their own: paths, names, URLs, keys and secrets.

use std::convert::Infallible;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, COOKIE, HOST};
use http::{HeaderName, StatusCode};
use url::{Host, Url};

use super::values::{NO_MEMBERS, json_list, list, whole};
use crate::policy::return_address::ReturnAddress;
use crate::secret::Secret;
use crate::telemetry::audit::AuditTarget;
use crate::token::algorithm;
use crate::token::key::{self, KeyError};
use crate::token::{Algorithm, is_scope};
use crate::wire::json;
use crate::wire::known_fields::KnownField;
use crate::wire::networks::Networks;

/// The shortest secret that signs requests to the hook, in bytes.
pub(super) const MIN_HOOK_SECRET_BYTES: usize = 16;
/// The shortest token of administrators, in bytes: it may be chosen, and is compared as often as
/// anybody likes, so that nobody can lock the administrator out.
pub(crate) const MIN_TOKEN_BYTES: usize = 32;
/// The shortest key of pseudonyms, in bytes.
const MIN_HASH_KEY_BYTES: usize = 16;
/// The longest prefix of users' names, in bytes.
const MAX_PREFIX_BYTES: usize = 128;

/// A URL prefix starts with one slash and does not end with one, so that paths can be set after it.
pub(super) fn prefix(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    if text.is_empty() || is_path(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not a path such as /auth"))
    }
}

/// The path of a route.
pub(super) fn route(text: &str) -> Result<String, String> {
    if text.len() > 1 && is_path(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no path such as /token"))
    }
}

/// The path of a page, which may be written with a slash at its end.
pub(super) fn page(text: &str) -> Result<String, String> {
    route(text.trim_end_matches('/'))
}

fn is_path(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"/._~-".contains(&b);
    text.starts_with('/') && !text.contains("//") && text.bytes().all(is_plain)
}

/// The name of a parameter of a query, which nobody has to escape.
pub(super) fn parameter(text: &str) -> Result<String, String> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._~-".contains(&b);
    if text.bytes().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not a name of A-Z a-z 0-9 . _ ~ -"))
    }
}

/// `token` of RFC 9110, section 5.6.2, as RFC 6265 wants it for the name of a cookie.
pub(super) fn cookie_name(text: &str) -> Result<String, String> {
    let in_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if text.bytes().all(in_token) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not the name of a cookie"))
    }
}

/// A realm that fits between the quotes of a challenge.
pub(super) fn realm(text: &str) -> Result<String, &'static str> {
    let fits = |b: u8| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\';
    if text.bytes().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("write plain text without quotes and backslashes")
    }
}

/// The status of an answer to a request without credentials.
pub(super) fn refusal(text: &str) -> Result<StatusCode, &'static str> {
    match text {
        "401" => Ok(StatusCode::UNAUTHORIZED),
        "403" => Ok(StatusCode::FORBIDDEN),
        _ => Err("write 401 or 403"),
    }
}

/// The permissions of a file, in octal.
pub(super) fn mode(text: &str) -> Result<u32, &'static str> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or("write permissions in octal, such as 660")
}

/// The time for which a read session may be believed while the store is down; `None`: as long as always.
pub(super) fn stale_if_error(text: &str) -> Result<Option<Duration>, &'static str> {
    const WRONG: &str = "write `deny`, or `stale-for` and a number of seconds up to 86400, as in \
                         `stale-for 60`; unset: for as long as SESSION_STALENESS";
    match text.split_whitespace().collect::<Vec<_>>().as_slice() {
        [] => Ok(None),
        ["deny"] => Ok(Some(Duration::ZERO)),
        ["stale-for", seconds] => {
            let seconds: f64 = seconds.parse().map_err(|_| WRONG)?;
            let fits = (0.0..=86_400.0).contains(&seconds);
            fits.then(|| Some(Duration::from_secs_f64(seconds))).ok_or(WRONG)
        }
        _ => Err(WRONG),
    }
}

/// Networks with commas between them.
pub(super) fn networks(text: &str) -> Result<Networks, String> {
    if text == "off" { Ok(Networks::default()) } else { Networks::parse(&list(text)?) }
}

/// A place of the audit log.
#[expect(clippy::unnecessary_wraps, reason = "every form of a value is of this type")]
pub(super) fn audit_target(text: &str) -> Result<AuditTarget, Infallible> {
    Ok(match text {
        "off" => AuditTarget::Off,
        "stderr" => AuditTarget::Stderr,
        path => AuditTarget::File(path.into()),
    })
}

/// Says whether tokens must declare `at+jwt`.
pub(super) fn at_jwt_only(text: &str) -> Result<bool, &'static str> {
    match text.strip_prefix("application/").unwrap_or(text) {
        "any" => Ok(false),
        "at+jwt" => Ok(true),
        _ => Err("write `any` or `at+jwt`"),
    }
}

/// A prefix of users' names: what a header holds as it is.
pub(super) fn user_prefix(text: &str) -> Result<String, String> {
    let is_plain = |b: u8| b.is_ascii_graphic() && b != b',' && b != b'%';
    if text.len() > MAX_PREFIX_BYTES || !text.bytes().all(is_plain) {
        return Err(format!(
            "write at most {MAX_PREFIX_BYTES} visible ASCII characters, no blank, comma or percent sign"
        ));
    }
    Ok(text.to_owned())
}

/// Hosts with semicolons between them, as authnzerver writes them, or with commas.
pub(super) fn allowed_hosts(text: &str) -> Result<Vec<String>, &'static str> {
    let hosts = list(&text.replace(';', ","))?;
    if hosts.iter().any(|host| host.contains(['/', '*', ' '])) {
        return Err("write names or addresses alone, as in localhost;127.0.0.1");
    }
    Ok(hosts)
}

/// A time in whole days.
pub(super) fn days(least: u64, most: u64) -> impl Fn(&str) -> Result<Duration, String> {
    const DAY: u64 = 24 * 3_600;
    move |text| whole::<u64>(least, most)(text).map(|days| Duration::from_secs(days * DAY))
}

/// A scope.
pub(super) fn scope(text: &str) -> Result<String, &'static str> {
    if is_scope(text) { Ok(text.to_owned()) } else { Err("is no scope (RFC 6749, section 3.3)") }
}

/// Scopes: tp-auth's JSON object of names and meanings, a JSON list, or names with commas.
pub(super) fn scopes(text: &str) -> Result<Vec<String>, String> {
    let scopes: Vec<_> = match json::from_str(text) {
        Ok(serde_json::Value::Object(scopes)) => scopes.keys().cloned().collect(),
        _ => json_list(text)?,
    };
    match scopes.iter().find(|scope| !is_scope(scope)) {
        Some(bad) => Err(format!("{bad:?} is no scope (RFC 6749, section 3.3)")),
        None if scopes.is_empty() => Err(NO_MEMBERS.to_owned()),
        None => Ok(scopes),
    }
}

/// The name of an algorithm.
pub(super) fn algorithm(name: &str) -> Result<Option<Algorithm>, String> {
    algorithm::parse(name).map(Some).map_err(|error| {
        let upper = name.to_ascii_uppercase();
        if upper == "NONE" {
            "`none` would let everybody in: unsigned tokens are never accepted".to_owned()
        } else if algorithm::parse(&upper).is_ok() {
            format!("names of algorithms are in capitals: write {upper}")
        } else {
            error.to_string()
        }
    })
}

/// A key in PEM as it is; what is not PEM is taken for base64 of PEM, tp-auth's form. Line ends that
/// editors leave are cut: two copies of one key are one key.
#[expect(clippy::unnecessary_wraps, reason = "every form of a value is of this type")]
pub(super) fn pem(text: &str) -> Result<Option<Secret>, Infallible> {
    let unpacked = if key::looks_like_pem(text.as_bytes()) {
        None
    } else {
        let packed: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        STANDARD.decode(packed).ok()
    };
    let pem = unpacked.map_or_else(|| Secret::new(text), Secret::new);
    Ok(Some(Secret::new(pem.expose().trim_ascii())))
}

/// A secret of so many bytes at least, and no key of a pair, whose public half others know.
pub(super) fn long_secret(least: usize) -> impl Fn(&str) -> Result<Option<Secret>, String> {
    move |text| {
        let secret = Secret::new(text.trim_ascii());
        if secret.expose().len() < least {
            Err(format!("is shorter than {least} bytes"))
        } else if key::is_asymmetric_key(secret.expose()) {
            Err(KeyError::PairAsSecret.to_string())
        } else {
            Ok(Some(secret))
        }
    }
}

/// The key of pseudonyms; authnzerver's `none` says that there are none.
pub(super) fn hash_key(text: &str) -> Result<Option<Secret>, String> {
    if text.trim_ascii() == "none" { Ok(None) } else { long_secret(MIN_HASH_KEY_BYTES)(text) }
}

/// Several such secrets, of which none holds a comma.
pub(super) fn long_secrets(least: usize) -> impl Fn(&str) -> Result<Vec<Secret>, String> {
    let one = long_secret(least);
    move |text| text.split(',').filter_map(|secret| one(secret).transpose()).collect()
}

/// Networks of gateways. Everybody is no gateway.
pub(super) fn gateway_networks(text: &str) -> Result<Networks, String> {
    let networks = networks(text)?;
    if networks.hold_everybody() {
        return Err("holds everybody: name the networks of your gateways".to_owned());
    }
    Ok(networks)
}

/// A header that a gateway writes.
pub(super) fn header(text: &str) -> Result<HeaderName, &'static str> {
    let header = HeaderName::from_bytes(text.as_bytes()).ok();
    let header = header.filter(|_| !text.contains('_'));
    let header = header.ok_or("is no name of a header; it has letters, digits and dashes")?;
    let is_id = header.as_str() == KnownField::REQUEST_ID.name();
    if is_id || [AUTHORIZATION, COOKIE, HOST].contains(&header) {
        return Err("is a header that has another purpose");
    }
    Ok(header)
}

/// The issuer's own URL, as it is written.
pub(super) fn public_url(text: &str) -> Result<String, &'static str> {
    let is_good = Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.query().is_none()
            && url.fragment().is_none()
            && !holds_credentials(&url)
    });
    if is_good {
        Ok(text.to_owned())
    } else {
        Err("is no URL such as https://id.example or https://example/id")
    }
}

/// The page that links in mails lead to.
pub(super) fn link_url(text: &str) -> Result<String, &'static str> {
    if !text.contains("{token}") {
        return Err("has no {token}, where the token of the link goes");
    }
    let filled = text.replace("{token}", "t").replace("{purpose}", "p");
    let url = Url::parse(&filled).ok().filter(|url| url.host().is_some());
    let url = url.ok_or("is no URL such as https://app.example/account?do={purpose}#{token}")?;
    if filled.contains(['{', '}']) || holds_credentials(&url) {
        return Err("holds something else in braces than {token} and {purpose}, or credentials");
    }
    match url.scheme() {
        "https" => Ok(text.to_owned()),
        "http" if is_this_host(&url) => Ok(text.to_owned()),
        _ => Err("carries tokens: https, or http to this host itself"),
    }
}

/// The URL of the hook, or of another service that is sent secrets.
pub(super) fn hook_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).ok().filter(|url| url.host().is_some());
    let url = url.ok_or("is no URL such as https://app.example/login")?;
    if holds_credentials(&url) {
        return Err(NEVER_SENT);
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_this_host(&url) => Ok(url),
        _ => Err("carries passwords: https, or http to this host itself"),
    }
}

/// The address of a login page, to which browsers are sent with the address to come back to.
pub(super) fn login_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).ok().filter(|url| url.host().is_some());
    let url = url.ok_or("is no URL such as https://login.example.org/")?;
    if holds_credentials(&url) || url.fragment().is_some() {
        return Err("holds a user, a password or a fragment; take it out");
    }
    if url.query().is_some_and(ReturnAddress::is_in) {
        return Err("holds a parameter `rd`, `rd_expires` or `rd_signature`; these are added");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_this_host(&url) => Ok(url),
        _ => Err("people log in there: https, or http to this host itself"),
    }
}

/// The mistake of a URL of a service that is asked without a password.
pub(super) const NEVER_SENT: &str = "holds a user or a password, which is never sent; take it out";

/// Says whether a user or a password stands in a URL.
pub(super) fn holds_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Says whether a URL leads to this host alone.
pub(super) fn is_this_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_what_a_header_holds_as_it_is() {
        assert_eq!(user_prefix("batch:"), Ok("batch:".to_owned()));
        assert_eq!(user_prefix(""), Ok(String::new()));
        for text in ["a b", "a,b", "100%", "é", "\r\n", &"x".repeat(129)] {
            assert!(user_prefix(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn people_log_in_over_https_and_nothing_of_ours_stands_in_the_query() {
        for (text, is_good) in [
            ("https://login.test/", true),
            ("https://login.test/start?lang=de", true),
            ("http://localhost:8081/login", true),
            ("http://127.0.0.1/", true),
            ("http://login.test/", false),
            ("login.test", false),
            ("/login", false),
            ("//login.test/", false),
            ("javascript:alert(1)", false),
            ("https://u:p@login.test/", false),
            ("https://login.test/#x", false),
            ("https://login.test/?rd=x", false),
            ("https://login.test/?rd_signature=x", false),
        ] {
            assert_eq!(login_url(text).is_ok(), is_good, "{text}");
        }
    }

    #[test]
    fn the_type_that_is_demanded_is_one_that_is_known() {
        for (text, read) in [
            ("any", Ok(false)),
            ("at+jwt", Ok(true)),
            ("application/at+jwt", Ok(true)),
            ("JWT", Err("write `any` or `at+jwt`")),
        ] {
            assert_eq!(at_jwt_only(text), read, "{text}");
        }
    }
}
