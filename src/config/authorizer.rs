//! AUTHORIZER_URL: the external authorizer that routes with `authorize` ask.

use std::time::Duration;

use http::HeaderValue;
use url::Url;

use super::reader::Reader;
use super::settings::{self, Entry};
use super::texts::{NEVER_SENT, holds_credentials, is_this_host};
use crate::gate::authorizer::{AuthorizerConfig, AuthorizerFormat};
use crate::secret::Secret;
use crate::wire::https::Authorities;

/// The settings that say nothing without an address.
const OF_NO_USE_ALONE: [&Entry; 6] = [
    settings::AUTHORIZER_FORMAT.entry,
    settings::AUTHORIZER_TOKEN.entry,
    settings::AUTHORIZER_CA_FILE.entry,
    settings::AUTHORIZER_TIMEOUT.entry,
    settings::AUTHORIZER_CACHE.entry,
    settings::AUTHORIZER_INSECURE_HTTP.entry,
];

/// Reads the section; an answer may be as old as what is known of a session, which is `staleness`.
pub(super) fn read(reader: &mut Reader<'_>, staleness: Duration) -> Option<AuthorizerConfig> {
    let allows_http = reader.get(settings::AUTHORIZER_INSECURE_HTTP);
    let Some(text) = reader.get(settings::AUTHORIZER_URL) else {
        let set = OF_NO_USE_ALONE.into_iter().filter(|setting| reader.is_set(*setting));
        for setting in set.collect::<Vec<_>>() {
            reader.warn(setting, "is not used: there is no AUTHORIZER_URL");
        }
        return None;
    };
    let url = reader.good(settings::AUTHORIZER_URL, address(&text, allows_http));
    let format = reader.get(settings::AUTHORIZER_FORMAT);
    let token = reader.get(settings::AUTHORIZER_TOKEN);
    let is_unfit = |token: &Secret| HeaderValue::from_bytes(token.expose()).is_err();
    if token.as_ref().is_some_and(is_unfit) {
        reader.wrong(settings::AUTHORIZER_TOKEN, "cannot stand in a header");
    }
    if token.is_none() && format == AuthorizerFormat::Oso {
        reader.wrong(settings::AUTHORIZER_FORMAT, "oso needs AUTHORIZER_TOKEN, an API key");
    }
    let authorities = reader.get(settings::AUTHORIZER_CA_FILE).and_then(|path| {
        let read = std::fs::read(&path).map_err(|error| format!("cannot read it: {error}"));
        let parsed = read.and_then(|pem| Authorities::parse(&pem));
        reader.good(settings::AUTHORIZER_CA_FILE, parsed)
    });
    if authorities.is_some() && url.as_ref().is_some_and(|url| url.scheme() == "http") {
        reader.wrong(settings::AUTHORIZER_CA_FILE, "is for https: AUTHORIZER_URL encrypts nothing");
    }
    let max_age = reader.get(settings::AUTHORIZER_CACHE).unwrap_or(staleness);
    if max_age > staleness {
        let problem = "is more than SESSION_STALENESS, the bound of all that is remembered";
        reader.wrong(settings::AUTHORIZER_CACHE, problem);
    }
    let timeout = reader.get(settings::AUTHORIZER_TIMEOUT);
    Some(AuthorizerConfig { url: url?, format, token, authorities, timeout, max_age })
}

/// The address: whoever can change an answer on its way lets everybody in.
fn address(text: &str, allows_http: bool) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| url.host().is_some());
    let url = url.ok_or("is no URL such as https://opa.example/v1/data/app/allow")?;
    if holds_credentials(&url) {
        return Err(NEVER_SENT.to_owned());
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_this_host(&url) || allows_http => Ok(url),
        "http" => Err("http does not protect the answers on their way; use https, or set \
                       AUTHORIZER_INSECURE_HTTP=true"
            .to_owned()),
        other => Err(format!("{other:?} is no scheme to ask by; use https")),
    }
}
