//! Keys that an issuer publishes as a JWK Set (RFC 7517), from a file or a URL.
//!
//! One task for each source reads it: at start, at every interval, and early where a token names an
//! unknown key. Since it is one task, it never fetches twice at once, and it never fetches again
//! before the cooldown is over, so that tokens with invented key names cannot flood the source.
//! After a failure the present keys stay in use, until they are older than the source's bound. A
//! set that can be read and holds no key is no failure: its issuer withdrew its keys, and none of
//! its tokens is good any more.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use jsonwebtoken::jwk::Jwk;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::Url;

use super::algorithm::Algorithm;
use super::key::VerifyingKey;
use super::ring::{KeyRing, UsableUntil};
use crate::clock::Clock;
use crate::wire::file;
use crate::wire::https::{self, HttpsClient, HttpsError};
use crate::wire::json;

/// The largest key set that is read, in bytes.
const MAX_BYTES: usize = 1 << 20;
/// The most keys that are taken from one set.
const MAX_KEYS: usize = 256;
/// The time that one fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// The location of a key set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A file on this host.
    File(PathBuf),
    /// An `https` URL, or `http` where the configuration allowed it.
    Url(Url),
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            // A query may hold an API key, and user and password are secrets by nature.
            Self::Url(url) => {
                write!(f, "{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
            }
        }
    }
}

/// A published key set, and how often it is read.
#[derive(Clone, Debug)]
pub struct Source {
    /// The location of the set.
    pub location: Location,
    /// The algorithm of keys that name none.
    pub assumed: Option<Algorithm>,
    /// The time after a good read until the next one.
    pub refresh: Duration,
    /// The least time between two reads, whatever happens.
    pub cooldown: Duration,
    /// The time for which keys may be used after the last good read.
    pub max_age: Duration,
}

/// The reason why a key set could not be read.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// The file could not be read.
    #[error("cannot read the file: {0}")]
    File(#[from] std::io::Error),
    /// The server did not answer as it should.
    #[error("cannot fetch it: {0}")]
    Fetch(String),
    /// Not a JWK Set.
    #[error("{0}")]
    Content(&'static str),
    /// None of its keys may be used here; the text has the reason for each.
    #[error("none of its keys can verify signatures here{0}")]
    NoneUsable(String),
}

/// The content of a JWK Set that is of use here.
#[derive(Debug)]
pub struct KeySet {
    /// The keys that verify. There may be none.
    pub keys: Vec<VerifyingKey>,
    /// The keys that are not used.
    pub skipped: Vec<SkippedKey>,
}

/// A key that is not used, since it cannot verify signatures here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedKey {
    /// Its position in the set; the first is 1.
    position: usize,
    kid: Option<String>,
    reason: String,
}

impl std::fmt::Display for SkippedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "key {}", self.position)?;
        if let Some(kid) = &self.kid {
            write!(f, " ({kid})")?;
        }
        write!(f, " is left out: {}", self.reason)
    }
}

impl KeySet {
    /// The keys, where there must be at least one, as in a file that an operator just wrote.
    ///
    /// # Errors
    /// [`JwksError::NoneUsable`].
    pub fn usable(self) -> Result<Vec<VerifyingKey>, JwksError> {
        if self.keys.is_empty() {
            let reported = self.skipped.iter().map(|skipped| format!("; {skipped}"));
            return Err(JwksError::NoneUsable(reported.collect()));
        }
        Ok(self.keys)
    }
}

/// Reads key sets.
#[derive(Clone, Debug)]
pub struct Fetcher(HttpsClient);

impl Fetcher {
    /// A fetcher that trusts the system's certificate authorities.
    ///
    /// # Errors
    /// The system has none that can be read.
    pub fn new() -> std::io::Result<Self> {
        HttpsClient::new(FETCH_TIMEOUT).map(Self)
    }

    /// Reads a source once.
    ///
    /// # Errors
    /// [`JwksError`]. Redirects count as failures, since the source's server could send us anywhere
    /// by them.
    pub async fn read(&self, source: &Source) -> Result<KeySet, JwksError> {
        let content = async {
            match &source.location {
                Location::File(path) => {
                    let path = path.clone();
                    let read = tokio::task::spawn_blocking(move || file::read(&path)).await;
                    Ok(read.map_err(std::io::Error::other)??)
                }
                Location::Url(url) => self.get(url).await,
            }
        };
        let content = tokio::time::timeout(FETCH_TIMEOUT, content)
            .await
            .map_err(|_| JwksError::Fetch("no answer in time".to_owned()))??;
        parse(&content, source.assumed)
    }

    async fn get(&self, url: &Url) -> Result<Vec<u8>, JwksError> {
        let request = http::Request::get(url.as_str())
            .header(http::header::ACCEPT, "application/jwk-set+json, application/json")
            .body(Full::new(Bytes::new()))
            .map_err(|_| JwksError::Fetch("the URL cannot be requested".to_owned()))?;
        let response = self.0.send(request).await?;
        if response.status() != http::StatusCode::OK {
            return Err(JwksError::Fetch(format!("status {}", response.status().as_u16())));
        }
        Ok(https::read(response, MAX_BYTES).await?.into())
    }
}

impl From<HttpsError> for JwksError {
    fn from(error: HttpsError) -> Self {
        Self::Fetch(error.to_string())
    }
}

/// Refreshes `ring` from `source`, again and again, until `stop`.
pub async fn refresh_periodically(
    ring: Arc<KeyRing>,
    source: Source,
    fetcher: Fetcher,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let mut reported = None;
    loop {
        let until = UsableUntil::after(source.max_age, clock.as_ref());
        let pause = match fetcher.read(&source).await {
            Ok(set) => {
                apply(&ring, &source, set, until, &mut reported);
                source.refresh.max(source.cooldown)
            }
            Err(error) => {
                warn!(source = %source.location, %error, "keys of the issuer could not be read; \
                       those at hand stay in use");
                source.cooldown
            }
        };
        let wanted = async {
            tokio::time::sleep(source.cooldown).await;
            ring.refresh_requested().await;
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = wanted => {}
        }
    }
}

/// Swaps in the keys that were read. A key that cannot be used is reported when it is seen first,
/// not at every read.
fn apply(
    ring: &KeyRing,
    source: &Source,
    set: KeySet,
    until: UsableUntil,
    reported: &mut Option<Vec<SkippedKey>>,
) {
    let (before, count) = (ring.generation(), set.keys.len());
    ring.replace(set.keys, until);
    let is_new = reported.as_ref() != Some(&set.skipped);
    if is_new {
        for skipped in &set.skipped {
            info!(source = %source.location, "{skipped}");
        }
    }
    if count == 0 && (is_new || ring.generation() != before) {
        warn!(source = %source.location, "the issuer publishes no key that can verify: none of its \
               tokens is good");
    } else if ring.generation() != before {
        info!(source = %source.location, count, "keys of the issuer changed");
    }
    *reported = Some(set.skipped);
}

/// Returns whether a key of the set is a private one (RFC 7518, sections 6.2.2 and 6.3.2).
pub fn holds_private_key(content: &[u8]) -> bool {
    let set: serde_json::Value = json::from_slice(content).unwrap_or_default();
    let keys = set.get("keys").and_then(serde_json::Value::as_array);
    keys.is_some_and(|keys| keys.iter().any(|key| key.get("d").is_some()))
}

/// Takes the usable keys out of a JWK Set. The others are left out, as RFC 7517, section 5, asks:
/// keys that are not for signatures, are secrets, are of an unsupported kind, or can never verify.
///
/// # Errors
/// [`JwksError::Content`] where it is no key set.
pub fn parse(content: &[u8], assumed: Option<Algorithm>) -> Result<KeySet, JwksError> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set = json::from_slice(content)
        .map_err(|_| JwksError::Content("it is not a JWK Set: {\"keys\": [...]}"))?;
    if set.keys.len() > MAX_KEYS {
        return Err(JwksError::Content("it holds more than 256 keys"));
    }
    let (mut keys, mut skipped) = (Vec::new(), Vec::new());
    for (position, value) in (1..).zip(set.keys) {
        let kid = value.get("kid").and_then(serde_json::Value::as_str).map(sanitized);
        let read = serde_json::from_value::<Jwk>(value)
            .map_err(|error| sanitized(&error.to_string()))
            .and_then(|jwk| VerifyingKey::from_jwk(&jwk, assumed).map_err(|e| e.to_string()));
        match read {
            Ok(key) => keys.push(key),
            Err(reason) => skipped.push(SkippedKey { position, kid, reason }),
        }
    }
    Ok(KeySet { keys, skipped })
}

/// A foreign text, fit for one line: bounded, and without control characters.
fn sanitized(text: &str) -> String {
    text.chars().take(160).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests;
