//! Tickets for web sockets: given to whoever shows an access token, for the session of that token.

use std::sync::Arc;

use super::Dependencies;
use super::audit::{Audit, Event};
use super::caller::Caller;
use super::error::{Cause, IssueError};
use super::policy::IssuancePolicy;
use super::revocation::Bearer;
use crate::clock::Clock;
use crate::opaque::{Ticket, TicketError, Tickets};
use crate::secret::{Random, Secret};

/// Gives out tickets.
#[derive(Debug)]
pub struct TicketIssuer {
    policy: Arc<IssuancePolicy>,
    tickets: Tickets,
    audit: Audit,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl TicketIssuer {
    pub(super) fn new(on: &Dependencies) -> Self {
        let Dependencies { policy, records, audit, clock, random, .. } = on.clone();
        Self { policy, tickets: Tickets::new(records), audit, clock, random }
    }

    /// A ticket that stands for the bearer's token, and the seconds for which it is good. It never
    /// outlives the token.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`]; then there is none.
    pub async fn issue(
        &self,
        bearer: &Bearer,
        caller: &Caller,
    ) -> Result<(Secret, u64), IssueError> {
        let now = self.clock.now();
        let expires = now.after(self.policy.ticket_lifetime).min(bearer.expires);
        let ticket = Ticket {
            user: bearer.user.clone(),
            session: bearer.session.clone(),
            claims: bearer.claims.clone(),
            token_expires: bearer.expires,
            expires,
        };
        let given = self.tickets.put(&ticket, now, self.random.as_ref()).await;
        let given = given.map_err(|error| match error {
            TicketError::Random(error) => IssueError::from(Cause::from(error)),
            TicketError::Store(error) => IssueError::from(error),
        })?;
        let event = self.audit.event(Event::Ticket).user(bearer.user.as_str());
        event.session(&bearer.session).address(caller.address).write();
        Ok((given, expires.since(now).as_secs()))
    }
}
