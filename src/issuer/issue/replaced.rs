//! The sessions that have to go for a new one: of too many, and of the same device.

use super::{API_KEY_CLAIM, CLIENT_ID, NewSession, SessionOpener};
use crate::issuer::audit::Event;
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::issuer::token_issuer::Family;
use crate::session::{Filter, Session, SessionId};

/// Number of sessions beyond the limit that are read at once.
const MAX_EXCESS_READ: usize = 10_000;

impl SessionOpener {
    /// Ends the sessions that the device of a new one had before, by the same client or key: where
    /// its user logs in again, the list of his sessions stays one of his devices.
    pub(super) async fn replace_sessions_of_device(
        &self,
        opened: &NewSession<'_>,
        caller: &Caller,
    ) -> Result<(), IssueError> {
        let (Some(device), true) = (&caller.device_id, self.policy.replaces_device_sessions) else {
            return Ok(());
        };
        let Family { session: own, client, now, .. } = opened.family;
        let mut earlier = self.live_sessions(opened, MAX_EXCESS_READ).await?;
        // Of two that log in at this moment, the later one goes on: not none of them.
        earlier.retain(|session| {
            session.device.id.as_ref() == Some(device)
                && claim(session, CLIENT_ID) == client
                && (session.created, &session.id) < (now, own)
        });
        for session in &earlier {
            self.replace(&session.id, opened, caller).await?;
        }
        Ok(())
    }

    /// Ends the least recently seen sessions where there are too many; never the new one. Those
    /// that people opened themselves, and those of each API key, are counted apart: a program does
    /// not log its owner out.
    pub(super) async fn enforce_session_limit(
        &self,
        opened: &NewSession<'_>,
        caller: &Caller,
    ) -> Result<(), IssueError> {
        let Family { subject, session: own, .. } = opened.family;
        let is_login = subject.is_person && opened.key.is_none();
        let most = if is_login { self.policy.max_sessions } else { self.policy.max_key_sessions };
        if most == 0 {
            return Ok(());
        }
        let mut live = self.live_sessions(opened, most.saturating_add(MAX_EXCESS_READ)).await?;
        // In the same order for everybody who logs in at this moment, so that two do not end each
        // other's session.
        live.sort_by_key(|session| (session.last_seen, session.created, session.id.clone()));
        let excess = live.len().saturating_sub(most);
        for session in live.iter().take(excess).filter(|session| session.id != *own) {
            self.replace(&session.id, opened, caller).await?;
        }
        Ok(())
    }

    /// The live sessions of the user; of an API key those that it opened, else those that none did.
    async fn live_sessions(
        &self,
        opened: &NewSession<'_>,
        limit: usize,
    ) -> Result<Vec<Session>, IssueError> {
        let Family { subject, now, .. } = opened.family;
        let filter = Filter { user: Some(subject.user.clone()), live_at: Some(now) };
        let mut live = self.sessions.list(&filter, limit).await?;
        live.retain(|session| claim(session, API_KEY_CLAIM) == opened.key);
        Ok(live)
    }

    /// Ends a session for the new one.
    async fn replace(
        &self,
        session: &SessionId,
        opened: &NewSession<'_>,
        caller: &Caller,
    ) -> Result<(), IssueError> {
        if self.sessions.revoke(session).await?.is_some() {
            let replaced = self.audit.event(Event::SessionReplaced).session(session);
            let user = opened.family.subject.user.as_str();
            replaced.user(user).address(caller.address).write();
        }
        Ok(())
    }
}

/// A text that a session was opened with.
fn claim<'s>(session: &'s Session, name: &str) -> Option<&'s str> {
    session.claims.get(name).and_then(|value| value.as_str())
}
