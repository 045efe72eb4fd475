//! DPoP proofs (RFC 9449, section 4): a small JWT by which a sender shows that it has a key.
//!
//! A token never chooses its key; a proof brings its own, since it shows nothing else than that its
//! sender has it. So a proof is a type of its own, which no verifier of tokens ever sees. Whether it is
//! of the key that a token is bound to, for this request, and in time, is decided elsewhere.

use jsonwebtoken::jwk::Jwk;
use serde::Deserialize;
use serde_json::Value;

use super::algorithm::{self, Algorithm};
use super::claims::Claims;
use super::confirmation::Thumbprint;
use super::jws::{self, Parts, Presence};
use super::key::VerifyingKey;
use crate::clock::UnixTime;
use crate::wire::json;

/// The algorithms of proofs, as a challenge names them.
pub const ALGORITHMS: &str = "ES256 ES384 EdDSA PS256 RS256";
/// The same. All are of key pairs: a shared secret would prove nothing (RFC 9449, section 4.2).
const ACCEPTED: [Algorithm; 5] =
    [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, Algorithm::PS256, Algorithm::RS256];
/// The type of a proof (RFC 9449, section 4.2).
const TYPE: &str = "dpop+jwt";
/// The most bytes of a proof. One with an RSA key of 4096 bits has about 2,000.
const MAX_BYTES: usize = 4_096;
/// The members of a JWK that no public key has (RFC 7518, sections 6.2.2, 6.3.2 and 6.4).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A proof whose signature is not checked yet.
#[derive(Debug)]
pub struct UncheckedProof<'t> {
    claimed: DpopProof,
    key: VerifyingKey,
    parts: Parts<'t>,
}

/// A proof whose signature is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DpopProof {
    /// The thumbprint of its key (RFC 7638).
    pub key: Thumbprint,
    /// The method of the request that it is for.
    pub method: String,
    /// The URL of that request.
    pub url: String,
    /// The time at which it was made.
    pub issued: UnixTime,
    /// Its name, which no other proof of that key has.
    pub id: String,
    /// SHA-256 of the token that it goes with.
    pub token: Thumbprint,
}

/// The reason why a text is no proof. Nothing of the text is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DpopError {
    /// Not a signed JWT of the right type with the claims that it must have.
    #[error("it is no JWT of the type dpop+jwt with `jti`, `htm`, `htu`, `iat` and `ath`")]
    Malformed,
    /// An algorithm that is not accepted.
    #[error("its algorithm is none of {ALGORITHMS}")]
    Algorithm,
    /// A key that is missing, private, or does not fit the algorithm.
    #[error("its `jwk` is no public key for its algorithm")]
    Key,
    /// The signature is not that of the key.
    #[error("its signature is not that of its `jwk`")]
    Signature,
}

/// The header as it stands in the proof. Repeated names are refused by serde's derived code, and in the
/// key by the type of claims.
#[derive(Deserialize)]
struct RawHeader {
    typ: String,
    alg: String,
    jwk: Claims,
    #[serde(default)]
    crit: Presence,
    #[serde(default)]
    b64: Presence,
    #[serde(default)]
    zip: Presence,
    #[serde(default)]
    enc: Presence,
}

impl DpopProof {
    /// Reads a proof and checks its signature with the key in it.
    ///
    /// # Errors
    /// The reason why it is none.
    pub fn verify(text: &str) -> Result<Self, DpopError> {
        Self::read(text)?.verify()
    }

    /// Reads a proof, so that its key can be compared before anything is computed with it.
    ///
    /// # Errors
    /// The reason why it is none.
    pub fn read(text: &str) -> Result<UncheckedProof<'_>, DpopError> {
        if text.len() > MAX_BYTES {
            return Err(DpopError::Malformed);
        }
        let parts = jws::parts(text).map_err(|_| DpopError::Malformed)?;
        let header = read_header(&parts)?;
        let claims = jws::decode(parts.payload).and_then(|bytes| Claims::parse(&bytes));
        let claims = claims.map_err(|_| DpopError::Malformed)?;
        let key = key_of(&header)?;
        let claimed = Self::of(&claims, &key).ok_or(DpopError::Malformed)?;
        Ok(UncheckedProof { claimed, key, parts })
    }

    fn of(claims: &Claims, key: &VerifyingKey) -> Option<Self> {
        let text = |name| claims.text(name).ok().flatten().filter(|text| !text.is_empty());
        Some(Self {
            key: Thumbprint::from_base64url(key.public()?.thumbprint())?,
            method: text("htm")?.into_owned(),
            url: text("htu")?.into_owned(),
            issued: claims.time("iat").ok().flatten()?,
            id: text("jti")?.into_owned(),
            token: Thumbprint::from_base64url(&text("ath")?)?,
        })
    }
}

impl UncheckedProof<'_> {
    /// The proof that it claims to be, whoever wrote it.
    pub fn claimed(&self) -> &DpopProof {
        &self.claimed
    }

    /// Checks the signature with the key in it.
    ///
    /// # Errors
    /// [`DpopError::Signature`].
    pub fn verify(self) -> Result<DpopProof, DpopError> {
        let Self { claimed, key, parts } = self;
        let is_signed = key.verifies(parts.message.as_bytes(), parts.signature);
        if is_signed { Ok(claimed) } else { Err(DpopError::Signature) }
    }
}

fn read_header(parts: &Parts<'_>) -> Result<RawHeader, DpopError> {
    let bytes = jws::decode(parts.header).map_err(|_| DpopError::Malformed)?;
    // Serde would also read the fields of a struct out of an array.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(DpopError::Malformed);
    }
    let header: RawHeader = json::from_slice(&bytes).map_err(|_| DpopError::Malformed)?;
    let is_extended = [&header.crit, &header.b64, &header.zip, &header.enc]
        .iter()
        .any(|presence| **presence == Presence::There);
    let is_proof = jws::without_application(&header.typ).eq_ignore_ascii_case(TYPE);
    if is_extended || !is_proof { Err(DpopError::Malformed) } else { Ok(header) }
}

/// The key in the header, for the one algorithm that the header names.
fn key_of(header: &RawHeader) -> Result<VerifyingKey, DpopError> {
    let algorithm = algorithm::parse(&header.alg).map_err(|_| DpopError::Algorithm)?;
    if !ACCEPTED.contains(&algorithm) {
        return Err(DpopError::Algorithm);
    }
    if PRIVATE_MEMBERS.iter().any(|name| header.jwk.has(name)) {
        return Err(DpopError::Key);
    }
    let members = Value::Object(header.jwk.to_map());
    let jwk: Jwk = serde_json::from_value(members).map_err(|_| DpopError::Key)?;
    let key = VerifyingKey::from_jwk(&jwk, Some(algorithm)).map_err(|_| DpopError::Key)?;
    if key.algorithm() == algorithm { Ok(key) } else { Err(DpopError::Key) }
}

#[cfg(test)]
mod tests;
