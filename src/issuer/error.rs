//! Why a request for tokens was refused: the errors of RFC 6749, section 5.2, and of its kin.

use std::fmt::Display;
use std::time::Duration;

use crate::account::AccountError;
use crate::account::password::PasswordError;
use crate::secret::RandomFailed;
use crate::store::StoreError;
use crate::token::KeyError;

/// The one error of the issuer. Its text is for the client, and never tells whether a user, a key
/// or a client exists.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// A parameter is missing, there twice, or cannot be read.
    #[error("{0}")]
    InvalidRequest(String),
    /// The client did not show who it is. `by_header`: it tried to by `Authorization`.
    #[error("the client is not known, or its credentials are wrong")]
    InvalidClient {
        /// Whether the answer has to name the scheme (RFC 6749, section 5.2).
        by_header: bool,
    },
    /// The password, key or refresh token is not good, or not this client's.
    #[error("the credentials are wrong, expired, revoked or already used")]
    InvalidGrant,
    /// This client may not use this grant.
    #[error("this client may not use this grant type")]
    UnauthorizedClient,
    /// There is no such grant here.
    #[error("use password, client_credentials, refresh_token or urn:portcullis:grant-type:api-key")]
    UnsupportedGrantType,
    /// Of the scopes asked for, none may be granted, or one was never granted.
    #[error("none of these scopes may be granted")]
    InvalidScope,
    /// Tokens for this audience are not issued to this client (RFC 8707, section 2).
    #[error("tokens for this resource or audience are not issued here")]
    InvalidTarget,
    /// A request about sessions shows no token at all.
    #[error("send an access token")]
    MissingToken,
    /// The bearer token of a request about sessions is not good.
    #[error("the access token is not known, expired or revoked")]
    InvalidToken,
    /// It is not the caller's to do.
    #[error("{0}")]
    Forbidden(&'static str),
    /// There is no such thing.
    #[error("there is no such session, or no such user")]
    NotFound,
    /// Too many attempts; try again in so long.
    #[error("too many attempts; wait as long as Retry-After says")]
    SlowDown(Duration),
    /// What was asked for needs a store that can do more than the one that is configured.
    #[error("sessions are kept in memcached, which cannot list them")]
    Unsupported,
    /// The claims and scopes make a token that is longer than MAX_TOKEN_BYTES: nobody would accept
    /// it, or end it. Nothing was issued.
    #[error(
        "the token would be longer than is accepted here; ask for fewer scopes, or have the \
         user's claims shortened"
    )]
    TokenTooLong,
    /// Something that the answer depends on did not answer. Nothing was issued.
    #[error("a part of the service does not answer; nothing was issued")]
    Unavailable(#[source] Cause),
    /// More requests wait than can be served soon. Nothing was begun.
    #[error("too many requests at once; nothing was begun")]
    Busy,
    /// Another refresh of the same token is in progress; try again in so long.
    #[error("this token is being refreshed; wait as long as Retry-After says")]
    InProgress(Duration),
}

/// The reason why something is unavailable, for the log alone: to clients all are alike.
#[derive(Clone, Debug, Default, thiserror::Error)]
#[error("{0}")]
pub struct Cause(String);

impl PartialEq for Cause {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Cause {}

impl IssueError {
    /// What went wrong with a parameter.
    pub fn invalid_request(what: impl Into<String>) -> Self {
        Self::InvalidRequest(what.into())
    }

    /// Unavailable, because of `cause`, which must hold no secret.
    pub fn unavailable(cause: impl Display) -> Self {
        Self::Unavailable(Cause(cause.to_string()))
    }

    /// Logs what the client is not told. To be called where the error is answered, and only there.
    pub(super) fn log(&self) {
        if let Self::Unavailable(cause) = self {
            tracing::warn!(error = %cause, "a request for tokens could not be served");
        }
    }

    /// True where the audit log records it. What was refused for coming too often is only counted,
    /// so that nobody fills the disk.
    pub fn is_audited(&self) -> bool {
        !matches!(self, Self::SlowDown(_) | Self::Busy | Self::InProgress(_))
    }

    /// The `error` of the answer, of the audit log and of the metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::InvalidClient { .. } => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::MissingToken => "missing_credentials",
            Self::InvalidToken => "invalid_token",
            Self::Forbidden(_) => "access_denied",
            Self::NotFound => "not_found",
            Self::SlowDown(_) => "slow_down",
            Self::Unsupported => "not_implemented",
            Self::TokenTooLong => "server_error",
            Self::Unavailable(_) | Self::Busy | Self::InProgress(_) => "temporarily_unavailable",
        }
    }

    /// How long the client should wait, where waiting helps.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::SlowDown(wait) | Self::InProgress(wait) => Some(*wait),
            Self::Unavailable(_) => Some(Duration::from_secs(1)),
            Self::Busy => Some(Duration::from_secs(2)),
            _ => None,
        }
    }
}

impl From<StoreError> for IssueError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::CannotList => Self::Unsupported,
            error => Self::unavailable(error),
        }
    }
}

impl From<PasswordError> for IssueError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::Busy,
            // No such password was ever set.
            PasswordError::TooLong => Self::InvalidGrant,
            PasswordError::Failed(_) => Self::unavailable(error),
        }
    }
}

impl From<AccountError> for IssueError {
    fn from(error: AccountError) -> Self {
        Self::unavailable(error)
    }
}

impl From<RandomFailed> for IssueError {
    fn from(error: RandomFailed) -> Self {
        Self::unavailable(error)
    }
}

impl From<KeyError> for IssueError {
    fn from(error: KeyError) -> Self {
        Self::unavailable(error)
    }
}
