//! Opaque tokens as they are kept: refresh tokens, and the handles that stand for access tokens.

use std::fmt;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::clock::UnixTime;
use crate::secret::{Random, RandomFailed, Secret};
use crate::session::{SessionId, UserId};
use crate::store::{BadField, Epoch, Fields};

/// The SHA-256 of an opaque token: what a store finds it by. The token itself is never kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The digest of what a client sent.
    pub fn of(token: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        Self(bytes)
    }

    /// In base64url, 43 characters: how stores name it.
    pub fn name(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Parses what [`Self::name`] wrote.
    pub fn parse_name(name: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(name).ok()?.try_into().ok().map(Self)
    }

    /// One that SQLite wrote with its `hex()`; `None` where that is something else.
    pub(super) fn from_hex(hex: &[u8]) -> Option<Self> {
        let (pairs, rest) = hex.as_chunks::<2>();
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
        let byte = |pair: &[u8; 2]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
        let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
        bytes.filter(|_| rest.is_empty())?.try_into().ok().map(Self)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest")
    }
}

/// Names enough of it to find the record by.
impl fmt::Display for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "opaque token {:.12}...", self.name())
    }
}

/// The epoch of an opaque token.
pub type TokenEpoch = Epoch<1>;

/// The purpose of an opaque token. A token of one kind is never taken for one of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// It is shown to get new tokens.
    Refresh,
    /// It stands for an access token that stays here.
    Handle,
}

impl TokenKind {
    /// The text in which stores write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::Handle => "handle",
        }
    }

    /// Parses what `as_str` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Refresh, Self::Handle].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// The prefix of the claims that are the issuer's own notes: no token says them.
pub const PRIVATE_CLAIMS: &str = "portcullis:";

/// An opaque token as stores keep it.
#[derive(Clone, Debug, PartialEq)]
pub struct OpaqueToken {
    /// The digest by which it is found.
    pub digest: TokenDigest,
    /// The purpose.
    pub kind: TokenKind,
    /// The session that it belongs to, its family (RFC 9700, section 4.14.2): it is of no use
    /// without that session.
    pub session: SessionId,
    /// The user whose session it is.
    pub user: UserId,
    /// Whom it was issued to; `None`: to nobody who had to say who it is.
    pub client: Option<String>,
    /// A handle: the claims of the access token. A refresh token: what the next ones are made of.
    pub claims: Map<String, Value>,
    /// The moment at which it was issued.
    pub issued: UnixTime,
    /// From this moment on it is of no use.
    pub expires: UnixTime,
    /// The moment at which it was rotated: its successor took its place, and it works no more.
    pub used: Option<UnixTime>,
}

impl OpaqueToken {
    /// The token that a record holds.
    pub(super) fn read(digest: &TokenDigest, fields: &impl Fields) -> Result<Self, BadField> {
        Ok(Self {
            digest: *digest,
            kind: fields.parsed("kind", |text| TokenKind::parse(text).ok_or(()))?,
            session: fields.parsed("session", SessionId::parse)?,
            user: fields.parsed("user", UserId::parse)?,
            client: fields.optional_text("client")?.map(str::to_owned),
            claims: fields.claims()?,
            issued: fields.time("issued")?,
            expires: fields.time("expires")?,
            used: fields.optional_time("used")?,
        })
    }
}

/// A new opaque token of 256 random bits in base64url: 43 characters.
///
/// # Errors
/// [`RandomFailed`]; then there is no token.
pub fn generate(random: &dyn Random) -> Result<Secret, RandomFailed> {
    let mut bytes = [0; 32];
    random.fill(&mut bytes)?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}

/// Returns whether [`generate`] could have made it: the text of 256 bits. What somebody chose hardly
/// ever is.
pub fn is_generated(token: &Secret) -> bool {
    URL_SAFE_NO_PAD.decode(token.expose()).is_ok_and(|bytes| bytes.len() == 32)
}
