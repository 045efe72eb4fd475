//! The one error of all stores, and the one failure of the databases below them.

use std::fmt::Display;

/// A database that did not answer as it should. Holds nothing of a URL, and nothing that a server sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No answer in time: of the server, a lock, or a free connection.
    #[error("no answer in time")]
    TimedOut,
    /// Not reached, or not served.
    #[error("{0}")]
    Unavailable(String),
    /// Not let in.
    #[error("it refuses the user or the password of DB_URL")]
    Refused,
    /// The record is not of the kind that was asked for.
    #[error("the record is of another kind")]
    WrongKind,
}

impl Failure {
    /// Others were first, over and over.
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
    /// It did not answer in time. What was asked may or may not have happened.
    #[error("the store did not answer in time")]
    TimedOut,
    /// There is a record, but it says nothing that can be trusted; it must not pass as good.
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
    /// It knows what it is asked for by name, and cannot say what there is.
    #[error("the store cannot list sessions")]
    CannotList,
}

impl StoreError {
    /// A record that says nothing that can be trusted. The reason repeats nothing of it.
    pub(crate) fn corrupt(id: impl Display, reason: impl Display) -> Self {
        Self::Corrupt { id: id.to_string(), reason: reason.to_string() }
    }

    /// The error that a failure is for the record of that name.
    pub(crate) fn about(failure: Failure, id: impl Display) -> Self {
        match failure {
            Failure::TimedOut => Self::TimedOut,
            Failure::Unavailable(reason) => Self::Unavailable(reason),
            Failure::Refused => Self::Unavailable(failure.to_string()),
            Failure::WrongKind => Self::corrupt(id, "it is of another kind"),
        }
    }
}

/// What concerns no single record: of a [`Failure`], and of what has one.
impl<F: Into<Failure>> From<F> for StoreError {
    fn from(failure: F) -> Self {
        Self::about(failure.into(), "?")
    }
}
