//! The way of one process to the one store: question and answer travel, and may be lost; what is asked takes effect at one
//! point between the two, also where whoever asked does not wait any more.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use portcullis::{
    clock::UnixTime,
    opaque::{Exchange, OpaqueStore, OpaqueToken, TokenDigest},
    restrict::{Claim, RestrictStore, Strike},
    session::{Concern, Filter, Session, SessionId, SessionStore, StoreError, UserId},
};
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::{time::Stamp, weather::Lane, world::World};

/// How long after it was sent a question is expected to have been answered, at the very most.
const LATEST: Duration = Duration::from_secs(2);
/// How long a gate waits for one read; who goes away before does so for another reason.
const TIMEOUT: Duration = Duration::from_millis(149);

/// A process' way to the store.
#[derive(Clone, Debug)]
pub struct Link {
    pub process: usize,
    pub world: Arc<World>,
}

/// Notes that there was no answer, also where whoever asked went away.
struct Unanswered<'l> {
    link: &'l Link,
    verb: &'static str,
    asked: Stamp,
    is_over: bool,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.link.world.note(self.link.process, self.verb, "is given up");
            let is_failure = self.link.world.stamp() >= self.asked + TIMEOUT;
            self.link.ended(if is_failure { self.verb } else { "" }, self.asked, false);
        }
    }
}

impl Link {
    /// Asks; `effect` takes place at once when it is polled, but for what a mutation tears apart.
    async fn call<T: Send + 'static>(
        &self,
        verb: &'static str,
        of: &str,
        effect: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let world = Arc::clone(&self.world);
        let trip = world.weather.trip(self.process, is_read(verb), &world.chance);
        let asked = world.stamp();
        world.step(self.process);
        let mut unanswered = Unanswered { link: self, verb, asked, is_over: false };
        let (told, answer) = oneshot::channel();
        let (process, of) = (self.process, of.to_owned());
        tokio::spawn(async move {
            world.travel(trip.there).await;
            if trip.lost.is_some_and(|lost| lost.is_question) {
                return;
            }
            if !world.weather.is_served(process).await {
                let _ = told.send(Err(StoreError::Unavailable("sent away".to_owned())));
                return;
            }
            if told.is_closed() && world.stamp() > asked + LATEST {
                world.judge.overdue();
            }
            let outcome = effect.await;
            world.note(process, verb, &of);
            world.travel(trip.back).await;
            if trip.lost.is_none() {
                let _ = told.send(outcome);
            }
        });
        let outcome = match answer.await {
            Ok(outcome) => outcome,
            Err(_) if trip.lost.is_some_and(|lost| lost.is_silent) => std::future::pending().await,
            Err(_) => Err(StoreError::TimedOut),
        };
        unanswered.is_over = true;
        self.world.step(self.process);
        self.ended(verb, asked, outcome.is_ok());
        outcome
    }

    fn ended(&self, verb: &str, asked: Stamp, is_answered: bool) {
        let lane = match verb {
            "reads session" => Some(Lane::Sessions),
            "reads token" => Some(Lane::Tokens),
            _ => None,
        };
        let now = self.world.stamp();
        self.world.weather.ended(self.process, lane, asked, is_answered.then_some(now));
        if !is_answered {
            self.world.weather.trouble(self.process, now);
        }
    }
}

fn is_read(verb: &str) -> bool {
    verb.starts_with("reads")
}

fn session_key(id: &SessionId) -> String {
    format!("session:{id}")
}

fn user_key(user: &UserId) -> String {
    format!("user:{user}")
}

fn token_key(digest: &TokenDigest) -> String {
    format!("token:{}", digest.name())
}

#[async_trait]
impl SessionStore for Link {
    async fn put(&self, session: &Session) -> Result<(), StoreError> {
        let (world, session) = (Arc::clone(&self.world), session.clone());
        let id = session.id.clone();
        let effect = async move {
            let put = world.kept.sessions.put(&session).await;
            world.changed(&session_key(&session.id));
            put
        };
        self.call("opens session", id.as_str(), effect).await
    }

    async fn get(&self, user: &UserId, id: &SessionId) -> Result<Option<Session>, StoreError> {
        let (world, user, key) = (Arc::clone(&self.world), user.clone(), id.clone());
        let effect = async move {
            let found = world.kept.sessions.get(&user, &key).await?;
            Ok(found.and_then(|session| world.misread(session)))
        };
        self.call("reads session", id.as_str(), effect).await
    }

    async fn touch(&self, uses: &[(SessionId, UnixTime)]) -> Result<(), StoreError> {
        let (world, uses) = (Arc::clone(&self.world), uses.to_vec());
        self.call("notes uses", "", async move { world.kept.sessions.touch(&uses).await }).await
    }

    async fn renew(&self, id: &SessionId, expires: UnixTime) -> Result<bool, StoreError> {
        let (world, key) = (Arc::clone(&self.world), id.clone());
        let effect = async move {
            world.revive(&key).await?;
            let is_there = world.kept.sessions.renew(&key, expires).await?;
            if is_there {
                world.judge.session_renewed(&key, expires);
                world.changed(&session_key(&key));
            }
            Ok(is_there)
        };
        self.call("renews session", id.as_str(), effect).await
    }

    async fn revoke(&self, id: &SessionId) -> Result<Option<UserId>, StoreError> {
        let (world, key) = (Arc::clone(&self.world), id.clone());
        let effect = async move {
            world.bury(&key).await?;
            let owner = world.revoke(&key).await?;
            world.judge.session_revoked(&key, world.stamp());
            world.changed(&session_key(&key));
            Ok(owner)
        };
        self.call("revokes session", id.as_str(), effect).await
    }

    async fn revoke_user(&self, user: &UserId, at: UnixTime) -> Result<u64, StoreError> {
        let (world, owner) = (Arc::clone(&self.world), user.clone());
        let effect = async move {
            let ended = world.kept.sessions.revoke_user(&owner, at).await?;
            world.judge.user_revoked(&owner, at, world.stamp());
            world.changed(&user_key(&owner));
            Ok(ended)
        };
        self.call("revokes user", user.as_str(), effect).await
    }

    async fn list(&self, filter: &Filter, limit: usize) -> Result<Vec<Session>, StoreError> {
        let (world, filter) = (Arc::clone(&self.world), filter.clone());
        self.call("lists", "", async move { world.kept.sessions.list(&filter, limit).await }).await
    }

    async fn purge(&self, _expired_before: UnixTime) -> Result<u64, StoreError> {
        unreachable!("nobody makes room in a simulation")
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.call("pings", "", async { Ok(()) }).await
    }

    fn describe(&self) -> String {
        "simulated".to_owned()
    }

    fn concern(&self, key: &[u8]) -> Option<Concern> {
        let key = std::str::from_utf8(key).ok()?;
        if let Some(id) = key.strip_prefix("session:") {
            return SessionId::parse(id).ok().map(Concern::Session);
        }
        UserId::parse(key.strip_prefix("user:")?).ok().map(Concern::User)
    }
}

#[async_trait]
impl OpaqueStore for Link {
    async fn put(&self, tokens: &[OpaqueToken]) -> Result<(), StoreError> {
        let (world, tokens) = (Arc::clone(&self.world), tokens.to_vec());
        self.call("puts tokens", "", async move { world.kept.tokens.put(&tokens).await }).await
    }

    async fn get(&self, digest: &TokenDigest) -> Result<Option<OpaqueToken>, StoreError> {
        let (world, key) = (Arc::clone(&self.world), *digest);
        let effect = async move { world.kept.tokens.get(&key).await };
        self.call("reads token", &digest.name(), effect).await
    }

    async fn exchange(
        &self,
        old: &TokenDigest,
        at: UnixTime,
        successors: &[OpaqueToken],
    ) -> Result<Exchange, StoreError> {
        let (world, old_key) = (Arc::clone(&self.world), *old);
        let successors = successors.to_vec();
        let effect = async move {
            let done = world.exchange(&old_key, at, &successors).await?;
            if done == Exchange::Done {
                world.judge.token_used(&old_key, &successors, world.stamp());
                world.changed(&token_key(&old_key));
            }
            Ok(done)
        };
        self.call("exchanges token", &old.name(), effect).await
    }

    async fn extend(
        &self,
        digest: &TokenDigest,
        expires: UnixTime,
        claims: Option<&Map<String, Value>>,
    ) -> Result<bool, StoreError> {
        let (world, key) = (Arc::clone(&self.world), *digest);
        let claims = claims.cloned();
        let effect = async move {
            let is_there = world.kept.tokens.extend(&key, expires, claims.as_ref()).await?;
            world.judge.token_extended(&key, expires);
            world.changed(&token_key(&key));
            Ok(is_there)
        };
        self.call("extends token", &digest.name(), effect).await
    }

    async fn remove(&self, digest: &TokenDigest) -> Result<bool, StoreError> {
        let (world, key) = (Arc::clone(&self.world), *digest);
        let effect = async move {
            let was_there = world.kept.tokens.remove(&key).await?;
            world.judge.token_removed(&key, world.stamp());
            world.changed(&token_key(&key));
            Ok(was_there)
        };
        self.call("removes token", &digest.name(), effect).await
    }

    async fn purge(&self, _expired_before: UnixTime) -> Result<u64, StoreError> {
        unreachable!("nobody makes room in a simulation")
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.call("pings", "", async { Ok(()) }).await
    }

    fn describe(&self) -> String {
        "simulated".to_owned()
    }

    fn concern(&self, key: &[u8]) -> Option<TokenDigest> {
        self.world.judge.digest_named(std::str::from_utf8(key).ok()?.strip_prefix("token:")?)
    }
}

#[async_trait]
impl RestrictStore for Link {
    async fn claim(
        &self,
        name: &str,
        value: &str,
        at: UnixTime,
        until: UnixTime,
    ) -> Result<Claim, StoreError> {
        let (world, key) = (Arc::clone(&self.world), name.to_owned());
        let value = value.to_owned();
        let effect = async move { world.claim(&key, &value, at, until).await };
        self.call("claims", name, effect).await
    }

    async fn swap(
        &self,
        name: &str,
        expected: &str,
        value: &str,
        until: UnixTime,
    ) -> Result<bool, StoreError> {
        let (world, key) = (Arc::clone(&self.world), name.to_owned());
        let (expected, value) = (expected.to_owned(), value.to_owned());
        let effect = async move { world.swap(&key, &expected, &value, until).await };
        self.call("swaps claim", name, effect).await
    }

    async fn read(&self, name: &str, at: UnixTime) -> Result<Option<String>, StoreError> {
        let (world, key) = (Arc::clone(&self.world), name.to_owned());
        let effect = async move { world.kept.restrict.read(&key, at).await };
        self.call("reads claim", name, effect).await
    }

    async fn clear(&self, name: &str) -> Result<bool, StoreError> {
        let (world, key) = (Arc::clone(&self.world), name.to_owned());
        self.call("clears claim", name, async move { world.kept.restrict.clear(&key).await }).await
    }

    async fn spend(
        &self,
        _name: &str,
        _at: UnixTime,
        _interval: Duration,
        _burst: u32,
    ) -> Result<Option<Duration>, StoreError> {
        unreachable!("there are no budgets in a simulation")
    }

    async fn refund(&self, _name: &str, _interval: Duration) -> Result<(), StoreError> {
        unreachable!("there are no budgets in a simulation")
    }

    async fn strike(
        &self,
        _name: &str,
        _at: UnixTime,
        _delays: &[Duration],
        _memory: Duration,
    ) -> Result<Strike, StoreError> {
        unreachable!("there are no attempts in a simulation")
    }

    async fn uncount(&self, _name: &str) -> Result<(), StoreError> {
        unreachable!("there are no attempts in a simulation")
    }

    async fn pardon(&self, _name: &str) -> Result<(), StoreError> {
        unreachable!("there are no attempts in a simulation")
    }

    async fn purge(&self, _before: UnixTime) -> Result<u64, StoreError> {
        unreachable!("nobody makes room in a simulation")
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.call("pings", "", async { Ok(()) }).await
    }

    fn describe(&self) -> String {
        "simulated".to_owned()
    }
}
