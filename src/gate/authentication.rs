//! The one credential of a request, and the decision about it.

use super::Gate;
use super::cached_decision::CachedDecision;
use super::credential::{self, CredentialSource, Found, Located};
use super::denial::{Denial, DenialCode};
use super::inquiry::Inquiry;
use super::mode::Mode;
use crate::clock::Moment;

impl Gate {
    /// The ticket of a request, where tickets are accepted and it has one.
    pub(super) fn ticket_of<'r>(
        &self,
        inquiry: &Inquiry<'r>,
    ) -> Result<Option<&'r str>, DenialCode> {
        self.decisions.tickets().map_or(Ok(None), |tickets| tickets.find(inquiry))
    }

    /// The one credential of a request: its ticket, or what else it has.
    pub(super) fn locate<'r>(
        &'r self,
        ticket: Option<&'r str>,
        inquiry: &Inquiry<'r>,
    ) -> Result<Located<'r>, DenialCode> {
        if let Some(ticket) = ticket {
            let (credential, source) = (ticket.as_bytes(), CredentialSource::Handshake);
            return Ok(Located { credential, source });
        }
        credential::locate(inquiry.headers, &self.cookies, self.decisions.accepted_kinds())
    }

    /// The decision about the one credential of a request: its ticket, or what else it has; and the
    /// moment for which it holds.
    pub(super) async fn authenticate(
        &self,
        ticket: Option<&str>,
        inquiry: &Inquiry<'_>,
        mode: Mode,
    ) -> Result<(CachedDecision, Moment), Denial> {
        let (found, mut now) = (self.locate(ticket, inquiry)?, self.decisions.moment());
        let recalled = match found.source {
            CredentialSource::Handshake | CredentialSource::Basic => None,
            _ => self.decisions.recall(found.credential, now),
        };
        let is_recalled = recalled.is_some();
        let decision = if let Some(decision) = recalled {
            decision
        } else {
            mode.begin_waiting().await;
            // Boxed, as all that waits.
            let decision = Box::pin(self.decide(&found.read()?, inquiry, mode)).await?;
            now = self.decisions.moment();
            decision
        };
        let checked = self.check_sender(&found, &decision, inquiry, mode).await;
        if is_recalled {
            self.decisions.count_hit();
        }
        checked?;
        Ok((decision, now))
    }

    /// Checks that a good credential is in the hands of whoever may use it, and here.
    async fn check_sender(
        &self,
        found: &Located<'_>,
        decision: &CachedDecision,
        inquiry: &Inquiry<'_>,
        mode: Mode,
    ) -> Result<(), Denial> {
        found.source.check(&decision.token.subject)?;
        if let Some(bounds) = decision.key_bounds() {
            self.check_bounds(bounds, inquiry)?;
        }
        self.check_binding(decision.session.as_deref(), inquiry)?;
        self.check_possession(found, decision, inquiry, mode).await
    }

    async fn decide(
        &self,
        found: &Found<'_>,
        inquiry: &Inquiry<'_>,
        mode: Mode,
    ) -> Result<CachedDecision, Denial> {
        let (decisions, credential) = (&self.decisions, found.credential);
        match found.source {
            CredentialSource::Handshake => {
                decisions.decide_ticket(credential, mode.uses_up()).await
            }
            CredentialSource::Basic => {
                decisions.decide_password(credential, inquiry.counted_address()).await
            }
            _ => decisions.look_up(credential, &inquiry.origin).await,
        }
    }
}
