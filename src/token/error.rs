//! The reasons for which a token is not accepted.

/// The reason why a token is not accepted. Nothing of the token itself is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than the bound; nothing of it was read.
    #[error("the token is too large")]
    TooLarge,
    /// Not a compact JWS with a JSON header and payload.
    #[error("the token is malformed")]
    Malformed,
    /// `alg` is `none` or something else that is not supported.
    #[error("the token's algorithm is not supported")]
    UnsupportedAlgorithm,
    /// `crit`, `b64`, `zip` or `enc` is in the header.
    #[error("the token's header asks for an extension that is not supported")]
    UnsupportedHeader,
    /// `typ` or a type claim says that it is no access token.
    #[error("the token is not an access token")]
    WrongType,
    /// A claim of a type that RFC 7519 does not allow, or one that must be there and is not.
    #[error("the claim `{0}` is missing or has the wrong type")]
    BadClaim(&'static str),
    /// `iss` names no issuer whose tokens are accepted.
    #[error("the token's issuer is not accepted")]
    UnknownIssuer,
    /// No key of that name, or none for the token's algorithm.
    #[error("the token's key is not known")]
    UnknownKey,
    /// The signature is not that of the key.
    #[error("the token's signature is not valid")]
    BadSignature,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` lies in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `aud` does not hold a name of this service.
    #[error("the token is for another audience")]
    WrongAudience,
    /// `cnf` demands a proof of a kind that is not supported (RFC 7800, section 3.1).
    #[error("the token is bound to its sender in a way that is not supported")]
    UnknownConfirmation,
    /// The issuer's tokens must carry `sid`, and this one does not.
    #[error("the token names no session")]
    SessionRequired,
    /// The issuer's keys were never fetched, or are too old. It is not the client's fault.
    #[error("the keys of the token's issuer are not available")]
    KeysUnavailable,
}
