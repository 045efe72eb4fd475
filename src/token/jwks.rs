//! Keys that an issuer publishes as a JWK Set (RFC 7517), from a file or a URL.
//!
//! One task for each source reads it: at start, at every interval, and early where a token names
//! an unknown key. Being one task, it never fetches twice at once, and it never goes again before
//! the cooldown is over, so that tokens with invented key names cannot flood the source. Whatever
//! fails leaves the present keys in use, until they are older than the source's bound. A set that
//! can be read and holds no key is no failure: its issuer withdrew his keys, and no token of his is
//! good any more.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use jsonwebtoken::jwk::Jwk;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::Url;

use super::algorithm::Algorithm;
use super::key::VerifyingKey;
use super::ring::{KeyRing, UsableUntil};
use crate::clock::Clock;
use crate::wire::https::{self, HttpsClient, HttpsError};

/// The largest key set that is read, in bytes.
const MAX_BYTES: usize = 1 << 20;
/// The most keys that are taken from one set.
const MAX_KEYS: usize = 256;
/// How long one fetch may take.
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
    /// Not a JWK Set.
    #[error("{0}")]
    Content(&'static str),
    /// None of its keys may be used here; why not, of each.
    #[error("none of its keys can verify signatures here{0}")]
    NoneUsable(String),
}

/// What a JWK Set holds for us.
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
    /// The keys, where there must be one, as in a file that somebody just wrote.
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
    /// Where the system has none that can be read.
    pub fn new() -> std::io::Result<Self> {
        HttpsClient::new().map(Self)
    }

    /// Reads a source once.
    ///
    /// # Errors
    /// [`JwksError`]; redirects count as failures, since they would let the source's server send
    /// us wherever it likes.
    pub async fn read(&self, source: &Source) -> Result<KeySet, JwksError> {
        let content = async {
            match &source.location {
                Location::File(path) => read_file(path).await,
                Location::Url(url) => self.get(url).await,
            }
        };
        let content = tokio::time::timeout(FETCH_TIMEOUT, content)
            .await
            .map_err(|_| JwksError::Fetch("no answer in time".to_owned()))??;
        if content.len() > MAX_BYTES {
            return Err(JwksError::Content("it is larger than 1 MiB"));
        }
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

/// A file, and of an endless one no more than tells that it is too long.
async fn read_file(path: &Path) -> Result<Vec<u8>, JwksError> {
    let mut content = Vec::new();
    let file = tokio::fs::File::open(path).await?;
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut content).await?;
    Ok(content)
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

/// Swaps in what was read. A key that cannot be used is reported when it is seen first, not at
/// every read.
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

/// Whether some key of the set is a private one (RFC 7518, sections 6.2.2 and 6.3.2).
pub fn holds_private_key(content: &[u8]) -> bool {
    let set: serde_json::Value = serde_json::from_slice(content).unwrap_or_default();
    let keys = set.get("keys").and_then(serde_json::Value::as_array);
    keys.is_some_and(|keys| keys.iter().any(|key| key.get("d").is_some()))
}

/// Takes the usable keys out of a JWK Set. Keys that are not for signatures, are secrets, or are
/// of an unsupported kind, or can never verify, are left out, as RFC 7517, section 5, asks; the
/// others stay usable.
///
/// # Errors
/// [`JwksError::Content`] where it is no key set.
pub fn parse(content: &[u8], assumed: Option<Algorithm>) -> Result<KeySet, JwksError> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set = serde_json::from_slice(content)
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

/// A text of somebody else's, fit for one line: bounded, and without control characters.
fn sanitized(text: &str) -> String {
    text.chars().take(160).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
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
        let set = parse(set.to_string().as_bytes(), None).unwrap();
        assert_eq!((set.keys.len(), set.skipped.len()), (2, 4));
        let positions: Vec<_> = set.skipped.iter().map(|skipped| skipped.position).collect();
        assert_eq!(positions, [1, 2, 3, 4]);
    }

    #[test]
    fn what_is_no_key_set_is_an_error_and_an_empty_one_is_not() {
        for set in ["", "{}", "[]", "{\"keys\":5}", "null", "<html>"] {
            assert!(parse(set.as_bytes(), None).is_err(), "{set}");
        }
        for (set, skipped) in [("{\"keys\":[]}", 0), ("{\"keys\":[{}]}", 1)] {
            let read = parse(set.as_bytes(), None).unwrap();
            assert_eq!((read.keys.len(), read.skipped.len()), (0, skipped), "{set}");
            assert!(read.usable().is_err(), "where there must be one");
        }
    }

    #[test]
    fn a_key_that_is_left_out_is_named_on_one_line() {
        let mut key = published(Algorithm::ES256);
        (key["kid"], key["use"]) = ("a\nb".into(), "enc".into());
        let set = json!({ "keys": [key] }).to_string();
        let reported = parse(set.as_bytes(), None).unwrap().usable().unwrap_err().to_string();
        assert!(reported.contains("key 1 (a\\nb) is left out: its `use`"), "{reported}");
        assert!(!reported.contains('\n'), "{reported}");
    }

    /// `n` and `e` as the faulty libraries write them: with the sign byte of ASN.1 before them.
    #[test]
    fn leading_zeros_of_an_rsa_key_are_as_good_as_not_there() {
        let pem = key::generate(Algorithm::RS256, &SystemRandom).unwrap();
        let signer = SigningKey::from_private_pem(Algorithm::RS256, &pem).unwrap();
        let token = signer.sign(&json!({"sub": "alice"})).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let good = serde_json::to_value(signer.verifying().public().unwrap().jwk()).unwrap();
        for zeros in [0, 1, 3] {
            let mut padded = good.clone();
            for name in ["n", "e"] {
                let number = URL_SAFE_NO_PAD.decode(good[name].as_str().unwrap()).unwrap();
                let number = [vec![0; zeros], number].concat();
                padded[name] = URL_SAFE_NO_PAD.encode(number).into();
            }
            let set = json!({ "keys": [padded] }).to_string();
            let keys = parse(set.as_bytes(), None).unwrap().keys;
            assert!(keys[0].verifies(message.as_bytes(), signature), "{zeros} zeros");
            let numbers = |key: &VerifyingKey| key.public().unwrap().jwk().algorithm.clone();
            assert_eq!(numbers(&keys[0]), numbers(signer.verifying()), "one key, one thumbprint");
        }
    }

    #[test]
    fn keys_that_can_never_verify_are_left_out() {
        let rsa = published(Algorithm::RS256);
        let with = |mut key: serde_json::Value, name: &str, bytes: &[u8]| {
            key[name] = URL_SAFE_NO_PAD.encode(bytes).into();
            key
        };
        let even = {
            let mut n = URL_SAFE_NO_PAD.decode(rsa["n"].as_str().unwrap()).unwrap();
            *n.last_mut().unwrap() &= 0xfe;
            n
        };
        let ec = published(Algorithm::ES256);
        let set = json!({"keys": [
            with(rsa.clone(), "n", &even),
            with(rsa.clone(), "n", &[0xff; 1025]),
            with(rsa.clone(), "n", &[0; 256]),
            with(rsa.clone(), "e", &[]),
            with(rsa.clone(), "e", &[1]),
            with(rsa.clone(), "e", &[2]),
            with(rsa.clone(), "e", &[0xff; 5]),
            // Not a point of the curve.
            with(ec.clone(), "x", &[7; 32]),
            with(ec, "y", &[0; 32]),
        ]});
        let read = parse(set.to_string().as_bytes(), None).unwrap();
        assert_eq!((read.keys.len(), read.skipped.len()), (0, 9), "{:?}", read.keys);
    }

    #[test]
    fn a_key_without_an_algorithm_takes_the_issuers() {
        let mut rsa = published(Algorithm::RS256);
        rsa.as_object_mut().unwrap().remove("alg");
        let set = json!({ "keys": [rsa] }).to_string();
        for (assumed, found) in
            [(None, Algorithm::RS256), (Some(Algorithm::PS512), Algorithm::PS512)]
        {
            assert_eq!(parse(set.as_bytes(), assumed).unwrap().keys[0].algorithm(), found);
        }
    }

    #[test]
    fn a_location_prints_without_credentials() {
        let url = Url::parse("https://user:pass@idp.example/keys?api_key=hush").unwrap();
        assert_eq!(Location::Url(url).to_string(), "https://idp.example/keys");
    }
}
