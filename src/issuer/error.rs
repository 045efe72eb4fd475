//! Refusals of requests for tokens: the errors of RFC 6749, section 5.2, and of its kin.

mod cause;

use std::time::Duration;

pub use cause::Cause;

use crate::account::password::PasswordError;
use crate::account::policy::PolicyProblem;
use crate::store::StoreError;

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
        /// True if the answer has to name the scheme (RFC 6749, section 5.2).
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
    #[error("there is no such session, API key or user")]
    NotFound,
    /// This name is another's already; only told to who may know it.
    #[error("this {0} is taken")]
    Taken(&'static str),
    /// The new password breaks the rules.
    #[error("choose another password: {}", advice(.0))]
    WeakPassword(Vec<PolicyProblem>),
    /// No mail can be sent, which the request needs.
    #[error("no mail is sent from here; ask an administrator")]
    NoMail,
    /// A one-time link is of another kind, is over, or was used.
    #[error("this link is not valid, is too old, or was used already")]
    InvalidLink,
    /// Too many attempts; try again in so long.
    #[error("too many attempts; wait as long as Retry-After says")]
    SlowDown(Duration),
    /// The configured store cannot do what was asked for.
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

impl IssueError {
    /// Refuses a parameter, for this reason.
    pub fn invalid_request(what: impl Into<String>) -> Self {
        Self::InvalidRequest(what.into())
    }

    /// Logs what the client is not told. Whoever answers the error calls it, or drops the error;
    /// whoever passes it on does not.
    pub fn log(&self) {
        if let Self::Unavailable(cause) = self {
            cause.log();
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
            Self::Taken(_) => "conflict",
            Self::WeakPassword(_) => "weak_password",
            Self::InvalidLink => "invalid_link",
            Self::SlowDown(_) => "slow_down",
            Self::Unsupported | Self::NoMail => "not_implemented",
            Self::TokenTooLong => "server_error",
            Self::Unavailable(_) | Self::Busy | Self::InProgress(_) => "temporarily_unavailable",
        }
    }

    /// Seconds that the client should wait, where waiting helps; rounded up, so that whoever comes
    /// again then is let in.
    pub fn retry_after(&self) -> Option<u64> {
        let wait = match self {
            Self::SlowDown(wait) | Self::InProgress(wait) => *wait,
            Self::Unavailable(_) => Duration::from_secs(1),
            Self::Busy => Duration::from_secs(2),
            _ => return None,
        };
        Some(wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1))
    }
}

/// The cures of all problems, on one line.
fn advice(problems: &[PolicyProblem]) -> String {
    let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    told.join("; ")
}

impl<E> From<E> for IssueError
where
    Cause: From<E>,
{
    fn from(cause: E) -> Self {
        match Cause::from(cause) {
            Cause::Store(StoreError::CannotList) => Self::Unsupported,
            cause => Self::Unavailable(cause),
        }
    }
}

impl From<PasswordError> for IssueError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::Busy,
            // No such password was ever set.
            PasswordError::TooLong => Self::InvalidGrant,
            PasswordError::Failed(why) => Cause::Hashing(why).into(),
        }
    }
}
