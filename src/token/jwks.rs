//! Keys that an issuer publishes as a JWK Set (RFC 7517), from a file or a URL.
//!
//! One task for each source reads it: at start, at every interval, and early where a token names
//! an unknown key. Being one task, it never fetches twice at once, and it never goes again before
//! the cooldown is over, so that tokens with invented key names cannot flood the source. Whatever
//! fails leaves the present keys in use, until they are older than the source's bound.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jsonwebtoken::jwk::Jwk;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::Url;

use super::algorithm::Algorithm;
use super::key::VerifyingKey;
use super::ring::KeyRing;
use crate::clock::Clock;

/// The largest key set that is read, in bytes.
const MOST_BYTES: usize = 1 << 20;
/// The most keys that are taken from one set.
const MOST_KEYS: usize = 256;
/// How long one fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a key set is.
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

/// A published key set and the terms on which it is read.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where it is.
    pub location: Location,
    /// The algorithm of keys that name none.
    pub assumed: Option<Algorithm>,
    /// How long after a good read it is read again.
    pub refresh: Duration,
    /// How long at least lies between two reads, whatever happens.
    pub cooldown: Duration,
    /// How long keys may be used after the last good read.
    pub max_age: Duration,
}

/// Why a key set could not be read.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// The file could not be read.
    #[error("cannot read the file: {0}")]
    File(#[from] std::io::Error),
    /// The server did not answer as it should.
    #[error("cannot fetch it: {0}")]
    Fetch(String),
    /// Not a JWK Set, or none of its keys may be used here.
    #[error("{0}")]
    Content(&'static str),
}

/// Reads key sets.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

impl Fetcher {
    /// A fetcher that trusts the system's certificate authorities.
    ///
    /// # Errors
    /// Where the system has none that can be read.
    pub fn new() -> std::io::Result<Self> {
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_native_roots()?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector) })
    }

    /// Reads a source once.
    ///
    /// # Errors
    /// [`JwksError`]; redirects count as failures, since they would let the source's server send
    /// us wherever it likes.
    pub async fn read(&self, source: &Source) -> Result<Vec<VerifyingKey>, JwksError> {
        let content = async {
            match &source.location {
                Location::File(path) => read_file(path).await,
                Location::Url(url) => self.get(url).await,
            }
        };
        let content = tokio::time::timeout(FETCH_TIMEOUT, content)
            .await
            .map_err(|_| JwksError::Fetch("no answer in time".to_owned()))??;
        if content.len() > MOST_BYTES {
            return Err(JwksError::Content("it is larger than 1 MiB"));
        }
        parse(&content, source.assumed)
    }

    async fn get(&self, url: &Url) -> Result<Vec<u8>, JwksError> {
        let request = http::Request::get(url.as_str())
            .header(http::header::ACCEPT, "application/jwk-set+json, application/json")
            .body(Empty::new())
            .map_err(|_| JwksError::Fetch("the URL cannot be requested".to_owned()))?;
        let response =
            self.client.request(request).await.map_err(|error| JwksError::Fetch(chain(&error)))?;
        if response.status() != http::StatusCode::OK {
            return Err(JwksError::Fetch(format!("status {}", response.status().as_u16())));
        }
        let body = Limited::new(response.into_body(), MOST_BYTES).collect().await;
        let body = body.map_err(|error| JwksError::Fetch(error.to_string()))?;
        Ok(body.to_bytes().into())
    }
}

/// A file, and of an endless one no more than tells that it is too long.
async fn read_file(path: &Path) -> Result<Vec<u8>, JwksError> {
    let mut content = Vec::new();
    let file = tokio::fs::File::open(path).await?;
    file.take(MOST_BYTES as u64 + 1).read_to_end(&mut content).await?;
    Ok(content)
}

/// Keeps `ring` filled from `source` until `stop`.
pub async fn keep(
    ring: Arc<KeyRing>,
    source: Source,
    fetcher: Fetcher,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    loop {
        let asked = clock.monotonic();
        let pause = match fetcher.read(&source).await {
            Ok(keys) => {
                let before = ring.generation();
                let count = keys.len();
                ring.replace(keys, asked.saturating_add(source.max_age));
                if ring.generation() != before {
                    info!(source = %source.location, count, "keys of the issuer changed");
                }
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
            ring.refresh_wanted().await;
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = wanted => {}
        }
    }
}

/// Whether some key of the set is a private one (RFC 7518, sections 6.2.2 and 6.3.2).
pub fn holds_private_key(content: &[u8]) -> bool {
    let set: serde_json::Value = serde_json::from_slice(content).unwrap_or_default();
    let keys = set.get("keys").and_then(serde_json::Value::as_array);
    keys.is_some_and(|keys| keys.iter().any(|key| key.get("d").is_some()))
}

/// Takes the usable keys out of a JWK Set. Keys that are not for signatures, are secrets, or are
/// of an unsupported kind are left out, as RFC 7517, section 5, asks; the others stay usable.
///
/// # Errors
/// [`JwksError::Content`] where it is no key set, or nothing in it is usable.
pub fn parse(content: &[u8], assumed: Option<Algorithm>) -> Result<Vec<VerifyingKey>, JwksError> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set = serde_json::from_slice(content)
        .map_err(|_| JwksError::Content("it is not a JWK Set: {\"keys\": [...]}"))?;
    let mut keys = Vec::new();
    for value in set.keys.into_iter().take(MOST_KEYS) {
        let read = serde_json::from_value::<Jwk>(value)
            .map_err(|error| error.to_string())
            .and_then(|jwk| VerifyingKey::from_jwk(&jwk, assumed).map_err(|e| e.to_string()));
        match read {
            Ok(key) => keys.push(key),
            Err(reason) => info!(reason, "a key of the set is left out"),
        }
    }
    if keys.is_empty() {
        return Err(JwksError::Content("none of its keys can verify signatures here"));
    }
    Ok(keys)
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::secret::SystemRandom;
    use crate::token::key::{self, SigningKey};

    fn published(algorithm: Algorithm) -> serde_json::Value {
        let pem = key::generate(algorithm, &SystemRandom).unwrap();
        let key = SigningKey::from_private_pem(algorithm, &pem).unwrap();
        serde_json::to_value(key.verifying().public().unwrap().jwk()).unwrap()
    }

    #[test]
    fn one_bad_key_does_not_spoil_the_others() {
        let set = json!({"keys": [
            {"kty": "oct", "k": "c2VjcmV0"},
            {"kty": "EC", "crv": "P-521", "x": "x", "y": "y", "alg": "ES512"},
            {"kty": "new", "alg": "ML-DSA-65"},
            5,
            published(Algorithm::ES256),
            published(Algorithm::EdDSA),
        ]});
        let keys = parse(set.to_string().as_bytes(), None).unwrap();
        assert_eq!(keys.len(), 2);
    }

    #[test]
    fn a_set_without_a_usable_key_is_an_error() {
        for set in ["", "{}", "[]", "{\"keys\":5}", "{\"keys\":[]}", "{\"keys\":[{}]}"] {
            assert!(parse(set.as_bytes(), None).is_err(), "{set}");
        }
    }

    #[test]
    fn a_key_without_an_algorithm_takes_the_issuers() {
        let mut rsa = published(Algorithm::RS256);
        rsa.as_object_mut().unwrap().remove("alg");
        let set = json!({ "keys": [rsa] }).to_string();
        for (assumed, found) in
            [(None, Algorithm::RS256), (Some(Algorithm::PS512), Algorithm::PS512)]
        {
            assert_eq!(parse(set.as_bytes(), assumed).unwrap()[0].algorithm(), found);
        }
    }

    #[test]
    fn a_location_prints_without_credentials() {
        let url = Url::parse("https://user:pass@idp.example/keys?api_key=hush").unwrap();
        assert_eq!(Location::Url(url).to_string(), "https://idp.example/keys");
    }
}
