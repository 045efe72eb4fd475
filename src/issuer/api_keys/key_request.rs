//! The request for a key: what may be asked for, and the record that comes of it.
//!
//! Nothing is stored here, so that the command line can show a key before it is kept.

use std::time::Duration;

use crate::account::{
    AddressRange, ApiKey, KEY_PREFIX, KEY_REFRESH_PREFIX, KeyBounds, KeyDigest, KeyRefresh, User,
    is_path,
};
use crate::clock::UnixTime;
use crate::issuer::error::IssueError;
use crate::opaque;
use crate::policy::canonical::{Told, canonical};
use crate::secret::{Random, RandomFailed, Secret, random_id};
use crate::session::Session;
use crate::token::is_scope;

/// The longest text of a label or a bound, in bytes.
const MAX_TEXT_BYTES: usize = 255;
/// The most scopes of a key.
const MAX_SCOPES: usize = 100;
/// The longest time that may be asked for: a century.
const MAX_TIME: Duration = Duration::from_secs(36_525 * 86_400);
/// The beginning of its id.
const ID_PREFIX: &str = "key_";

/// A request for a key. By default it is for a key without bounds and without an end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRequest {
    /// A name for people.
    pub label: Option<String>,
    /// The most scopes that it may be granted; empty: all of its user's.
    pub scopes: Vec<String>,
    /// The issuer that must be the one of the accounts.
    pub issuer: Option<String>,
    /// The service that it is for.
    pub audience: Option<String>,
    /// The path of all requests that it is for, or the id of its user.
    pub subject: Option<String>,
    /// The address, or the network of addresses, that it may be used from.
    pub address: Option<String>,
    /// The version of the application's interface.
    pub version: Option<String>,
    /// Its times.
    pub terms: KeyTerms,
}

/// The times of a key, from the moment at which it is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyTerms {
    /// The time before it may be used.
    pub not_before: Duration,
    /// The time until its end; `None`: it has none, but for that of its session.
    pub lifetime: Option<Duration>,
    /// The times of its refresh token; `None`: it has none.
    pub refresh: Option<RefreshTerms>,
}

/// The times of a refresh token, from the moment at which it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshTerms {
    /// The time before it works.
    pub not_before: Duration,
    /// The time until its end.
    pub lifetime: Duration,
}

/// A key that was made, and its record. The secrets are nowhere else.
#[derive(Clone, Debug, PartialEq)]
pub struct IssuedKey {
    /// The key.
    pub key: Secret,
    /// The token that gets the next one.
    pub refresh_token: Option<Secret>,
    /// The record to keep.
    pub record: ApiKey,
}

impl KeyRequest {
    /// A key as it was asked for, which nobody has kept yet. Where it is bound to a session, it and
    /// its refresh token end with that at the latest.
    ///
    /// # Errors
    /// [`IssueError::InvalidRequest`] and [`IssueError::InvalidScope`] for what makes no sense;
    /// [`IssueError::Unavailable`] where there are no random numbers.
    pub fn prepare(
        &self,
        user: &User,
        session: Option<&Session>,
        now: UnixTime,
        random: &dyn Random,
    ) -> Result<IssuedKey, IssueError> {
        for (name, text) in [
            ("label", &self.label),
            ("issuer", &self.issuer),
            ("audience", &self.audience),
            ("subject", &self.subject),
            ("version", &self.version),
        ] {
            check_text(name, text.as_deref())?;
        }
        if self.scopes.len() > MAX_SCOPES || !self.scopes.iter().all(|scope| is_scope(scope)) {
            return Err(IssueError::InvalidScope);
        }
        let key = ApiKey {
            label: self.label.clone(),
            scopes: self.scopes.clone(),
            session: session.map(|session| session.id.clone()),
            bounds: self.bounds()?,
            version: self.version.clone(),
            ..ApiKey::new(String::new(), user.id.clone(), KeyDigest::of(&Secret::new("")), now)
        };
        self.terms.issue(key, session, random)
    }

    fn bounds(&self) -> Result<KeyBounds, IssueError> {
        let address = self.address.as_deref().map(str::parse::<AddressRange>).transpose();
        let address = address.map_err(|error| invalid(format!("address: {error}")))?;
        let subject = self.subject.as_deref();
        let subject = subject.map(canonical_subject).transpose()?;
        let (issuer, audience) = (self.issuer.clone(), self.audience.clone());
        Ok(KeyBounds { issuer, audience, subject, address })
    }
}

impl KeyTerms {
    /// Those of a key that was made before, for the one that takes its place.
    pub(super) fn of(key: &ApiKey) -> Self {
        let refresh = key.refresh.as_ref().map(|refresh| RefreshTerms {
            not_before: refresh.not_before.map_or(Duration::ZERO, |time| time.since(key.created)),
            lifetime: refresh.expires.since(key.created),
        });
        // What was waited for has come.
        let not_before = Duration::ZERO;
        Self { not_before, lifetime: key.expires.map(|end| end.since(key.created)), refresh }
    }

    /// A new key like `like`, with secrets and an id of its own, made at this moment. It stays in
    /// the family of the other.
    pub(super) fn issue(
        &self,
        like: ApiKey,
        session: Option<&Session>,
        random: &dyn Random,
    ) -> Result<IssuedKey, IssueError> {
        self.check()?;
        let (now, end) = (like.created, session.map(|session| session.expires));
        let until = |lifetime: Duration| {
            let expires = now.after(lifetime);
            end.map_or(expires, |end| end.min(expires))
        };
        let from = |wait: Duration| (wait > Duration::ZERO).then(|| now.after(wait));
        let id = new_key_id(random)?;
        let key = secret(KEY_PREFIX, random)?;
        let family = like.refresh.map_or_else(|| id.clone(), |refresh| refresh.family);
        let refresh_token = match self.refresh {
            Some(terms) => Some((secret(KEY_REFRESH_PREFIX, random)?, terms)),
            None => None,
        };
        let refresh = refresh_token.as_ref().map(|(token, terms)| KeyRefresh {
            digest: KeyDigest::of(token),
            family,
            not_before: from(terms.not_before),
            expires: until(terms.lifetime),
        });
        let record = ApiKey {
            id,
            digest: KeyDigest::of(&key),
            not_before: from(self.not_before),
            expires: self.lifetime.map(until).or(end),
            last_used: None,
            refresh,
            replaced_by: None,
            ..like
        };
        Ok(IssuedKey { key, refresh_token: refresh_token.map(|(token, _)| token), record })
    }

    fn check(&self) -> Result<(), IssueError> {
        let refresh = self.refresh.map(|refresh| (refresh.not_before, Some(refresh.lifetime)));
        for (wait, lifetime) in
            [Some((self.not_before, self.lifetime)), refresh].into_iter().flatten()
        {
            if wait > MAX_TIME || lifetime.is_some_and(|lifetime| lifetime > MAX_TIME) {
                return Err(invalid("no time may be longer than 100 years"));
            }
            if lifetime.is_some_and(|lifetime| lifetime <= wait) {
                return Err(invalid("it would be over before it may be used"));
            }
        }
        Ok(())
    }
}

fn invalid(what: impl Into<String>) -> IssueError {
    IssueError::invalid_request(what)
}

/// Checks a text that people or programs chose.
fn check_text(name: &str, text: Option<&str>) -> Result<(), IssueError> {
    let Some(text) = text else { return Ok(()) };
    if text.is_empty() || text.len() > MAX_TEXT_BYTES || text.chars().any(char::is_control) {
        let what = format!("{name}: 1 to {MAX_TEXT_BYTES} bytes without control characters");
        return Err(invalid(what));
    }
    Ok(())
}

/// The subject in the form in which it is compared. A path is decoded, as those of requests are, so
/// that one that no request can have is refused here.
fn canonical_subject(subject: &str) -> Result<String, IssueError> {
    if !is_path(subject) {
        return Ok(subject.to_owned());
    }
    if subject.contains(['?', '#']) {
        return Err(invalid("subject: a path has no query"));
    }
    let url = format!("https://key.invalid{subject}");
    let read = Told::of_url("GET", &url)
        .map(|told| canonical(&told).map(|it| it.path.as_str().to_owned()));
    match read {
        Some(Ok(path)) => Ok(path),
        Some(Err(refusal)) => Err(invalid(format!("subject: no request has this path: {refusal}"))),
        None => Err(invalid("subject: this is no path")),
    }
}

fn secret(prefix: &str, random: &dyn Random) -> Result<Secret, RandomFailed> {
    let random = opaque::generate(random)?;
    Ok(Secret::new([prefix.as_bytes(), random.expose()].concat()))
}

/// The id of a new key; it says nothing of the key.
///
/// # Errors
/// [`RandomFailed`].
pub fn new_key_id(random: &dyn Random) -> Result<String, RandomFailed> {
    Ok(format!("{ID_PREFIX}{}", random_id(random)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Login;
    use crate::secret::SystemRandom;
    use crate::session::{SessionId, UserId};

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    fn alice() -> User {
        let name = Login::parse("alice").expect("a name");
        User::new(UserId::parse("alice").expect("an id"), name, NOW)
    }

    fn prepared(request: &KeyRequest) -> Result<IssuedKey, IssueError> {
        request.prepare(&alice(), None, NOW, &SystemRandom)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_path_is_kept_as_requests_have_it_and_no_other_is_taken() {
        let subject =
            |text: &str| KeyRequest { subject: Some(text.to_owned()), ..KeyRequest::default() };
        for (text, kept) in [
            ("/reports", "/reports"),
            ("/a%20b/", "/a b/"),
            ("/%72eports", "/reports"),
            ("alice", "alice"),
        ] {
            let issued = prepared(&subject(text)).expect(text);
            assert_eq!(issued.record.bounds.subject.as_deref(), Some(kept));
        }
        for bad in ["/a/../b", "//a", "/a%2fb", "/a?b", "/a#b", "/a;b", "", "a\nb"] {
            let refused = prepared(&subject(bad));
            assert!(matches!(refused, Err(IssueError::InvalidRequest(_))), "{bad}: {refused:?}");
        }
    }

    #[test]
    fn what_is_over_before_it_begins_is_refused() {
        let refresh = |wait, lifetime| {
            Some(RefreshTerms { not_before: seconds(wait), lifetime: seconds(lifetime) })
        };
        for (not_before, lifetime, refresh, is_good) in [
            (0, Some(1), None, true),
            (5, None, refresh(5, 6), true),
            (0, Some(0), None, false),
            (5, Some(5), None, false),
            (0, None, refresh(6, 6), false),
            (0, Some(36_526 * 86_400), None, false),
        ] {
            let lifetime = lifetime.map(seconds);
            let terms = KeyTerms { not_before: seconds(not_before), lifetime, refresh };
            let request = KeyRequest { terms, ..KeyRequest::default() };
            assert_eq!(prepared(&request).is_ok(), is_good, "{terms:?}");
        }
    }

    #[test]
    fn neither_a_key_nor_its_refresh_token_outlives_its_session() {
        let id = SessionId::parse("s").expect("an id");
        let session = Session::new(id, alice().id, NOW, NOW.after(seconds(60)));
        for (lifetime, refresh_lifetime, expires, refresh_expires) in
            [(None, 90, 60, 60), (Some(90), 30, 60, 30), (Some(30), 90, 30, 60)]
        {
            let refresh =
                RefreshTerms { not_before: Duration::ZERO, lifetime: seconds(refresh_lifetime) };
            let lifetime = lifetime.map(seconds);
            let terms = KeyTerms { lifetime, refresh: Some(refresh), ..KeyTerms::default() };
            let request = KeyRequest { terms, ..KeyRequest::default() };
            let key = request
                .prepare(&alice(), Some(&session), NOW, &SystemRandom)
                .expect("a key")
                .record;
            assert_eq!(key.expires, Some(NOW.after(seconds(expires))));
            let ends = key.refresh.map(|refresh| refresh.expires);
            assert_eq!(ends, Some(NOW.after(seconds(refresh_expires))));
            assert_eq!(key.session.as_ref(), Some(&session.id));
        }
    }

    #[test]
    fn the_record_holds_digests_of_what_is_shown_and_a_family_of_its_own() {
        let refresh = Some(RefreshTerms { not_before: Duration::ZERO, lifetime: seconds(60) });
        let terms = KeyTerms { refresh, ..KeyTerms::default() };
        let issued = prepared(&KeyRequest { terms, ..KeyRequest::default() }).expect("a key");
        let token = issued.refresh_token.expect("a refresh token");
        let refresh = issued.record.refresh.expect("its record");
        assert_eq!(issued.record.digest, KeyDigest::of(&issued.key));
        assert_eq!((refresh.digest, refresh.family), (KeyDigest::of(&token), issued.record.id));
        assert!(issued.key.expose().starts_with(b"pk_") && token.expose().starts_with(b"pr_"));
    }
}
