//! Keys that an issuer publishes (a JWK Set): their place, and how often they are read.

use std::path::Path;
use std::time::Duration;

use url::Url;

use super::file_permissions;
use super::reader::Reader;
use super::settings;
use super::texts::{NEVER_SENT, holds_credentials, is_this_host};
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
            refresh: reader.get(settings::JWKS_REFRESH),
            cooldown: reader.get(settings::JWKS_COOLDOWN),
            max_age: reader.get(settings::JWKS_MAX_AGE),
            allow_http: reader.get(settings::JWKS_INSECURE_HTTP),
        };
        if config.max_age < config.refresh.max(config.cooldown).saturating_add(config.cooldown) {
            reader.wrong(
                settings::JWKS_MAX_AGE,
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
        if url.host().is_none() {
            return Err("has no host".to_owned());
        }
        if holds_credentials(&url) {
            return Err(NEVER_SENT.to_owned());
        }
        match url.scheme() {
            "https" => Ok(Location::Url(url)),
            "http" if is_this_host(&url) || self.allow_http => Ok(Location::Url(url)),
            "http" => Err("http does not protect the keys on their way; \
                           use https, or set JWKS_INSECURE_HTTP=true"
                .to_owned()),
            other => Err(format!("{other:?} is no scheme to fetch keys by; use https")),
        }
    }
}

/// JWKS_FILE or JWKS_URL.
pub(super) fn published(
    reader: &mut Reader<'_>,
    config: &JwksConfig,
    assumed: Option<Algorithm>,
) -> Option<Source> {
    let file = reader.get(settings::JWKS_FILE);
    if let Some(path) = &file {
        if let Some(problem) = problem_of_key_set(path, assumed) {
            reader.wrong(settings::JWKS_FILE, problem);
        }
        file_permissions::warn_of_public(&mut reader.mistakes, "JWKS_FILE", path);
    }
    let file = file.map(Location::File);
    let url = reader.get(settings::JWKS_URL);
    let url = url.and_then(|url| reader.good(settings::JWKS_URL, config.location(&url)));
    if file.is_some() && url.is_some() {
        reader.wrong(settings::JWKS_FILE, "JWKS_URL is set too; choose one");
    }
    file.or(url).map(|location| config.source(location, assumed))
}

/// The problem of a key set in a file, which is read again and again later.
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
