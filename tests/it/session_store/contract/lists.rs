//! The cases about lists: whoever may be listed, in which order, and how many at most.

use portcullis::session::{Filter, Session};
use portcullis::store::StoreError;

use crate::session_store::{Fixture, at, names, of, session, user};

pub(super) async fn a_list_holds_what_passes_its_filter(fixture: Fixture) {
    for (name, owner, created) in
        [("a2", "alice", 20), ("a1", "alice", 10), ("a3", "alice", 30), ("b1", "bob", 15)]
    {
        fixture.put(&session(name, owner, created)).await;
    }
    fixture.put(&Session { expires: at(50), ..session("short", "alice", 5) }).await;
    assert_eq!(names(&fixture.list(&of("alice"), 10).await), ["a3", "a2", "a1", "short"]);
    assert_eq!(names(&fixture.list(&of("bob"), 10).await), ["b1"]);
    assert_eq!(fixture.list(&of("carol"), 10).await, []);
    for (now, expected) in [(49, vec!["a1", "a2", "a3", "short"]), (50, vec!["a1", "a2", "a3"])] {
        let filter = Filter { user: Some(user("alice")), live_at: Some(at(now)) };
        let found = fixture.list(&filter, 10).await;
        let mut found = names(&found);
        found.sort_unstable();
        assert_eq!(found, expected, "at {now}");
    }
    let all = fixture.list(&Filter::default(), 10).await;
    let mut all = names(&all);
    all.sort_unstable();
    assert_eq!(all, ["a1", "a2", "a3", "b1", "short"]);
    let live = Filter { user: None, live_at: Some(at(50)) };
    assert_eq!(fixture.list(&live, 10).await.len(), 4);
}

pub(super) async fn a_list_has_a_limit(fixture: Fixture) {
    for n in 0..9 {
        fixture.put(&session(&format!("s{n}"), "alice", n)).await;
    }
    fixture.put(&Session { expires: at(20), ..session("short", "alice", 10) }).await;
    let live = Filter { user: Some(user("alice")), live_at: Some(at(20)) };
    assert_eq!(names(&fixture.list(&live, 3).await), ["s8", "s7", "s6"]);
    assert_eq!(names(&fixture.list(&of("alice"), 2).await), ["short", "s8"]);
    assert_eq!(fixture.list(&Filter::default(), 4).await.len(), 4);
    assert_eq!(fixture.list(&Filter::default(), 0).await, []);
    assert_eq!(fixture.list(&of("alice"), 0).await, []);
}

pub(super) async fn many_sessions_are_listed_ended_and_purged_in_batches(fixture: Fixture) {
    for n in 0..450 {
        fixture.put(&session(&format!("a{n}"), "alice", n)).await;
        fixture.put(&session(&format!("b{n}"), "bob", n)).await;
    }
    assert_eq!(fixture.list(&of("alice"), 1_000).await.len(), 450);
    assert_eq!(fixture.list(&Filter::default(), 1_000).await.len(), 900);
    assert_eq!(fixture.list(&Filter::default(), 777).await.len(), 777);
    assert_eq!(fixture.store.revoke_user(&user("alice"), at(1_000)).await, Ok(450));
    assert_eq!(fixture.list(&Filter::default(), 1_000).await.len(), 450);
    assert_eq!(fixture.store.purge(at(100_000)).await, Ok(450));
    assert_eq!(fixture.list(&Filter::default(), 1_000).await, []);
}

pub(super) async fn it_refuses_to_list(fixture: Fixture) {
    fixture.put(&session("s1", "alice", 1)).await;
    assert!(!fixture.store.lists());
    let live = Filter { user: Some(user("alice")), live_at: Some(at(2)) };
    for filter in [Filter::default(), of("alice"), of("bob"), live] {
        for limit in [0, 1_000] {
            let listed = fixture.store.list(&filter, limit).await;
            assert_eq!(listed, Err(StoreError::CannotList), "{filter:?}: an empty list would lie");
        }
    }
}
