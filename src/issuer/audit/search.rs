//! Searches in the table of events: what is asked for in texts, as over HTTP and on the command
//! line, and what is answered in JSON.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Audit, Event, cut, searched_login};
use crate::account::{
    AccountError, AuditEvent, AuditStore, EventCursor, EventFilter, EventSummary,
};
use crate::clock::UnixTime;
use crate::issuer::error::IssueError;
use crate::secret::pseudonym::{Pseudonyms, is_pseudonym};

/// The number of events on a page where nobody says how many.
pub const USUAL_LIMIT: usize = 100;
/// The largest number of events on a page.
pub const MAX_LIMIT: usize = 1_000;
/// The number of names and addresses in a summary.
const SUMMARY_LIMIT: usize = 20;
/// The number of events that are deleted in one transaction, so that no login waits long for it.
const PURGE_STEP: usize = 1_000;
/// The time between two such transactions, in which others have their turn.
const PURGE_PAUSE: Duration = Duration::from_millis(20);

/// The events that are wanted, as they are asked for. One that cannot be read is an error: a filter
/// that was left out would answer with more than was asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventSearch {
    /// The user's id.
    pub user: Option<String>,
    /// The login name, however it is written.
    pub login: Option<String>,
    /// The address of the caller.
    pub address: Option<String>,
    /// The kind of event.
    pub kind: Option<String>,
    /// Not before this time.
    pub from: Option<String>,
    /// Before this time.
    pub to: Option<String>,
    /// The number of events on a page.
    pub limit: Option<usize>,
    /// The end of the page before.
    pub cursor: Option<String>,
}

/// The period of a summary, as it is asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Period {
    /// Not before this time.
    pub from: Option<String>,
    /// Before this time.
    pub to: Option<String>,
}

/// A page of events, newest first.
#[derive(Clone, Debug, Default)]
pub struct EventPage {
    /// The events.
    pub events: Vec<AuditEvent>,
    /// The end of this page, where there may be another one.
    pub next: Option<EventCursor>,
}

/// A parameter of a search that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadSearch(String);

/// The reason why a search has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// It cannot be read.
    #[error(transparent)]
    Bad(#[from] BadSearch),
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] AccountError),
}

impl EventSearch {
    /// The page that is asked for.
    ///
    /// # Errors
    /// [`SearchError`].
    pub async fn page(
        &self,
        store: &dyn AuditStore,
        pseudonyms: &Pseudonyms,
    ) -> Result<EventPage, SearchError> {
        let filter = self.filter(pseudonyms)?;
        let limit = self.limit.unwrap_or(USUAL_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(BadSearch(format!("limit is a number from 1 to {MAX_LIMIT}")).into());
        }
        let cursor = self.cursor.as_deref().map(|text| {
            let bad = || BadSearch("cursor is not what the page before ended with".to_owned());
            EventCursor::parse(text).ok_or_else(bad)
        });
        let events = store.events(&filter, cursor.transpose()?.as_ref(), limit).await?;
        let last = events.last().filter(|_| events.len() == limit);
        Ok(EventPage { next: last.map(EventCursor::behind), events })
    }

    fn filter(&self, pseudonyms: &Pseudonyms) -> Result<EventFilter, BadSearch> {
        // A pseudonym that was copied out of the log is looked for as it is.
        let hashed = |text: &str, hash: &dyn Fn(&str) -> String| {
            if pseudonyms.is_on() && is_pseudonym(text) { text.to_owned() } else { hash(text) }
        };
        let address = |text: &str| -> Result<String, BadSearch> {
            if pseudonyms.is_on() && is_pseudonym(text) {
                return Ok(text.to_owned());
            }
            let address: IpAddr = text
                .parse()
                .map_err(|_| BadSearch(format!("address {text:?} is no IP address")))?;
            Ok(pseudonyms.of_address(address))
        };
        let (from, to) = period(self.from.as_deref(), self.to.as_deref())?;
        Ok(EventFilter {
            user: self
                .user
                .as_deref()
                .map(|user| hashed(user, &|user| cut(&pseudonyms.of_user(user)).to_owned())),
            login: self
                .login
                .as_deref()
                .map(|login| hashed(login, &|login| searched_login(login, pseudonyms))),
            address: self.address.as_deref().map(address).transpose()?,
            kind: self.kind.as_deref().map(kind).transpose()?,
            from,
            to,
        })
    }
}

impl Period {
    /// The number of events in this period.
    ///
    /// # Errors
    /// [`SearchError`].
    pub async fn summary(&self, store: &dyn AuditStore) -> Result<EventSummary, SearchError> {
        let (from, to) = period(self.from.as_deref(), self.to.as_deref())?;
        Ok(store.summary(from, to, SUMMARY_LIMIT).await?)
    }
}

fn kind(text: &str) -> Result<String, BadSearch> {
    let known: Result<Event, _> = serde_json::from_value(json!(text));
    known.map_err(|_| BadSearch(format!("there is no kind of event {text:?}")))?;
    Ok(text.to_owned())
}

fn period(
    from: Option<&str>,
    to: Option<&str>,
) -> Result<(Option<UnixTime>, Option<UnixTime>), BadSearch> {
    Ok((from.map(time).transpose()?, to.map(time).transpose()?))
}

/// Reads a time of a search.
///
/// # Errors
/// [`BadSearch`] where it is no time.
pub fn time(text: &str) -> Result<UnixTime, BadSearch> {
    let wrong = || {
        let forms = "write 2026-11-22 or 2026-11-22T08:00:00Z, in UTC";
        BadSearch(format!("{text:?} is no time; {forms}"))
    };
    UnixTime::parse(text).ok_or_else(wrong)
}

/// Deletes the events before that time, step by step.
///
/// # Errors
/// [`AccountError`]; what was deleted before it stays so.
pub async fn purge(store: &dyn AuditStore, before: UnixTime) -> Result<u64, AccountError> {
    let mut purged = 0;
    loop {
        let step = store.purge_events(before, PURGE_STEP).await?;
        purged += step;
        if step < PURGE_STEP as u64 {
            return Ok(purged);
        }
        tokio::time::sleep(PURGE_PAUSE).await;
    }
}

impl Audit {
    /// A page of events. Those of this process so far are among them.
    ///
    /// # Errors
    /// [`IssueError::NotFound`] where there is no table.
    pub async fn search(&self, search: &EventSearch) -> Result<EventPage, IssueError> {
        Ok(search.page(self.searched().await?.as_ref(), &self.pseudonyms).await?)
    }

    /// The number of events in a period.
    ///
    /// # Errors
    /// [`IssueError::NotFound`] where there is no table.
    pub async fn summary(&self, period: &Period) -> Result<EventSummary, IssueError> {
        Ok(period.summary(self.searched().await?.as_ref()).await?)
    }

    /// Deletes the events before that time. Returns how many.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn purge(&self, before: UnixTime) -> Result<u64, AccountError> {
        match self.table.as_ref().and_then(|table| table.store.as_ref()) {
            Some(store) => purge(store.as_ref(), before).await,
            None => Ok(0),
        }
    }

    /// True if there is a table to search.
    pub fn is_searchable(&self) -> bool {
        self.table.as_ref().is_some_and(|table| table.store.is_some())
    }

    async fn searched(&self) -> Result<Arc<dyn AuditStore>, IssueError> {
        let table = self.table.as_ref().ok_or(IssueError::NotFound)?;
        table.queue.flush().await;
        table.store.clone().ok_or(IssueError::NotFound)
    }
}

impl From<SearchError> for IssueError {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Bad(bad) => Self::InvalidRequest(bad.to_string()),
            SearchError::Store(error) => error.into(),
        }
    }
}

/// An event as machines read it: the line of the log, with its id.
pub fn event_json(event: &AuditEvent) -> Value {
    let mut fields = Map::new();
    let texts = [
        ("id", Some(&event.id)),
        ("event", Some(&event.kind)),
        ("user", event.user.as_ref()),
        ("login", event.login.as_ref()),
        ("address", event.address.as_ref()),
        ("session", event.session.as_ref()),
        ("client", event.client.as_ref()),
        ("reason", event.reason.as_ref()),
        ("error", event.error.as_ref()),
    ];
    let texts = texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text?))));
    fields.extend(texts);
    fields.insert("time".to_owned(), json!(event.time.to_string()));
    if event.left_out > 0 {
        fields.insert("left_out".to_owned(), json!(event.left_out));
    }
    fields.extend(event.rest.clone());
    Value::Object(fields)
}

/// A page as machines read it.
pub fn page_json(page: &EventPage) -> Value {
    let events: Vec<_> = page.events.iter().map(event_json).collect();
    json!({ "events": events, "next": page.next.as_ref().map(ToString::to_string) })
}

/// A summary as machines read it.
pub fn summary_json(summary: &EventSummary) -> Value {
    let kinds = summary.kinds.iter().map(
        |(kind, events, left_out)| json!({ "event": kind, "count": events, "left_out": left_out }),
    );
    let by = |name: &str, counts: &[(String, u64)]| -> Vec<Value> {
        counts.iter().map(|(of, count)| json!({ name: of, "count": count })).collect()
    };
    json!({
        "events": kinds.collect::<Vec<_>>(),
        "refused_logins": by("login", &summary.refused_logins),
        "refused_addresses": by("address", &summary.refused_addresses),
    })
}
