//! The link of one process to the one store. A request and its answer travel, and may be lost; the request takes effect at
//! one point between the two, also where its sender does not wait any more.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use portcullis::{
    clock::UnixTime,
    opaque::{OpaqueToken, OpaqueTokenStore, Rotation, TokenDigest},
    session::{
        Filter, FoundSession, InvalidatedRecord, Session, SessionId, SessionKey, SessionStore,
        UserId,
    },
    store::StoreError,
    store::records::{NewRecord, RecordKey, RecordStore, StoredRecord},
};
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::{cluster::ClusterState, fault_injection::ReadKind, time::Timestamp};

/// The time within which a request is expected to have been answered, at the very most.
const MAX_DELIVERY: Duration = Duration::from_secs(2);
/// The time that a gate waits for one read; whoever goes away before does so for another reason.
const TIMEOUT: Duration = Duration::from_millis(149);

/// A process' link to the store.
#[derive(Clone, Debug)]
pub struct Link {
    pub process: usize,
    pub cluster: Arc<ClusterState>,
}

/// A request without an answer yet. Where its sender goes away, that is noted.
struct PendingRequest<'l> {
    link: &'l Link,
    verb: &'static str,
    asked: Timestamp,
    is_over: bool,
}

impl Drop for PendingRequest<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.link.cluster.record(self.link.process, self.verb, "is given up");
            let is_failure = self.link.cluster.stamp() >= self.asked + TIMEOUT;
            self.link.ended(if is_failure { self.verb } else { "" }, self.asked, false);
        }
    }
}

impl Link {
    /// Sends a request; `effect` takes place at once when it is polled, unless a mutation splits it.
    async fn call<T: Send + 'static>(
        &self,
        verb: &'static str,
        of: &str,
        effect: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let cluster = Arc::clone(&self.cluster);
        let trip = cluster.injector.round_trip(self.process, is_read(verb), &cluster.rng);
        let asked = cluster.stamp();
        if trip.loss.is_some() {
            // Now: who asks for more than this may be gone before it is noticed.
            cluster.injector.record_fault(self.process, asked);
        }
        cluster.step(self.process);
        let mut pending = PendingRequest { link: self, verb, asked, is_over: false };
        let (reply, answer) = oneshot::channel();
        let (process, of) = (self.process, of.to_owned());
        tokio::spawn(async move {
            cluster.travel(trip.request_latency).await;
            if trip.loss.is_some_and(|loss| loss.is_request) {
                return;
            }
            if !cluster.injector.is_served(process).await {
                let _ = reply.send(Err(StoreError::Unavailable("refused".to_owned())));
                return;
            }
            if reply.is_closed() && cluster.stamp() > asked + MAX_DELIVERY {
                cluster.oracle.overdue();
            }
            let outcome = effect.await;
            cluster.record(process, verb, &of);
            cluster.travel(trip.response_latency).await;
            if trip.loss.is_none() {
                let _ = reply.send(outcome);
            }
        });
        let outcome = match answer.await {
            Ok(outcome) => outcome,
            Err(_) if trip.loss.is_some_and(|loss| loss.is_silent) => std::future::pending().await,
            Err(_) => Err(StoreError::TimedOut),
        };
        pending.is_over = true;
        self.cluster.step(self.process);
        self.ended(verb, asked, outcome.is_ok());
        outcome
    }

    fn ended(&self, verb: &str, asked: Timestamp, is_answered: bool) {
        let kind = match verb {
            "reads session" => Some(ReadKind::Sessions),
            "reads token" => Some(ReadKind::Tokens),
            _ => None,
        };
        let now = self.cluster.stamp();
        self.cluster.injector.record_read(self.process, kind, asked, is_answered.then_some(now));
        if !is_answered {
            self.cluster.injector.record_fault(self.process, now);
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
        let (cluster, session) = (Arc::clone(&self.cluster), session.clone());
        let id = session.id.clone();
        let effect = async move {
            let put = cluster.store.sessions.put(&session).await;
            cluster.changed(&session_key(&session.id));
            put
        };
        self.call("opens session", id.as_str(), effect).await
    }

    async fn get_many(&self, keys: &[SessionKey]) -> Result<Vec<FoundSession>, StoreError> {
        let ids = keys.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>().join(" ");
        let (cluster, keys) = (Arc::clone(&self.cluster), keys.to_vec());
        let effect = async move {
            let found = cluster.store.sessions.get_many(&keys).await?.into_iter();
            let misread = |session| cluster.misread(session);
            Ok(found.map(|found| found.map(|session| session.and_then(misread))).collect())
        };
        self.call("reads session", &ids, effect).await
    }

    async fn touch(&self, uses: &[(SessionId, UnixTime)]) -> Result<(), StoreError> {
        let (cluster, uses) = (Arc::clone(&self.cluster), uses.to_vec());
        self.call("notes uses", "", async move { cluster.store.sessions.touch(&uses).await }).await
    }

    async fn renew(&self, id: &SessionId, expires: UnixTime) -> Result<bool, StoreError> {
        let (cluster, key) = (Arc::clone(&self.cluster), id.clone());
        let effect = async move {
            cluster.restore_deleted(&key).await?;
            let is_there = cluster.store.sessions.renew(&key, expires).await?;
            if is_there {
                cluster.oracle.session_renewed(&key, expires);
                cluster.changed(&session_key(&key));
            }
            Ok(is_there)
        };
        self.call("renews session", id.as_str(), effect).await
    }

    async fn revoke(&self, id: &SessionId) -> Result<Option<UserId>, StoreError> {
        let (cluster, key) = (Arc::clone(&self.cluster), id.clone());
        let effect = async move {
            cluster.remember_deleted(&key).await?;
            let owner = cluster.revoke(&key).await?;
            cluster.oracle.session_revoked(&key, cluster.stamp());
            cluster.changed(&session_key(&key));
            Ok(owner)
        };
        self.call("revokes session", id.as_str(), effect).await
    }

    async fn revoke_user(&self, user: &UserId, at: UnixTime) -> Result<u64, StoreError> {
        let (cluster, owner) = (Arc::clone(&self.cluster), user.clone());
        let effect = async move {
            let ended = cluster.store.sessions.revoke_user(&owner, at).await?;
            cluster.oracle.user_revoked(&owner, at, cluster.stamp());
            cluster.changed(&user_key(&owner));
            Ok(ended)
        };
        self.call("revokes user", user.as_str(), effect).await
    }

    async fn list(&self, filter: &Filter, limit: usize) -> Result<Vec<Session>, StoreError> {
        let (cluster, filter) = (Arc::clone(&self.cluster), filter.clone());
        self.call("lists", "", async move { cluster.store.sessions.list(&filter, limit).await })
            .await
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

    fn invalidated_record(&self, key: &[u8]) -> Option<InvalidatedRecord> {
        let key = std::str::from_utf8(key).ok()?;
        if let Some(id) = key.strip_prefix("session:") {
            return SessionId::parse(id).ok().map(InvalidatedRecord::Session);
        }
        UserId::parse(key.strip_prefix("user:")?).ok().map(InvalidatedRecord::User)
    }
}

#[async_trait]
impl OpaqueTokenStore for Link {
    async fn put(&self, tokens: &[OpaqueToken]) -> Result<(), StoreError> {
        let (cluster, tokens) = (Arc::clone(&self.cluster), tokens.to_vec());
        self.call("puts tokens", "", async move { cluster.store.tokens.put(&tokens).await }).await
    }

    async fn get(&self, digest: &TokenDigest) -> Result<Option<OpaqueToken>, StoreError> {
        let (cluster, key) = (Arc::clone(&self.cluster), *digest);
        let effect = async move { cluster.store.tokens.get(&key).await };
        self.call("reads token", &digest.name(), effect).await
    }

    async fn rotate(
        &self,
        old: &TokenDigest,
        at: UnixTime,
        successors: &[OpaqueToken],
    ) -> Result<Rotation, StoreError> {
        let (cluster, old_key) = (Arc::clone(&self.cluster), *old);
        let successors = successors.to_vec();
        let effect = async move {
            let done = cluster.rotate(&old_key, at, &successors).await?;
            if done == Rotation::Rotated {
                cluster.oracle.token_used(&old_key, &successors, cluster.stamp());
                cluster.changed(&token_key(&old_key));
            }
            Ok(done)
        };
        self.call("rotates token", &old.name(), effect).await
    }

    async fn extend(
        &self,
        digest: &TokenDigest,
        expires: UnixTime,
        claims: Option<&Map<String, Value>>,
    ) -> Result<bool, StoreError> {
        let (cluster, key) = (Arc::clone(&self.cluster), *digest);
        let claims = claims.cloned();
        let effect = async move {
            let is_there = cluster.store.tokens.extend(&key, expires, claims.as_ref()).await?;
            cluster.oracle.token_extended(&key, expires);
            cluster.changed(&token_key(&key));
            Ok(is_there)
        };
        self.call("extends token", &digest.name(), effect).await
    }

    async fn remove(&self, digest: &TokenDigest) -> Result<bool, StoreError> {
        let (cluster, key) = (Arc::clone(&self.cluster), *digest);
        let effect = async move {
            let was_there = cluster.store.tokens.remove(&key).await?;
            cluster.oracle.token_removed(&key, cluster.stamp());
            cluster.changed(&token_key(&key));
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

    fn invalidated_record(&self, key: &[u8]) -> Option<TokenDigest> {
        self.cluster.oracle.digest_named(std::str::from_utf8(key).ok()?.strip_prefix("token:")?)
    }
}

#[async_trait]
impl RecordStore for Link {
    async fn get(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        let (cluster, of) = (Arc::clone(&self.cluster), key.clone());
        let effect = async move { cluster.store.records.get(&of).await };
        self.call("reads lease", key.name(), effect).await
    }

    async fn compare_and_set(
        &self,
        key: &RecordKey,
        read: Option<&StoredRecord>,
        record: &NewRecord,
    ) -> Result<bool, StoreError> {
        let (cluster, of) = (Arc::clone(&self.cluster), key.clone());
        let (read, record) = (read.cloned(), record.clone());
        let effect = async move { cluster.set_lease(&of, read.as_ref(), &record).await };
        self.call("writes lease", key.name(), effect).await
    }

    async fn delete(&self, key: &RecordKey) -> Result<bool, StoreError> {
        let (cluster, of) = (Arc::clone(&self.cluster), key.clone());
        let effect = async move { cluster.store.records.delete(&of).await };
        self.call("releases lease", key.name(), effect).await
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
