//! Each verb of the stores that changes what others may remember, heard by another process.

use portcullis::clock::UnixTime;
use portcullis::opaque::{OpaqueStore as _, RedisOpaque, TokenDigest};
use portcullis::session::{Concern, RedisStore, SessionId, SessionStore as _, UserId};
use portcullis::storage::news::Means;

use super::{Listening, follow, redis_at, session, token};
use crate::support::redis::{Reach, RedisServer};
use crate::support::redis_cluster::RedisCluster;
use crate::support::{PATIENCE, poll};

fn later() -> UnixTime {
    UnixTime::from_secs(1_800_100_000)
}

/// One process changes, another one hears.
struct Both {
    sessions: RedisStore,
    tokens: RedisOpaque,
    listening: Listening,
}

impl Both {
    /// With records in place that were put before anybody listened.
    async fn over(changes: &str, hears: &str, means: Means) -> Self {
        let redis = redis_at(changes);
        let (sessions, tokens) = (RedisStore::new(redis.clone()), RedisOpaque::new(redis));
        for name in ["touched", "renewed", "revoked"] {
            sessions.put(&session(name, "alice")).await.expect("put");
        }
        for name in ["exchanged", "extended", "removed"] {
            tokens.put(&[token(name)]).await.expect("put");
        }
        Self { sessions, tokens, listening: follow(hears).by(means) }
    }

    async fn hears_of_session(&self, concern: Concern) {
        let is_heard =
            |key: &String| self.sessions.concern(key.as_bytes()) == Some(concern.clone());
        poll(&format!("{concern:?}"), PATIENCE, || {
            self.listening.keys().iter().any(is_heard).then_some(())
        });
    }

    async fn hears_of_token(&self, name: &str) {
        let digest = TokenDigest::of(name);
        let is_heard = |key: &String| self.tokens.concern(key.as_bytes()) == Some(digest);
        poll(name, PATIENCE, || self.listening.keys().iter().any(is_heard).then_some(()));
    }

    async fn every_verb_is_heard(&self) {
        let id = |name: &str| SessionId::parse(name).expect(name);
        let touched = id("touched");
        self.sessions.touch(&[(touched.clone(), later())]).await.expect("touch");
        assert_eq!(self.sessions.renew(&id("renewed"), later()).await, Ok(true));
        self.hears_of_session(Concern::Session(id("renewed"))).await;
        let alice = UserId::parse("alice").expect("user");
        assert_eq!(self.sessions.revoke(&id("revoked")).await, Ok(Some(alice)));
        self.hears_of_session(Concern::Session(id("revoked"))).await;
        let bob = UserId::parse("bob").expect("user");
        self.sessions.revoke_user(&bob, later()).await.expect("revoke");
        self.hears_of_session(Concern::User(bob)).await;
        let exchanged = TokenDigest::of("exchanged");
        self.tokens.exchange(&exchanged, later(), &[token("next")]).await.expect("exchange");
        self.hears_of_token("exchanged").await;
        assert_eq!(self.tokens.extend(&TokenDigest::of("extended"), later(), None).await, Ok(true));
        self.hears_of_token("extended").await;
        assert_eq!(self.tokens.remove(&TokenDigest::of("removed")).await, Ok(true));
        self.hears_of_token("removed").await;
        let of_touched = |key: &String| {
            self.sessions.concern(key.as_bytes()) == Some(Concern::Session(touched.clone()))
        };
        assert!(!self.listening.keys().iter().any(of_touched), "a use was heard");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_heard_where_the_server_tracks_and_where_it_does_not() {
    let Some(server) = RedisServer::start_with(Reach::Tcp, &[]) else { return };
    let plain = format!("{}?protocol=resp2", server.url());
    Both::over(&server.url(), &server.url(), Means::Tracking).await.every_verb_is_heard().await;
    let _: () = server.ask(0, &["FLUSHALL"]).await;
    Both::over(&server.url(), &plain, Means::PubSub).await.every_verb_is_heard().await;
    let _: () = server.ask(0, &["FLUSHALL"]).await;
    Both::over(&plain, &plain, Means::PubSub).await.every_verb_is_heard().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_script_has_to_be_sent_first_it_is_told_of_after_the_change() {
    let Some(server) = RedisServer::start_with(Reach::Tcp, &[]) else { return };
    let plain = format!("{}?protocol=resp2", server.url());
    let both = Both::over(&server.url(), &plain, Means::PubSub).await;
    let _: () = server.ask(0, &["SCRIPT", "FLUSH"]).await;
    both.sessions.revoke(&SessionId::parse("revoked").expect("id")).await.expect("revoke");
    // Once for the attempt that found no script, which says nothing, and once for the change.
    poll("both", PATIENCE, || (both.listening.keys().len() == 2).then_some(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_heard_on_a_cluster() {
    let Some(cluster) = RedisCluster::start().await else { return };
    let plain = format!("{}?protocol=resp2", cluster.url());
    Both::over(&cluster.url(), &cluster.url(), Means::Tracking).await.every_verb_is_heard().await;
    for server in &cluster.servers {
        let _: () = server.ask(0, &["FLUSHALL"]).await;
    }
    Both::over(&plain, &plain, Means::PubSub).await.every_verb_is_heard().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_tell_may_change_all_the_same() {
    let Some(server) = RedisServer::start_with(Reach::Tcp, &[]) else { return };
    let rules = ["ACL", "SETUSER", "gate", "on", ">secret", "~*", "resetchannels", "+@all"];
    let _: () = server.ask(0, &[rules.as_slice(), &["-client|tracking"]].concat()).await;
    let url = server.url().replace("redis://", "redis://gate:secret@");
    let redis = redis_at(&url);
    let (sessions, tokens) = (RedisStore::new(redis.clone()), RedisOpaque::new(redis));
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
