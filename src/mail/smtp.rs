//! A mail server, by SMTP with TLS (RFC 8314) or STARTTLS (RFC 3207), which is demanded: a server that
//! offers none gets no mail, and no password.

use std::sync::Arc;
use std::time::Duration;

use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use super::{Content, MailError};
use crate::secret::{Random, Secret, random_id};

/// The protection of the way to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// TLS after STARTTLS.
    #[default]
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// None: for a server on this host.
    Plain,
}

impl Security {
    /// Reads the setting.
    ///
    /// # Errors
    /// What may be written instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "starttls" => Ok(Self::StartTls),
            "tls" => Ok(Self::Tls),
            "plain" => Ok(Self::Plain),
            _ => Err("write `starttls`, `tls` or `plain`"),
        }
    }

    /// The usual port of submission (RFC 8314, section 7.3).
    pub fn port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Tls => 465,
            Self::Plain => 25,
        }
    }
}

/// Configuration of the mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpConfig {
    /// Its name, which its certificate must have.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The protection of the way there.
    pub security: Security,
    /// The user and the password to log in with, if it wants any.
    pub credentials: Option<(String, Secret)>,
    /// The CA of its certificate in PEM, in place of the system's.
    pub authority: Option<Vec<u8>>,
    /// The sender: an address, or `Name <address>`.
    pub from: String,
    /// The longest wait for each of its answers.
    pub timeout: Duration,
}

/// A reason why the configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SmtpConfigError {
    /// The sender cannot be read.
    #[error("the sender is no address such as `Example <accounts@example.org>`")]
    Sender,
    /// TLS cannot be set up.
    #[error("{0}")]
    Tls(String),
}

/// A mail server.
#[derive(Clone, Debug)]
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    random: Arc<dyn Random>,
}

impl Smtp {
    /// A server of this configuration; nothing is connected yet.
    ///
    /// # Errors
    /// [`SmtpConfigError`].
    pub fn new(config: &SmtpConfig, random: Arc<dyn Random>) -> Result<Self, SmtpConfigError> {
        let from: Mailbox = config.from.parse().map_err(|_| SmtpConfigError::Sender)?;
        let tls = match config.security {
            Security::StartTls => Tls::Required(tls_parameters(config)?),
            Security::Tls => Tls::Wrapper(tls_parameters(config)?),
            Security::Plain => Tls::None,
        };
        let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(config.host.as_str());
        let mut builder = builder.port(config.port).tls(tls).timeout(Some(config.timeout));
        if let Some((user, password)) = &config.credentials {
            builder = builder.credentials(Credentials::new(user.clone(), password.to_text()));
        }
        Ok(Self { transport: builder.build(), from, random })
    }

    /// Sends a mail to one address.
    ///
    /// # Errors
    /// [`MailError`].
    pub async fn send(&self, to: &str, content: &Content) -> Result<(), MailError> {
        let message = self.message(to, content)?;
        let sent = self.transport.send(message).await;
        sent.map(drop).map_err(|error| {
            if error.is_permanent() {
                // What the server says may repeat the address.
                let status = error.status().map_or_else(String::new, |code| code.to_string());
                MailError::Refused(format!("the server answered {status}"))
            } else if let Some(code) = error.status() {
                MailError::Unavailable(format!("it answered {code}"))
            } else {
                MailError::Unavailable(error.to_string())
            }
        })
    }

    /// A name for a mail, at the domain of its sender (RFC 5322, section 3.6.4); `None`: the library's.
    fn message_id(&self) -> Option<String> {
        let id = random_id(self.random.as_ref()).ok()?;
        Some(format!("<{id}@{}>", self.from.email.domain()))
    }

    fn message(&self, to: &str, content: &Content) -> Result<Message, MailError> {
        let to: Address = to.parse().map_err(|_| MailError::Refused("no address".to_owned()))?;
        let bodies = MultiPart::alternative_plain_html(content.text.clone(), content.html.clone());
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(one_line(&content.subject))
            .message_id(self.message_id())
            .header(AutoSubmitted)
            .multipart(bodies)
            .map_err(|error| MailError::Refused(error.to_string()))
    }
}

/// Text without whatever could end a header's line.
fn one_line(text: &str) -> String {
    text.split(char::is_control)
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn tls_parameters(config: &SmtpConfig) -> Result<TlsParameters, SmtpConfigError> {
    let problem = |error: &dyn std::fmt::Display| SmtpConfigError::Tls(error.to_string());
    let mut builder = TlsParameters::builder(config.host.clone());
    if let Some(authority) = &config.authority {
        let blocks = pem::parse_many(authority).map_err(|error| problem(&error))?;
        if blocks.is_empty() {
            return Err(SmtpConfigError::Tls("there is no certificate in it".to_owned()));
        }
        builder = builder.certificate_store(CertificateStore::None);
        for block in blocks {
            let certificate = Certificate::from_der(block.into_contents());
            builder = builder.add_root_certificate(certificate.map_err(|error| problem(&error))?);
        }
    }
    builder.build().map_err(|error| problem(&error))
}

/// The header by which a machine says that nobody should answer it by another (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemRandom;

    fn smtp(from: &str) -> Result<Smtp, SmtpConfigError> {
        let config = SmtpConfig {
            host: "mail.example.org".to_owned(),
            port: 587,
            security: Security::Plain,
            credentials: None,
            authority: None,
            from: from.to_owned(),
            timeout: Duration::from_secs(1),
        };
        Smtp::new(&config, Arc::new(SystemRandom))
    }

    fn content(subject: &str) -> Content {
        Content {
            subject: subject.to_owned(),
            text: "text: ä\n.\nQUIT".to_owned(),
            html: "<p>html</p>".to_owned(),
        }
    }

    #[tokio::test]
    async fn nothing_that_somebody_wrote_becomes_a_header() {
        let smtp = smtp("Example <accounts@example.org>").expect("a sender");
        let subject = "Hello\r\nBcc: eve@example.org\n\nbody";
        let message = smtp.message("alice@example.org", &content(subject)).expect("a message");
        let text = String::from_utf8(message.formatted()).expect("ASCII");
        let (head, _) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains("\r\nSubject: Hello Bcc: eve@example.org body\r\n"), "{head}");
        assert!(!head.contains("\r\nBcc:"), "{head}");
        assert!(head.contains("From: Example <accounts@example.org>"), "{head}");
        assert!(head.contains("Auto-Submitted: auto-generated"), "{head}");
        assert!(head.contains("@example.org>\r\n"), "{head}");
        for to in ["alice@example.org\r\nBcc: eve@example.org", "a@b, c@d", "", "a b@c", "<a@b>"] {
            assert!(
                matches!(smtp.message(to, &content("x")), Err(MailError::Refused(_))),
                "{to:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_sender_is_an_address() {
        for from in ["", "Example", "a@b\r\nBcc: c@d"] {
            assert_eq!(smtp(from).err(), Some(SmtpConfigError::Sender), "{from:?}");
        }
        assert!(smtp("accounts@example.org").is_ok());
    }
}
