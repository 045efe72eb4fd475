//! A user who may do what is needed and nothing more.

use std::time::Duration;

use portcullis::opaque::{
    OpaqueToken, OpaqueTokenStore as _, RedisTokenStore, Rotation, TokenDigest, TokenKind,
};
use portcullis::session::{Filter, SessionStore as _};
use portcullis::store::StoreError;
use portcullis::store::records::{NewRecord, RecordKey, RecordStore as _, RedisRecordStore};
use portcullis::store::redis::Options;

use super::{at, id, options, redis, redis_with, session, store, user, why_not};
use crate::support::in_repository;
use crate::support::redis::{RedisServer, Transport};
use crate::support::redis_cluster::RedisCluster;
use crate::support::redis_sentinel::RedisSentinel;

/// The rights that docs/reference/stores.md names.
const RIGHTS: [&str; 30] = [
    "ACL",
    "SETUSER",
    "gate",
    "reset",
    "on",
    ">secret",
    "~portcullis:*",
    "+hello",
    "+select",
    "+eval",
    "+evalsha",
    "+scan",
    "+get",
    "+set",
    "+del",
    "+exists",
    "+type",
    "+hget",
    "+hgetall",
    "+hmget",
    "+hset",
    "+hdel",
    "+hexists",
    "+zadd",
    "+zrem",
    "+zrange",
    "+zrevrange",
    "+zrangebyscore",
    "+pttl",
    "+pexpire",
];

/// All that the stores do.
async fn everything_works(url: &str) {
    let sessions = store(url);
    let tokens = RedisTokenStore::new(redis(url));
    let records = RedisRecordStore::new(redis_with(url, &Options { database: 8, ..options() }));
    sessions.put(&session("s", "alice")).await.expect("put");
    sessions.put(&session("other", "alice")).await.expect("put");
    sessions.touch(&[(id("s"), at(1))]).await.expect("touch");
    assert_eq!(sessions.renew(&id("s"), at(99_000)).await, Ok(true));
    assert!(sessions.get(&user("alice"), &id("s")).await.expect("get").is_some());
    let of_alice = Filter { user: Some(user("alice")), live_at: None };
    for filter in [Filter::default(), of_alice] {
        assert_eq!(sessions.list(&filter, 9).await.map(|found| found.len()), Ok(2));
    }
    assert_eq!(sessions.revoke(&id("s")).await, Ok(Some(user("alice"))));
    assert_eq!(sessions.revoke_user(&user("alice"), at(5)).await, Ok(1));
    sessions.put(&session("over", "bob")).await.expect("put");
    assert_eq!(sessions.purge(at(99_999)).await, Ok(1));
    let token = |name: &str| OpaqueToken {
        digest: TokenDigest::of(name),
        kind: TokenKind::Refresh,
        session: id("s"),
        user: user("alice"),
        client: None,
        claims: serde_json::Map::new(),
        issued: at(0),
        expires: at(60_000),
        used: None,
    };
    tokens.put(&[token("old")]).await.expect("put");
    let outcome = tokens.rotate(&TokenDigest::of("old"), at(1), &[token("new")]).await;
    assert_eq!(outcome, Ok(Rotation::Rotated));
    assert!(tokens.get(&TokenDigest::of("new")).await.expect("get").is_some());
    assert_eq!(tokens.extend(&TokenDigest::of("new"), at(70_000), None).await, Ok(true));
    assert_eq!(tokens.remove(&TokenDigest::of("new")).await, Ok(true));
    assert_eq!(tokens.purge(at(99_999)).await, Ok(1));
    let (key, next) = (RecordKey::new("lease", "n"), |value: &str| NewRecord {
        value: value.to_owned(),
        end: at(9),
        keep: Duration::from_secs(9),
    });
    assert_eq!(records.compare_and_set(&key, None, &next("v")).await, Ok(true));
    let read = records.get(&key).await.expect("get");
    assert_eq!(records.compare_and_set(&key, read.as_ref(), &next("w")).await, Ok(true));
    assert_eq!(records.delete(&key).await, Ok(true));
    for pinged in [sessions.ping().await, tokens.ping().await, records.ping().await] {
        assert_eq!(pinged, Ok(()));
    }
}

#[tokio::test]
async fn a_user_with_few_rights_is_enough_on_one_server() {
    let Some(server) = RedisServer::start_with(Transport::Tcp, &[]) else { return };
    let _: String = server.ask(0, &RIGHTS).await;
    let url = server.url().replace("redis://", "redis://gate:secret@");
    everything_works(&url).await;
    // What is refused in part is done in part, and not acknowledged.
    let sessions = store(&url);
    sessions.put(&session("s", "carol")).await.expect("put");
    let _: String = server.ask(0, &["ACL", "SETUSER", "gate", "-set"]).await;
    let refused = sessions.revoke_user(&user("carol"), at(5)).await;
    let Err(StoreError::Unavailable(why)) = &refused else { panic!("{refused:?}") };
    assert!(why.starts_with("1 sessions are over"), "{why}");
    assert_eq!(sessions.get(&user("carol"), &id("s")).await, Ok(None));
    let _: String = server.ask(0, &["ACL", "SETUSER", "gate", "+set", "-hgetall"]).await;
    let why = why_not(&url).await;
    assert!(why.contains("lacks a permission"), "{why}");
}

#[tokio::test]
async fn a_user_with_few_rights_is_enough_behind_sentinels() {
    let rights = [RIGHTS.as_slice(), &["+role", "+wait"]].concat();
    let Some(sentinel) = RedisSentinel::start_with(&[], &[&rights], "").await else { return };
    everything_works(&sentinel.url_with("gate:secret@", "")).await;
}

#[tokio::test]
async fn a_user_with_few_rights_is_enough_on_a_cluster() {
    let Some(cluster) = RedisCluster::start().await else { return };
    let rights =
        [RIGHTS.as_slice(), &["+cluster|info", "+cluster|slots", "+asking", "+wait"]].concat();
    for server in &cluster.servers {
        let _: String = server.ask(0, &rights).await;
    }
    everything_works(&cluster.url_with("gate:secret@")).await;
}

#[test]
fn the_rights_are_those_that_the_page_names() {
    let page = std::fs::read_to_string(in_repository("docs/reference/stores.md"));
    let page = page.expect("the page about stores");
    let named: Vec<&str> = page.split([' ', '\n', '`']).collect();
    for right in RIGHTS.into_iter().filter(|right| right.starts_with(['+', '~'])) {
        assert!(named.contains(&right), "{right}");
    }
}
