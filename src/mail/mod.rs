//! Mails: made of templates that an operator may replace, and handed to his mail server.
//!
//! A mail is text and HTML of the same content. Nothing that somebody wrote becomes a header: an
//! address is parsed, and a subject is one line. Values are escaped in HTML, and stand in the text as
//! they are.

mod smtp;
mod templates;

pub use smtp::{Security, Smtp, SmtpConfig, SmtpConfigError};
pub use templates::{Letter, TemplateError, Templates, Values};

/// A mail before it has an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Its subject, on one line.
    pub subject: String,
    /// Its text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
}

/// A reason why a mail was not sent. It holds no address but the server's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// It will not be sent later either: no address, or refused for good.
    #[error("the mail is refused: {0}")]
    Refused(String),
    /// Another attempt may work.
    #[error("the mail server gave no answer that can be used: {0}")]
    Unavailable(String),
}
