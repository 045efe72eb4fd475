//! Tickets as credentials: what a browser shows to open a web socket (ACCEPT_TICKETS).
//!
//! A ticket stands in the query of the client's address, or among the names of `Sec-WebSocket-Protocol`
//! (RFC 6455, section 11.3.4): nothing else can a page choose. It is taken of a handshake alone, so
//! that an address that was overheard or kept opens nothing else. A handshake is a GET with
//! `Sec-WebSocket-Version`: `Upgrade` and `Connection` are between two hops, and gateways leave them
//! out of their questions.
//!
//! It is used up by the question, whatever the answer, and nothing of it is cached.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::credential::API_KEY;
use super::denial::DenialCode;
use super::dpop::PROOF;
use super::handle::stored_claims;
use super::inquiry::Inquiry;
use crate::clock::UnixTime;
use crate::opaque::{TICKET_PREFIX, Ticket, Tickets};
use crate::token::{TokenError, Verified, Verifier};
use crate::wire::fields::{FieldValue, Fields};

/// The tickets that are accepted, and where in an address they stand.
#[derive(Clone, Debug)]
pub struct AcceptedTickets {
    tickets: Tickets,
    /// The name of the parameter of the query.
    parameter: String,
    lookups: Arc<Semaphore>,
}

/// The most tickets that are looked up at once; of more the store would not answer sooner.
const MAX_LOOKUPS: usize = 64;
/// The longest wait until a ticket is looked up.
const MAX_WAIT: Duration = Duration::from_millis(100);

/// The reason why a ticket is not good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TicketRefused {
    /// It was never given out, was used, or has expired.
    #[error("the ticket is not known: it was never given out, was used, or has expired")]
    Unknown,
    /// The claims that it stands for are not good.
    #[error(transparent)]
    Claims(#[from] TokenError),
    /// The store cannot say; this is never a yes.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// Too many are looked up already.
    #[error("too many tickets are looked up at once")]
    Busy,
}

impl AcceptedTickets {
    /// These tickets, in this parameter of the query.
    pub fn new(tickets: Tickets, parameter: String) -> Self {
        Self { tickets, parameter, lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)) }
    }

    /// The ticket of a request, if there is one. Beside it cookies count for nothing: a browser sends
    /// them by itself.
    ///
    /// # Errors
    /// [`DenialCode::MalformedCredentials`] where something begins as a ticket does and is none, or is
    /// there twice; [`DenialCode::SeveralCredentials`] beside another credential;
    /// [`DenialCode::TicketUnexpected`] where the request is no handshake.
    pub(super) fn find<'r>(&self, inquiry: &Inquiry<'r>) -> Result<Option<&'r str>, DenialCode> {
        let told = inquiry.told().unwrap_or_default();
        let in_query = only(query_values(told.target.unwrap_or_default(), &self.parameter))?;
        let in_protocols = only(protocols(inquiry.headers))?;
        let ticket = match (in_query, in_protocols) {
            (Some(one), Some(other)) if one != other => return Err(DenialCode::SeveralCredentials),
            (one, other) => one.or(other),
        };
        let Some(ticket) = ticket else { return Ok(None) };
        let has_other = [AUTHORIZATION.as_str(), API_KEY, PROOF]
            .iter()
            .any(|name| inquiry.headers.contains(name));
        let is_handshake =
            told.method == Some("GET") && inquiry.headers.contains(SEC_WEBSOCKET_VERSION.as_str());
        if has_other {
            Err(DenialCode::SeveralCredentials)
        } else if is_handshake {
            Ok(Some(ticket))
        } else {
            Err(DenialCode::TicketUnexpected)
        }
    }

    /// Takes a ticket: the claims of its token. It is good for nobody else from then on.
    ///
    /// # Errors
    /// [`TicketRefused`]. The session is not checked here.
    pub(super) async fn take(
        &self,
        ticket: &str,
        verifier: &Verifier,
        now: UnixTime,
    ) -> Result<Verified, TicketRefused> {
        let permit = timeout(MAX_WAIT, self.lookups.acquire()).await;
        let _permit = permit.ok().and_then(Result::ok).ok_or(TicketRefused::Busy)?;
        verified(self.tickets.take(ticket, now).await?, verifier)
    }

    /// Says the same, and leaves the ticket to others.
    ///
    /// # Errors
    /// [`TicketRefused`].
    pub(super) async fn read(
        &self,
        ticket: &str,
        verifier: &Verifier,
        now: UnixTime,
    ) -> Result<Verified, TicketRefused> {
        verified(self.tickets.read(ticket, now).await?, verifier)
    }
}

fn verified(found: Option<Ticket>, verifier: &Verifier) -> Result<Verified, TicketRefused> {
    let Ticket { user, session, claims, token_expires, .. } =
        found.ok_or(TicketRefused::Unknown)?;
    let claims = stored_claims(claims, &user, &session, token_expires)?;
    Ok(verifier.verify_stored_claims(claims, token_expires)?)
}

/// The one ticket among these texts; those that do not begin as one are the application's own.
fn only<'r>(texts: impl Iterator<Item = &'r str>) -> Result<Option<&'r str>, DenialCode> {
    let mut tickets = texts.filter(|text| text.starts_with(TICKET_PREFIX));
    match (tickets.next(), tickets.next()) {
        (None, _) => Ok(None),
        (Some(one), None) if Tickets::is_ticket(one) => Ok(Some(one)),
        _ => Err(DenialCode::MalformedCredentials),
    }
}

/// The values of a parameter in the query of a target, as they are spelled: a ticket needs no escape.
fn query_values<'r>(target: &'r str, parameter: &str) -> impl Iterator<Item = &'r str> {
    let target = target.split('#').next().unwrap_or_default();
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(move |(name, _)| *name == parameter).map(|(_, value)| value)
}

/// The names of the protocols that a handshake offers.
fn protocols(headers: Fields<'_>) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL.as_str());
    lines.filter_map(FieldValue::to_str).flat_map(|line| line.split(',').map(str::trim))
}

impl From<TicketRefused> for DenialCode {
    fn from(refused: TicketRefused) -> Self {
        match refused {
            TicketRefused::Unknown => Self::TicketUnknown,
            TicketRefused::Claims(error) => error.into(),
            TicketRefused::Store(_) | TicketRefused::Busy => Self::StoreUnavailable,
        }
    }
}

#[cfg(test)]
mod tests;
