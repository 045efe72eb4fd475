//! The one error of all stores, and the one failure of the databases below them.

use std::fmt::Display;

/// A database that did not answer as it should. Holds nothing of a URL, and nothing that a server
/// sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No answer in time: from the server, a lock, or a free connection.
    #[error("no answer in time")]
    TimedOut,
    /// It was not reached, or did not serve.
    #[error("{0}")]
    Unavailable(String),
    /// The server refused the credentials.
    #[error("it refuses the user or the password of DB_URL")]
    Refused,
    /// The record is not of the kind that was asked for.
    #[error("the record is of another kind")]
    WrongKind,
}

impl Failure {
    /// Other writers were first, again and again.
    pub(crate) fn contended() -> Self {
        Self::Unavailable("too many change one record at once".to_owned())
    }
}

/// A store that did not do what it was asked. None of these holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It could not be reached, or refused.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// It did not answer in time. The change may or may not have happened.
    #[error("the store did not answer in time")]
    TimedOut,
    /// There is a record, but its content cannot be trusted; it must not pass as good.
    #[error("the stored record {id} cannot be read: {reason}")]
    Corrupt {
        /// The record.
        id: String,
        /// The fault; never the record's content.
        reason: String,
    },
    /// The id of the record to add is taken.
    #[error("the id {0} is taken")]
    Conflict(String),
    /// It finds records by name, and cannot list them.
    #[error("the store cannot list sessions")]
    CannotList,
}

impl StoreError {
    /// The error for a record whose content cannot be trusted. The reason repeats nothing of it.
    pub(crate) fn corrupt(id: impl Display, reason: impl Display) -> Self {
        Self::Corrupt { id: id.to_string(), reason: reason.to_string() }
    }

    /// Converts the failure to the error about the record of that name.
    pub(crate) fn about(failure: Failure, id: impl Display) -> Self {
        match failure {
            Failure::TimedOut => Self::TimedOut,
            Failure::Unavailable(reason) => Self::Unavailable(reason),
            Failure::Refused => Self::Unavailable(failure.to_string()),
            Failure::WrongKind => Self::corrupt(id, "it is of another kind"),
        }
    }
}

/// Converts a [`Failure`], or an error that has one, that is about no single record.
impl<F: Into<Failure>> From<F> for StoreError {
    fn from(failure: F) -> Self {
        Self::about(failure.into(), "?")
    }
}
