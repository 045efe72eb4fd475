//! One cell: what the client and the app saw, in words that no port, time or token can change.

use std::fmt;

use crate::support::app::ReceivedRequest;
use crate::support::http::Response;
use crate::support::suite::IDENTITY;
use crate::support::tokens;

/// The mark in all that a client makes up.
pub const FORGED: &str = "forged";

/// One cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// In the client's eyes.
    pub client: String,
    /// In the app's eyes.
    pub app: String,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {}", self.client, self.app)
    }
}

/// The status of an answer, with the error of its challenge and the scopes that it asks for.
pub fn answer(response: &Response) -> String {
    let Some(challenge) = response.header("www-authenticate") else {
        return response.status.to_string();
    };
    let parameter = |name: &str| challenge.split(&format!("{name}=\"")).nth(1)?.split('"').next();
    let scheme = challenge.split(' ').next().unwrap_or_default();
    let mut text = format!("{} `{scheme}`", response.status);
    for name in ["error", "scope"] {
        text += &parameter(name).map(|value| format!(" `{value}`")).unwrap_or_default();
    }
    text
}

/// What reached the app: nothing, or one request with an identity, a body, and what a client forged.
pub fn reached(seen: &[ReceivedRequest], token: Option<&str>) -> String {
    let [one] = seen else {
        return if seen.is_empty() {
            "nothing".to_owned()
        } else {
            format!("{} requests", seen.len())
        };
    };
    let mut text = format!("`{} {}` of {}", one.method, one.target, identity(one, token));
    if !one.body.is_empty() {
        text += &format!(", {} bytes", one.body.len());
    }
    if !one.values("upgrade").is_empty() {
        text += &format!(", upgrade to {}", one.values("upgrade").join(" and "));
    }
    let made_up = |(name, value): &&(String, String)| {
        value.contains(FORGED) && !name.eq_ignore_ascii_case("cookie")
    };
    for (name, value) in one.headers.iter().filter(made_up) {
        text += &format!(", {name}: {value}");
    }
    text
}

/// The user whose token it is, where the seven headers are the token's and stand there once each; or nobody.
fn identity(seen: &ReceivedRequest, token: Option<&str>) -> String {
    let told = IDENTITY.map(|name| seen.values(name).join(" and "));
    if told.iter().all(String::is_empty) {
        return "nobody".to_owned();
    }
    let claims = token.map(tokens::claims).unwrap_or_default();
    let claim = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
    let own = [
        claim("sub"),
        String::new(),
        String::new(),
        claim("scope"),
        String::new(),
        claim("sid"),
        claim("iss"),
    ];
    if told == own { claim("sub") } else { format!("{told:?}") }
}
