//! On a cluster.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::opaque::{
    OpaqueToken, OpaqueTokenStore as _, RedisTokenStore, Rotation, TokenDigest, TokenKind,
};
use portcullis::session::{Filter, InvalidatedRecord, SessionStore as _};
use portcullis::store::StoreError;
use portcullis::store::redis::Options;

use super::{at, id, options, redis, redis_with, session, store, until_it_answers, user, why_not};
use crate::support::redis::{RedisServer, Transport};
use crate::support::redis_cluster::RedisCluster;
use crate::support::topology::wait_for_replication;

fn token(name: &str) -> OpaqueToken {
    OpaqueToken {
        digest: TokenDigest::of(name),
        kind: TokenKind::Refresh,
        session: id("session"),
        user: user("alice"),
        client: None,
        claims: serde_json::Map::new(),
        issued: at(0),
        expires: at(60_000),
        used: None,
    }
}

fn key(name: &str) -> String {
    format!("portcullis:9:opaque:{{}}{}", TokenDigest::of(name).name())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_moves_with_its_session_while_that_is_used() {
    let Some(cluster) = RedisCluster::start().await else { return };
    let asked = store(&cluster.url());
    let (kept, seen) = ("portcullis:9:session:{s}", "portcullis:9:seen:{s}");
    let (from, slot) = cluster.primary_of(kept).await;
    let to = (from + 1) % 3;
    asked.put(&session("s", "alice")).await.expect("put");
    let uses = async |at_millis: u64| {
        asked.touch(&[(id("s"), at(at_millis))]).await.expect("touch");
        assert_eq!(asked.renew(&id("s"), at(60_000 + at_millis)).await, Ok(true));
        let found = asked.get(&user("alice"), &id("s")).await.expect("get").expect("session");
        assert_eq!((found.last_seen, found.expires), (at(at_millis), at(60_000 + at_millis)));
    };
    uses(1).await;
    cluster.begin_migration(slot, from, to).await;
    uses(2).await;
    cluster.migrate_key(kept, from, to).await;
    // Half of it is there, half is here.
    uses(3).await;
    cluster.migrate_key(seen, from, to).await;
    uses(4).await;
    cluster.end_migration(slot, from, to).await;
    uses(5).await;
    assert_eq!(asked.revoke(&id("s")).await, Ok(Some(user("alice"))));
    assert_eq!(asked.get(&user("alice"), &id("s")).await, Ok(None));
    let left: Vec<String> = cluster.servers[to].ask(0, &["KEYS", "portcullis:9:s*"]).await;
    assert_eq!(left, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_move_while_sessions_are_opened_and_revoked() {
    let Some(cluster) = RedisCluster::start().await else { return };
    let asked = Arc::new(store(&cluster.url()));
    let working = tokio::spawn({
        let asked = Arc::clone(&asked);
        async move {
            let mut failed = 0;
            for n in 0..600 {
                let (name, owner) = (format!("{}", n % 40), format!("u{}", n % 40));
                let worked = async {
                    asked.put(&session(&name, &owner)).await?;
                    assert!(asked.get(&user(&owner), &id(&name)).await?.is_some());
                    assert_eq!(asked.revoke(&id(&name)).await?, Some(user(&owner)));
                    assert!(asked.get(&user(&owner), &id(&name)).await?.is_none());
                    Ok::<_, StoreError>(())
                };
                if let Err(error) = worked.await {
                    eprintln!("{n}: {error}");
                    failed += 1;
                }
            }
            failed
        }
    });
    for n in 0..40 {
        let (from, slot) = cluster.primary_of(&format!("portcullis:9:session:{{{n}}}")).await;
        // Always to the same server: two that are given slots at the same time would have to agree
        // on whose claim is the later one, which takes them seconds.
        if from != 1 {
            cluster.begin_migration(slot, from, 1).await;
            cluster.end_migration(slot, from, 1).await;
        }
    }
    assert_eq!(working.await.expect("task"), 0, "a move is no failure");
    assert_eq!(asked.list(&Filter::default(), 9).await, Ok(vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_is_replaced_by_its_replica() {
    let Some(mut cluster) = RedisCluster::start_with(Transport::Tcp, 3).await else { return };
    let asked = store(&cluster.url());
    let (primary, _) = cluster.primary_of("portcullis:9:session:{s}").await;
    asked.put(&session("s", "alice")).await.expect("put");
    asked.put(&session("gone", "alice")).await.expect("put");
    assert_eq!(asked.revoke(&id("gone")).await, Ok(Some(user("alice"))));
    assert_eq!(redis(&cluster.url()).primaries().await.expect("primaries").nodes.len(), 3);
    // Who dies earlier takes it along.
    wait_for_replication(&cluster.servers[primary], &cluster.servers[3 + primary]).await;
    cluster.servers[primary].kill();
    let started = Instant::now();
    let found = loop {
        match asked.get(&user("alice"), &id("s")).await {
            Ok(found) => break found,
            Err(error) => assert!(started.elapsed() < crate::support::PATIENCE, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    eprintln!("a replica answers after {:?}", started.elapsed());
    assert_eq!(found, Some(session("s", "alice")));
    cluster.wait_until_sound().await;
    assert_eq!(asked.get(&user("alice"), &id("gone")).await, Ok(None));
    asked.touch(&[(id("s"), at(7))]).await.expect("touch");
    let primaries = redis(&cluster.url()).primaries().await.expect("primaries").nodes;
    let names: Vec<&str> = primaries.iter().map(|node| node.name().as_ref()).collect();
    let dead = format!(":{} ", cluster.servers[primary].port());
    assert!(names.len() == 3 && !names.iter().any(|name| name.contains(&dead)), "{names:?}");
    assert_eq!(asked.list(&Filter::default(), 9).await.map(|found| found.len()), Ok(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_primary_delays_its_own_keys_alone() {
    let Some(cluster) = RedisCluster::start().await else { return };
    let asked = portcullis::session::RedisStore::new(redis(&cluster.url()));
    let mut on = [const { Vec::new() }; 3];
    for n in 0..60 {
        let (name, owner) = (format!("s{n}"), format!("u{n}"));
        asked.put(&session(&name, &owner)).await.expect("put");
        let (of_session, _) = cluster.primary_of(&format!("portcullis:9:session:{{{name}}}")).await;
        let (of_user, _) =
            cluster.primary_of(&format!("portcullis:9:not-before:{{u:{owner}}}")).await;
        if of_session == of_user {
            on[of_session].push((user(&owner), id(&name)));
        }
    }
    cluster.servers[0].pause();
    // Once: after a longer time the others give it up, and close the whole cluster.
    let frozen = asked.get(&on[0][0].0, &on[0][0].1);
    let others = on[1].iter().chain(&on[2]).map(|(owner, name)| asked.get(owner, name));
    let (frozen, others) = tokio::join!(frozen, futures_util::future::join_all(others));
    assert_eq!(frozen, Err(StoreError::TimedOut));
    for found in others {
        assert!(matches!(found, Ok(Some(_))), "{found:?}");
    }
    cluster.servers[0].resume();
    cluster.wait_until_sound().await;
    until_it_answers(&asked).await;
}

#[tokio::test]
async fn a_rotation_that_was_interrupted_is_whole_or_nothing() {
    let Some(cluster) = RedisCluster::start().await else { return };
    let tokens = RedisTokenStore::new(redis(&cluster.url()));
    let write = async |token: &str, words: &[&str]| {
        let key = key(token);
        let (primary, _) = cluster.primary_of(&key).await;
        let (command, rest) = words.split_first().expect("a command");
        let words = [&[*command, key.as_str()], rest].concat();
        cluster.servers[primary].ask::<redis::Value>(0, &words).await
    };
    let (parent, successor) = (TokenDigest::of("old").name(), TokenDigest::of("new").name());
    // Before the step: the successor is written, and pending.
    tokens.put(&[token("old"), token("new")]).await.expect("put");
    write("new", &["HSET", "parent", &parent]).await;
    let new = TokenDigest::of("new");
    assert_eq!(tokens.get(&new).await, Ok(None));
    assert_eq!(tokens.extend(&new, at(70_000), None).await, Ok(false));
    assert_eq!(tokens.rotate(&new, at(1), &[token("next")]).await, Ok(Rotation::Unknown));
    assert_eq!(tokens.get(&TokenDigest::of("next")).await, Ok(None));
    let old = TokenDigest::of("old");
    assert_eq!(tokens.get(&old).await, Ok(Some(token("old"))));
    // Others are named as successors, as a caller does who won.
    write("old", &["HSET", "used", "1", "heirs", "other another"]).await;
    assert_eq!(tokens.get(&new).await, Ok(None));
    // After the step, and before the successor lost its parent.
    write("old", &["HSET", "heirs", &format!("other {successor}")]).await;
    assert_eq!(tokens.get(&new).await, Ok(Some(token("new"))));
    // It has been read, and soon needs its parent no more.
    while write("new", &["HEXISTS", "parent"]).await == redis::Value::Int(1) {}
    write("old", &["DEL"]).await;
    assert_eq!(tokens.get(&new).await, Ok(Some(token("new"))));
    assert_eq!(tokens.rotate(&new, at(1), &[token("next")]).await, Ok(Rotation::Rotated));
    assert_eq!(tokens.get(&TokenDigest::of("next")).await, Ok(Some(token("next"))));
    // One that names nonsense as its parent is damaged, and good for nothing.
    write("next", &["HSET", "parent", "nonsense"]).await;
    let damaged = tokens.get(&TokenDigest::of("next")).await;
    assert!(matches!(damaged, Err(StoreError::Corrupt { .. })), "{damaged:?}");
}

#[tokio::test]
async fn keys_that_changed_are_known_for_what_they_are_about() {
    let Some(cluster) = RedisCluster::start().await else { return };
    let Some(single) = RedisServer::start() else { return };
    for (url, prefix, [open, of_user, close], whole) in [
        (cluster.url(), "portcullis:9:", ["{", "{u:", "}"], "{}"),
        (single.url(), "portcullis:", ["", "", ""], ""),
    ] {
        let (sessions, tokens) = (store(&url), RedisTokenStore::new(redis(&url)));
        let invalidated = |key: String| sessions.invalidated_record(key.as_bytes());
        let session = Some(InvalidatedRecord::Session(id("s")));
        assert_eq!(invalidated(format!("{prefix}session:{open}s{close}")), session);
        let before = format!("{prefix}not-before:{of_user}a}}b c{close}");
        assert_eq!(invalidated(before), Some(InvalidatedRecord::User(user("a}b c"))));
        for other in ["seen:{s}", "seen:s", "user:{u:a}", "user:a", "session:", "session:{}", "x"] {
            assert_eq!(invalidated(format!("{prefix}{other}")), None, "{other}");
        }
        assert_eq!(invalidated(format!("portcullis:8:session:{open}s{close}")), None);
        let digest = TokenDigest::of("t");
        let key = format!("{prefix}opaque:{whole}{}", digest.name());
        assert_eq!(tokens.invalidated_record(key.as_bytes()), Some(digest));
        assert_eq!(tokens.invalidated_record(format!("{key}x").as_bytes()), None);
        assert_eq!(
            tokens.invalidated_record(format!("{prefix}session:{open}s{close}").as_bytes()),
            None
        );
    }
}

#[tokio::test]
async fn a_cluster_over_tls_is_trusted_by_its_ca_alone() {
    // Only the first test of the process installs it.
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Some(cluster) = RedisCluster::start_with(Transport::Tls, 0).await else { return };
    let with = |ca_pem: Option<Vec<u8>>| {
        let options = Options { ca_pem, ..options() };
        portcullis::session::RedisStore::new(redis_with(&cluster.url(), &options))
    };
    let trusted = with(Some(std::fs::read(cluster.servers[0].ca_file()).expect("CA")));
    for n in 0..9 {
        trusted.put(&session(&format!("s{n}"), "alice")).await.expect("put");
    }
    assert_eq!(trusted.list(&Filter::default(), 99).await.map(|found| found.len()), Ok(9));
    let refused = with(None).ping().await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn what_is_wrong_with_a_cluster_is_said_and_no_password_shown() {
    let Some(cluster) = RedisCluster::start().await else { return };
    let Some(single) = RedisServer::start_with(Transport::Tcp, &[]) else { return };
    for (url, expected) in [
        (cluster.url_with("joe:hunter2@"), "the user or the password"),
        (single.url().replace("redis://", "redis+cluster://"), "not one of a cluster"),
        ("redis+cluster://127.0.0.1:1".to_owned(), "refused"),
    ] {
        let why = why_not(&url).await;
        assert!(why.contains(expected), "{expected}: {why}");
        assert!(!why.contains("hunter2") && !why.contains("joe"), "{why}");
    }
    // One seed that answers is enough.
    let one = format!("redis+cluster://127.0.0.1:1,127.0.0.1:{}", cluster.servers[2].port());
    assert_eq!(store(&one).ping().await, Ok(()));
    // Nobody keeps a third of the keys.
    let slots = (0..200).map(|slot| slot.to_string()).collect::<Vec<_>>();
    let words: Vec<&str> =
        ["CLUSTER", "DELSLOTS"].into_iter().chain(slots.iter().map(String::as_str)).collect();
    let _: String = cluster.servers[0].ask(0, &words).await;
    let put = store(&cluster.url()).put(&session("s", "alice")).await;
    assert!(put.is_ok() || matches!(put, Err(StoreError::Unavailable(_))), "{put:?}");
}
