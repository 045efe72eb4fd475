//! Sessions of frontends, by their tokens: a session like any other, and beside it a record of what
//! only authnzerver's clients ask for.
//!
//! Its id is a digest of the token, and is never a secret. The session decides whether it lives; the
//! record alone is nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::{Clock, UnixTime};
use crate::issuer::Dependencies;
use crate::issuer::error::IssueError;
use crate::secret::{Random, Secret};
use crate::session::{Device, NotLive, Session, SessionId, Sessions, UserId};
use crate::store::Operation;
use crate::store::records::{Record, Records};

/// The claim of a session that says by what it was opened; as for sessions of other ways in.
const ORIGIN: &str = "origin";
const AUTHNZERVER: &str = "authnzerver";
/// The value by which an edit takes a key away.
const DELETE: &str = "__delete__";

/// The sessions that frontends open.
#[derive(Debug)]
pub(super) struct SessionTokens {
    sessions: Arc<Sessions>,
    records: Records,
    random: Arc<dyn Random>,
    clock: Arc<dyn Clock>,
}

/// A session to open.
#[derive(Debug)]
pub(super) struct NewSession<'a> {
    pub(super) user: UserId,
    pub(super) address: IpAddr,
    pub(super) user_agent: &'a str,
    pub(super) expires: UnixTime,
    pub(super) extra_info: Option<Map<String, Value>>,
}

/// A session that lives.
#[derive(Clone, Debug)]
pub(super) struct LiveSession {
    pub(super) id: SessionId,
    pub(super) user: UserId,
    pub(super) created: UnixTime,
    pub(super) expires: UnixTime,
    pub(super) kept: KeptSession,
}

/// The part of a session that no other way in knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct KeptSession {
    user: String,
    /// The address as the frontend wrote it.
    pub(super) address: String,
    /// The whole user agent.
    pub(super) user_agent: String,
    /// The frontend's own notes.
    pub(super) extra_info: Option<Map<String, Value>>,
    /// In milliseconds since the Unix epoch.
    expires: u64,
}

impl Record for KeptSession {
    const KIND: &'static str = "authnzerver-session";
    const MARGIN: Duration = Duration::from_secs(60);

    fn end(&self) -> UnixTime {
        UnixTime::from_millis(self.expires)
    }
}

impl SessionTokens {
    pub(super) fn new(on: &Dependencies) -> Self {
        let Dependencies { sessions, records, random, clock, .. } = on.clone();
        Self { sessions, records, random, clock }
    }

    /// Opens a session; its token.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`]; then nobody has a token for it.
    pub(super) async fn open(&self, new: NewSession<'_>) -> Result<Secret, IssueError> {
        let mut bytes = [0; 32];
        self.random.fill(&mut bytes)?;
        let token = Secret::new(URL_SAFE_NO_PAD.encode(bytes));
        let id = id_of(token.expose())?;
        let now = self.clock.now();
        let NewSession { user, address, user_agent, expires, extra_info } = new;
        let kept = KeptSession {
            user: user.as_str().to_owned(),
            address: address.to_string(),
            user_agent: user_agent.to_owned(),
            extra_info,
            expires: expires.as_millis(),
        };
        // First what alone is nothing.
        let put = move |_: Option<KeptSession>| ((), Some(kept.clone()));
        self.records.change(Operation::Put, id.as_str(), now, put).await?;
        let claims = Map::from_iter([(ORIGIN.to_owned(), AUTHNZERVER.into())]);
        let device = Device::new(Some(user_agent), Some(address));
        let session = Session::new(id, user, now, expires);
        self.sessions.put(&Session { device, claims, ..session }).await?;
        Ok(token)
    }

    /// The session of a token, if it lives.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`] where a store does not say.
    pub(super) async fn find(&self, token: &str) -> Result<Option<LiveSession>, IssueError> {
        let Ok(id) = id_of(token.as_bytes()) else { return Ok(None) };
        let Some(kept) = self.kept(&id).await? else { return Ok(None) };
        let Ok(user) = UserId::parse(&kept.user) else { return Ok(None) };
        match self.sessions.live(&user, &id).await {
            Ok(Session { created, expires, .. }) => {
                Ok(Some(LiveSession { id, user, created, expires, kept }))
            }
            Err(NotLive::Store(error)) => Err(error.into()),
            Err(NotLive::Unknown | NotLive::Ended(_)) => Ok(None),
        }
    }

    /// The record of the session with this id.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`].
    pub(super) async fn kept(&self, id: &SessionId) -> Result<Option<KeptSession>, IssueError> {
        Ok(self.records.read::<KeptSession>(Operation::Get, id.as_str()).await?)
    }

    /// Changes what the frontend keeps in a session that lives, in one step; what is there then.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`].
    pub(super) async fn edit(
        &self,
        session: &LiveSession,
        update: &Map<String, Value>,
    ) -> Result<Option<KeptSession>, IssueError> {
        let update = update.clone();
        let change = move |kept: Option<KeptSession>| {
            let edited = kept.map(|mut kept| {
                merge(kept.extra_info.get_or_insert_default(), &update);
                kept
            });
            (edited.clone(), edited)
        };
        let (name, now) = (session.id.as_str(), self.clock.now());
        Ok(self.records.change(Operation::Put, name, now, change).await?)
    }

    /// Forgets what the frontend kept in a session that has ended. Without it that would be kept to
    /// the session's end.
    pub(super) async fn forget(&self, session: &LiveSession) {
        let forgotten = self.records.delete::<KeptSession>(Operation::Remove, session.id.as_str());
        if let Err(error) = forgotten.await {
            tracing::warn!(%error, "what was kept of a session stays until it would have expired");
        }
    }
}

/// The id of the session with this token.
fn id_of(token: &[u8]) -> Result<SessionId, IssueError> {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"authnzerver session ");
    context.update(token);
    let id = URL_SAFE_NO_PAD.encode(context.finish());
    SessionId::parse(&format!("anz.{id}")).map_err(|_| IssueError::NotFound)
}

/// Merges an update into an object: it adds and replaces, and `__delete__` takes away.
pub(super) fn merge(object: &mut Map<String, Value>, update: &Map<String, Value>) {
    for (name, value) in update {
        if value.as_str() == Some(DELETE) {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_update_adds_replaces_and_takes_away() {
        let object = |value: Value| value.as_object().cloned().expect("an object");
        let mut kept = object(json!({ "a": 1, "b": 2, "c": 3 }));
        merge(
            &mut kept,
            &object(json!({ "a": 9, "b": "__delete__", "d": "__delete__", "e": null })),
        );
        assert_eq!(kept, object(json!({ "a": 9, "c": 3, "e": null })));
    }

    #[test]
    fn an_id_says_nothing_of_its_token_and_is_no_command_line_flag() {
        let token = "k".repeat(43);
        let id = id_of(token.as_bytes()).expect("an id");
        assert!(id.as_str().starts_with("anz.") && !id.as_str().contains("kkk"), "{id}");
        assert_eq!(id, id_of(token.as_bytes()).expect("an id"));
        assert_ne!(id, id_of(b"another").expect("an id"));
    }
}
