//! Keys that an issuer publishes (a JWK Set): their place, and how often they are read.

use std::path::Path;
use std::time::Duration;

use url::{Host, Url};

use super::file_permissions;
use super::reader::Reader;
use crate::token::jwks::{self, Location, Source};
use crate::token::{Algorithm, KeyError};

/// Times of reading published keys.
pub(super) struct JwksConfig {
    refresh: Duration,
    cooldown: Duration,
    max_age: Duration,
    allow_http: bool,
}

impl JwksConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let config = Self {
            refresh: reader.seconds("JWKS_REFRESH", 1.0, 86_400.0),
            cooldown: reader.seconds("JWKS_COOLDOWN", 1.0, 86_400.0),
            max_age: reader.seconds("JWKS_MAX_AGE", 1.0, 31_536_000.0),
            allow_http: reader.boolean("JWKS_INSECURE_HTTP"),
        };
        if config.max_age < config.refresh.max(config.cooldown).saturating_add(config.cooldown) {
            reader.wrong(
                "JWKS_MAX_AGE",
                "is so short that the keys would lapse between two reads; \
                 make it longer than JWKS_REFRESH and JWKS_COOLDOWN together",
            );
        }
        config
    }

    pub(super) fn source(&self, location: Location, assumed: Option<Algorithm>) -> Source {
        let Self { refresh, cooldown, max_age, .. } = *self;
        Source { location, assumed, refresh, cooldown, max_age }
    }

    /// A URL that keys may come from: whoever can change them on the way can sign tokens.
    pub(super) fn location(&self, url: &str) -> Result<Location, String> {
        let url = Url::parse(url).map_err(|error| format!("is not a URL: {error}"))?;
        let is_local = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => return Err("has no host".to_owned()),
        };
        if holds_credentials(&url) {
            return Err(NEVER_SENT.to_owned());
        }
        match url.scheme() {
            "https" => Ok(Location::Url(url)),
            "http" if is_local || self.allow_http => Ok(Location::Url(url)),
            "http" => Err("http does not protect the keys on their way; \
                           use https, or set JWKS_INSECURE_HTTP=true"
                .to_owned()),
            other => Err(format!("{other:?} is no scheme to fetch keys by; use https")),
        }
    }
}

/// What is wrong with a URL of a service that is asked without a password.
pub(super) const NEVER_SENT: &str = "holds a user or a password, which is never sent; take it out";

/// Whether a user or a password stands in a URL.
pub(super) fn holds_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// JWKS_FILE or JWKS_URL.
pub(super) fn published(
    reader: &mut Reader<'_>,
    config: &JwksConfig,
    assumed: Option<Algorithm>,
) -> Option<Source> {
    let file = reader.path("JWKS_FILE");
    if let Some(problem) = file.as_deref().and_then(|path| problem_of_key_set(path, assumed)) {
        reader.wrong("JWKS_FILE", problem);
    }
    if let Some(path) = &file {
        file_permissions::warn_of_public(reader.mistakes, "JWKS_FILE", path);
    }
    let file = file.map(Location::File);
    let url = reader.optional("JWKS_URL").and_then(|url| {
        config.location(&url).map_err(|problem| reader.wrong("JWKS_URL", problem)).ok()
    });
    if file.is_some() && url.is_some() {
        reader.wrong("JWKS_FILE", "JWKS_URL is set too; choose one");
    }
    file.or(url).map(|location| config.source(location, assumed))
}

/// What is wrong with a key set in a file, which is read again and again later.
pub(super) fn problem_of_key_set(path: &Path, assumed: Option<Algorithm>) -> Option<String> {
    let content = match read_key_file(path) {
        Ok(content) => content,
        Err(problem) => return Some(problem),
    };
    if jwks::holds_private_key(&content) {
        return Some(KeyError::PrivateWherePublic.to_string());
    }
    let usable = jwks::parse(&content, assumed).and_then(jwks::KeySet::usable);
    usable.err().map(|error| error.to_string())
}

/// A file with a key. Its path may be told: it is a path, and not a secret's setting.
pub(super) fn read_key_file(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// A file with a secret. Its path is not told: often enough it is the secret itself, set by mistake.
pub(super) fn read_secret_file(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("cannot read the secret's file: {error}"))
}
