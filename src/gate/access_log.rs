//! The access log: one line about an answer, for people and for machines.

use std::net::IpAddr;

use http::StatusCode;
use tracing::{field, info};

use super::inquiry::{Inquiry, truncated};
use super::metrics::EntryPoint;
use super::verdict::Verdict;
use crate::policy::canonical::Refusal;
use crate::secret::pseudonym::Pseudonyms;
use crate::wire::{ACCESS_ALLOWED, ACCESS_REFUSED};

/// The answers that are written to the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessLog {
    /// None.
    Off,
    /// Refusals.
    #[default]
    Denied,
    /// All.
    All,
}

impl AccessLog {
    /// Reads the setting.
    ///
    /// # Errors
    /// The texts that may be written instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "off" => Ok(Self::Off),
            "denied" => Ok(Self::Denied),
            "all" => Ok(Self::All),
            _ => Err("write `off`, `denied` or `all`"),
        }
    }
}

/// Writes a line of the access log under a name by which the log bounds how many there are.
macro_rules! access {
    ($name:ident, $line:expr, $verdict_of:expr, $verdict:literal, $code:expr, $user:expr, $refusal:expr) => {
        info!(
            name: $name,
            target: "portcullis::access",
            request_id = $line.id,
            entry_point = $line.entry_point.as_str(),
            verdict = $verdict,
            code = $code,
            status = $line.status.as_u16(),
            client = $line.client.map(|client| field::display($line.pseudonyms.of_address(client))),
            user = $user,
            route = $verdict_of.route(),
            refusal = $refusal,
            method = $line.inquiry.method(),
            host = $line.inquiry.host(),
            path = $line.inquiry.path(),
        )
    };
}

/// One line of the access log: plain words and numbers, each in a field of its own, absent where it
/// is not known.
pub(super) struct AccessLine<'l> {
    pub(super) entry_point: EntryPoint,
    pub(super) client: Option<IpAddr>,
    pub(super) inquiry: &'l Inquiry<'l>,
    pub(super) status: StatusCode,
    /// The request's id.
    pub(super) id: Option<&'l str>,
    /// The hashes that stand for names and addresses.
    pub(super) pseudonyms: &'l Pseudonyms,
}

impl AccessLine<'_> {
    /// Writes the line.
    pub(super) fn write(&self, verdict: &Verdict) {
        match verdict {
            Verdict::Allow(grant) => {
                let user = grant.user().map(|user| self.pseudonyms.of_user(user));
                let user = user.as_deref().map(truncated);
                access!(ACCESS_ALLOWED, self, verdict, "allow", "ok", user, None::<&str>);
            }
            Verdict::Deny(denial) => {
                let user = denial.user.as_deref().map(|user| self.pseudonyms.of_user(user));
                let user = user.as_deref().map(truncated);
                let refusal = denial.refusal.map(Refusal::code);
                access!(ACCESS_REFUSED, self, verdict, "deny", denial.code.as_str(), user, refusal);
            }
        }
    }
}
