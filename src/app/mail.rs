//! The way to the mail server, put together.

use std::sync::Arc;

use anyhow::Context as _;

use crate::config::MailConfig;
use crate::issuer::self_service::Mailer;
use crate::mail::{Smtp, SmtpConfig, Templates};
use crate::secret::Random;

/// Reads the templates and the CA; nothing is connected yet.
pub(super) fn mailer(config: &MailConfig, random: Arc<dyn Random>) -> anyhow::Result<Mailer> {
    let templates = Templates::load(config.templates.as_deref())?;
    let authority = config.ca_file.as_ref().map(|path| {
        std::fs::read(path).with_context(|| format!("cannot read SMTP_CA_FILE {}", path.display()))
    });
    let smtp = SmtpConfig { authority: authority.transpose()?, ..config.smtp.clone() };
    let smtp = Smtp::new(&smtp, random).context("cannot use the mail server")?;
    Ok(Mailer {
        smtp,
        templates: Arc::new(templates),
        service: config.service.clone(),
        link_url: config.link_url.clone(),
        queue: config.queue,
    })
}
