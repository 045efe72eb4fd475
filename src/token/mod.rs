//! Tokens: bytes in, claims out.
//!
//! A token is bounded in size, then taken apart and typed ([`jws`], [`claims`]), then matched to
//! the one issuer that it names ([`issuer`]). Its signature is checked with a key of that issuer
//! that is bound to the token's own algorithm ([`key`], [`ring`]): RFC 7519 with the advice of RFC
//! 8725. A token's own pointers to a key (`jwk`, `jku`, `x5u`) are never obeyed, and `crit` refuses
//! it. A proof of its sender ([`dpop`]) is no token, and brings its key along; nor is what [`typed`]
//! reads, which has a purpose of its own.
//!
//! Our own keys follow one another by the rules of [`rotation`]; [`key_file`] keeps them, and
//! [`signers`] knows which one signs.
//!
//! No I/O happens here but two: [`jwks`] fetches published keys and [`signers`] reads the key
//! ring's file, both in the background. A check of a token never waits for either.

pub mod algorithm;
mod base64url;
pub mod claims;
pub mod confirmation;
pub mod dpop;
mod error;
pub mod integers;
pub mod issuer;
pub mod jwks;
pub mod jws;
pub mod key;
pub mod key_file;
pub mod ring;
pub mod rotation;
mod scopes;
pub mod signers;
pub mod typed;
pub mod verify;

pub use algorithm::Algorithm;
pub use claims::Claims;
pub use confirmation::{Confirmation, Thumbprint};
pub use error::TokenError;
pub use issuer::{Issuer, SessionRule};
pub use key::{KeyError, KeyId, SigningKey, VerifyingKey};
pub use ring::{KeyRing, UsableUntil};
pub use scopes::{ScopeSet, is_scope};
pub use signers::{SigningRing, watch_key_file};
pub use verify::{Signature, TokenValidity, Verified, Verifier, verify_introspected};
