//! Why a request for tokens was refused: the errors of RFC 6749, section 5.2, and of its kin.

use std::time::Duration;

use crate::account::AccountError;
use crate::account::password::PasswordError;
use crate::secret::RandomFailed;
use crate::store::StoreError;
use crate::token::KeyError;

/// The one error of the issuer. What it says is for the client, and never tells whether a user,
/// a key or a client exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssueError {
    /// A parameter is missing, there twice, or cannot be read.
    InvalidRequest(String),
    /// The client did not show who it is. `by_header`: it tried to by `Authorization`.
    InvalidClient {
        /// Whether the answer has to name the scheme (RFC 6749, section 5.2).
        by_header: bool,
    },
    /// The password, key or refresh token is not good, or not this client's.
    InvalidGrant,
    /// This client may not use this grant.
    UnauthorizedClient,
    /// There is no such grant here.
    UnsupportedGrantType,
    /// Of the scopes asked for, none may be granted, or one was never granted.
    InvalidScope,
    /// Tokens for this audience are not issued to this client (RFC 8707, section 2).
    InvalidTarget,
    /// A request about sessions shows no token at all.
    MissingToken,
    /// The bearer token of a request about sessions is not good.
    InvalidToken,
    /// It is not the caller's to do.
    Forbidden(&'static str),
    /// There is no such thing.
    NotFound,
    /// Too many attempts; try again in so long.
    SlowDown(Duration),
    /// What was asked for needs a store that can do more than the one that is configured.
    Unsupported,
    /// The claims and scopes make a token that is longer than MAX_TOKEN_BYTES: nobody would accept
    /// it, or end it. Nothing was issued.
    TokenTooLong,
    /// Something that the answer depends on did not answer. Nothing was issued.
    Unavailable,
    /// More requests wait than can be served soon. Nothing was begun.
    Busy,
    /// Another refresh of the same token is in progress; try again in so long.
    InProgress(Duration),
}

impl IssueError {
    /// What went wrong with a parameter.
    pub fn invalid_request(what: impl Into<String>) -> Self {
        Self::InvalidRequest(what.into())
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
            Self::Unavailable | Self::Busy | Self::InProgress(_) => "temporarily_unavailable",
        }
    }

    /// What to do about it.
    pub fn description(&self) -> &str {
        match self {
            Self::InvalidRequest(what) => what,
            Self::InvalidClient { .. } => "the client is not known, or its credentials are wrong",
            Self::InvalidGrant => "the credentials are wrong, expired, revoked or already used",
            Self::UnauthorizedClient => "this client may not use this grant type",
            Self::UnsupportedGrantType => {
                "use password, client_credentials, refresh_token or \
                 urn:portcullis:grant-type:api-key"
            }
            Self::InvalidScope => "none of these scopes may be granted",
            Self::InvalidTarget => "tokens for this resource or audience are not issued here",
            Self::MissingToken => "send an access token",
            Self::InvalidToken => "the access token is not known, expired or revoked",
            Self::Forbidden(why) => why,
            Self::NotFound => "there is no such session, or no such user",
            Self::SlowDown(_) => "too many attempts; wait as long as Retry-After says",
            Self::Unsupported => "sessions are kept in memcached, which cannot list them",
            Self::TokenTooLong => {
                "the token would be longer than is accepted here; ask for fewer scopes, or have \
                 the user's claims shortened"
            }
            Self::Unavailable => "a part of the service does not answer; nothing was issued",
            Self::Busy => "too many requests at once; nothing was begun",
            Self::InProgress(_) => {
                "this token is being refreshed; wait as long as Retry-After says"
            }
        }
    }

    /// How long the client should wait, where waiting helps.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::SlowDown(wait) | Self::InProgress(wait) => Some(*wait),
            Self::Unavailable => Some(Duration::from_secs(1)),
            Self::Busy => Some(Duration::from_secs(2)),
            _ => None,
        }
    }
}

impl From<StoreError> for IssueError {
    fn from(error: StoreError) -> Self {
        if error == StoreError::CannotList {
            return Self::Unsupported;
        }
        tracing::warn!(%error, "a request for tokens could not be served");
        Self::Unavailable
    }
}

impl From<AccountError> for IssueError {
    fn from(error: AccountError) -> Self {
        tracing::warn!(%error, "a request for tokens could not be served");
        Self::Unavailable
    }
}

impl From<RandomFailed> for IssueError {
    fn from(error: RandomFailed) -> Self {
        tracing::error!(%error, "nothing can be issued");
        Self::Unavailable
    }
}

impl From<KeyError> for IssueError {
    fn from(error: KeyError) -> Self {
        tracing::error!(%error, "a token could not be signed");
        Self::Unavailable
    }
}

impl From<PasswordError> for IssueError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::Busy,
            // No such password was ever set.
            PasswordError::TooLong => Self::InvalidGrant,
            PasswordError::Failed(_) => {
                tracing::error!(%error, "passwords cannot be checked");
                Self::Unavailable
            }
        }
    }
}
