//! Each operation of the stores that changes what others may have cached, and the invalidation that another process gets.

use portcullis::clock::UnixTime;
use portcullis::opaque::{OpaqueTokenStore as _, RedisTokenStore, TokenDigest};
use portcullis::session::{InvalidatedRecord, RedisStore, SessionId, SessionStore as _, UserId};
use portcullis::store::invalidation::DeliveryMode;

use super::{Subscription, follow, redis_at, session, token};
use crate::support::redis::{RedisServer, Transport};
use crate::support::redis_cluster::RedisCluster;
use crate::support::{PATIENCE, poll};

fn later() -> UnixTime {
    UnixTime::from_secs(1_800_100_000)
}

/// A process that changes records, and one that listens.
struct TwoProcesses {
    sessions: RedisStore,
    tokens: RedisTokenStore,
    subscription: Subscription,
}

impl TwoProcesses {
    /// With records in place that were put before anybody listened.
    async fn over(changes: &str, listens: &str, mode: DeliveryMode) -> Self {
        let redis = redis_at(changes);
        let (sessions, tokens) = (RedisStore::new(redis.clone()), RedisTokenStore::new(redis));
        for name in ["touched", "renewed", "revoked"] {
            sessions.put(&session(name, "alice")).await.expect("put");
        }
        for name in ["rotated", "extended", "removed"] {
            tokens.put(&[token(name)]).await.expect("put");
        }
        Self { sessions, tokens, subscription: follow(listens).after(mode) }
    }

    async fn wait_for_session(&self, record: InvalidatedRecord) {
        let is_reported =
            |key: &String| self.sessions.invalidated_record(key.as_bytes()) == Some(record.clone());
        poll(&format!("{record:?}"), PATIENCE, || {
            self.subscription.keys().iter().any(is_reported).then_some(())
        });
    }

    async fn wait_for_token(&self, name: &str) {
        let digest = TokenDigest::of(name);
        let is_reported =
            |key: &String| self.tokens.invalidated_record(key.as_bytes()) == Some(digest);
        poll(name, PATIENCE, || self.subscription.keys().iter().any(is_reported).then_some(()));
    }

    async fn every_verb_is_reported(&self) {
        let id = |name: &str| SessionId::parse(name).expect(name);
        let touched = id("touched");
        self.sessions.touch(&[(touched.clone(), later())]).await.expect("touch");
        assert_eq!(self.sessions.renew(&id("renewed"), later()).await, Ok(true));
        self.wait_for_session(InvalidatedRecord::Session(id("renewed"))).await;
        let alice = UserId::parse("alice").expect("user");
        assert_eq!(self.sessions.revoke(&id("revoked")).await, Ok(Some(alice)));
        self.wait_for_session(InvalidatedRecord::Session(id("revoked"))).await;
        let bob = UserId::parse("bob").expect("user");
        self.sessions.revoke_user(&bob, later()).await.expect("revoke");
        self.wait_for_session(InvalidatedRecord::User(bob)).await;
        let rotated = TokenDigest::of("rotated");
        self.tokens.rotate(&rotated, later(), &[token("next")]).await.expect("rotate");
        self.wait_for_token("rotated").await;
        assert_eq!(self.tokens.extend(&TokenDigest::of("extended"), later(), None).await, Ok(true));
        self.wait_for_token("extended").await;
        assert_eq!(self.tokens.remove(&TokenDigest::of("removed")).await, Ok(true));
        self.wait_for_token("removed").await;
        let of_touched = |key: &String| {
            self.sessions.invalidated_record(key.as_bytes())
                == Some(InvalidatedRecord::Session(touched.clone()))
        };
        assert!(!self.subscription.keys().iter().any(of_touched), "a use was reported");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_reported_where_the_server_tracks_and_where_it_does_not() {
    let Some(server) = RedisServer::start_with(Transport::Tcp, &[]) else { return };
    let plain = format!("{}?protocol=resp2", server.url());
    TwoProcesses::over(&server.url(), &server.url(), DeliveryMode::Tracking)
        .await
        .every_verb_is_reported()
        .await;
    let _: () = server.ask(0, &["FLUSHALL"]).await;
    TwoProcesses::over(&server.url(), &plain, DeliveryMode::PubSub)
        .await
        .every_verb_is_reported()
        .await;
    let _: () = server.ask(0, &["FLUSHALL"]).await;
    TwoProcesses::over(&plain, &plain, DeliveryMode::PubSub).await.every_verb_is_reported().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_script_has_to_be_sent_first_it_is_told_of_after_the_change() {
    let Some(server) = RedisServer::start_with(Transport::Tcp, &[]) else { return };
    let plain = format!("{}?protocol=resp2", server.url());
    let processes = TwoProcesses::over(&server.url(), &plain, DeliveryMode::PubSub).await;
    let _: () = server.ask(0, &["SCRIPT", "FLUSH"]).await;
    processes.sessions.revoke(&SessionId::parse("revoked").expect("id")).await.expect("revoke");
    // Once for the attempt that found no script, which says nothing, and once for the change.
    poll("both", PATIENCE, || (processes.subscription.keys().len() == 2).then_some(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_reported_on_a_cluster() {
    let Some(cluster) = RedisCluster::start().await else { return };
    let plain = format!("{}?protocol=resp2", cluster.url());
    TwoProcesses::over(&cluster.url(), &cluster.url(), DeliveryMode::Tracking)
        .await
        .every_verb_is_reported()
        .await;
    for server in &cluster.servers {
        let _: () = server.ask(0, &["FLUSHALL"]).await;
    }
    TwoProcesses::over(&plain, &plain, DeliveryMode::PubSub).await.every_verb_is_reported().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_tell_may_change_all_the_same() {
    let Some(server) = RedisServer::start_with(Transport::Tcp, &[]) else { return };
    let rules = ["ACL", "SETUSER", "gate", "on", ">secret", "~*", "resetchannels", "+@all"];
    let _: () = server.ask(0, &[rules.as_slice(), &["-client|tracking"]].concat()).await;
    let url = server.url().replace("redis://", "redis://gate:secret@");
    let redis = redis_at(&url);
    let (sessions, tokens) = (RedisStore::new(redis.clone()), RedisTokenStore::new(redis));
    let kept = session("a", "alice");
    sessions.put(&kept).await.expect("put");
    tokens.put(&[token("t")]).await.expect("put");
    assert_eq!(sessions.renew(&kept.id, later()).await, Ok(true));
    assert_eq!(sessions.revoke(&kept.id).await, Ok(Some(kept.user.clone())));
    assert_eq!(sessions.get(&kept.user, &kept.id).await, Ok(None));
    assert_eq!(sessions.revoke_user(&kept.user, later()).await, Ok(0));
    assert_eq!(tokens.extend(&TokenDigest::of("t"), later(), None).await, Ok(true));
    assert_eq!(tokens.remove(&TokenDigest::of("t")).await, Ok(true));
}
