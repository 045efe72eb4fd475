//! Mails and self-service: SMTP_*, MAIL_*, SIGN_UP.

use std::path::PathBuf;

use url::Url;

use super::reader::Reader;
use super::settings;
use crate::issuer::self_service::{SelfServiceConfig, SignUp};
use crate::mail::{Security, SmtpConfig};
use crate::secret::Secret;

/// Everything about mails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailConfig {
    /// The mail server.
    pub smtp: SmtpConfig,
    /// The file of its CA.
    pub ca_file: Option<PathBuf>,
    /// The folder of the operator's templates.
    pub templates: Option<PathBuf>,
    /// The name of the service.
    pub service: String,
    /// The page that links lead to.
    pub link_url: String,
    /// The most mails that may wait.
    pub queue: usize,
}

/// Reads how mails are sent, if any are.
pub(super) fn read(reader: &mut Reader<'_>, public_url: &str) -> Option<MailConfig> {
    let host = reader.get(settings::SMTP_HOST);
    if host.is_none() {
        for setting in [settings::MAIL_FROM.entry, settings::MAIL_TEMPLATES_DIR.entry] {
            if reader.is_set(setting) {
                reader.warn(setting, "is not used: there is no SMTP_HOST");
            }
        }
    }
    let host = host?;
    let security = reader.get(settings::SMTP_TLS);
    let port = reader.get(settings::SMTP_PORT);
    let credentials = credentials(reader, security, &host);
    let from = reader.get(settings::MAIL_FROM);
    if from.is_none() {
        reader.wrong(settings::SMTP_HOST, "needs MAIL_FROM, the sender of its mails");
    }
    let link_url = reader.get(settings::ACCOUNT_LINK_URL);
    if link_url.is_none() && !reader.is_named(settings::ACCOUNT_LINK_URL) {
        reader.wrong(settings::SMTP_HOST, "needs ACCOUNT_LINK_URL, where links in mails lead to");
    }
    let host_of_url = || Url::parse(public_url).ok()?.host_str().map(str::to_owned);
    let service = reader.get(settings::MAIL_SERVICE_NAME).or_else(host_of_url);
    Some(MailConfig {
        smtp: SmtpConfig {
            port: if port == 0 { security.port() } else { port },
            host,
            security,
            credentials,
            authority: None,
            from: from?,
            timeout: reader.get(settings::SMTP_TIMEOUT),
        },
        ca_file: reader.get(settings::SMTP_CA_FILE),
        templates: reader.get(settings::MAIL_TEMPLATES_DIR),
        service: service.unwrap_or_default(),
        link_url: link_url?,
        queue: reader.get(settings::MAIL_QUEUE),
    })
}

fn credentials(
    reader: &mut Reader<'_>,
    security: Security,
    host: &str,
) -> Option<(String, Secret)> {
    let (user, password) = (reader.get(settings::SMTP_USER), reader.get(settings::SMTP_PASSWORD));
    let is_local = matches!(host, "localhost" | "127.0.0.1" | "::1");
    if password.is_some() && security == Security::Plain && !is_local {
        let problem = "would cross the network as it is: set SMTP_TLS to starttls or tls";
        reader.wrong(settings::SMTP_PASSWORD, problem);
    }
    match (user, password) {
        (Some(user), Some(password)) => Some((user, password)),
        (Some(_), None) if !reader.is_named(settings::SMTP_PASSWORD) => {
            reader.wrong(settings::SMTP_USER, "needs SMTP_PASSWORD_FILE");
            None
        }
        (None, Some(_)) => {
            reader.wrong(settings::SMTP_PASSWORD, "needs SMTP_USER");
            None
        }
        _ => None,
    }
}

/// Reads what owners of accounts may do themselves.
pub(super) fn self_service(
    reader: &mut Reader<'_>,
    sends_mail: bool,
    has_hook: bool,
) -> SelfServiceConfig {
    let sign_up = reader.get(settings::SIGN_UP);
    if sign_up == SignUp::Open && !sends_mail && !reader.is_named(settings::SMTP_HOST) {
        let problem = "needs SMTP_HOST: nobody could show that an e-mail is his";
        reader.wrong(settings::SIGN_UP, problem);
    }
    if sign_up != SignUp::Off && has_hook {
        let problem = "is of no use beside TOKEN_HOOK_URL: accounts made here could not log in";
        reader.wrong(settings::SIGN_UP, problem);
    }
    SelfServiceConfig {
        sign_up,
        roles: reader.get(settings::SIGN_UP_ROLES),
        scopes: reader.get(settings::SIGN_UP_SCOPES).unwrap_or_default(),
        invitation_lifetime: reader.get(settings::INVITATION_LIFETIME),
    }
}
