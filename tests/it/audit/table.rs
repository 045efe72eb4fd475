//! The contract of the table: each case runs on SQLite and on a real PostgreSQL, straight and by way of pgbouncer.

use portcullis::account::{AuditEvent, AuditStore, EventCursor, EventFilter};
use serde_json::json;

use super::{all, at, event, ids};
use crate::contract::contract;
use crate::support::stores;

type Fixture = stores::Fixture<dyn AuditStore>;

contract! {
    on_databases:
    an_event_is_got_back_whole
    events_are_found_by_each_of_their_fields_newest_first
    an_event_that_is_written_twice_is_there_once
    pages_neither_repeat_nor_hide_an_event_while_others_come_in
    a_period_is_counted_by_kind_and_by_who_was_refused
    events_are_deleted_oldest_first_and_so_many_at_once
    a_user_among_many_is_read_page_by_page
}

async fn add(fixture: &Fixture, events: &[AuditEvent]) {
    fixture.store.add_events(events).await.expect("added");
}

async fn found(fixture: &Fixture, filter: EventFilter) -> Vec<String> {
    let events = fixture.other.events(&filter, None, 100).await.expect("events");
    ids(&events).into_iter().map(str::to_owned).collect()
}

async fn an_event_is_got_back_whole(fixture: Fixture) {
    let text = |text: &str| Some(format!("{text} 名 '; DROP TABLE audit_events; -- $1 ?1"));
    let rest = json!({"count": 7, "nested": {"list": [null, 0.5]}, "nul": "\u{0}"});
    let whole = AuditEvent {
        kind: "login_refused".to_owned(),
        user: text("user"),
        login: text("login"),
        address: Some("2001:db8::1".to_owned()),
        session: text("session"),
        client: text("client"),
        reason: text("reason"),
        error: text("error"),
        left_out: 4_500,
        rest: rest.as_object().expect("an object").clone(),
        ..event("b", 1)
    };
    add(&fixture, &[whole.clone(), event("a", 1)]).await;
    let events = fixture.other.events(&all(), None, 10).await.expect("events");
    assert_eq!(events, [whole, event("a", 1)]);
    assert_eq!(fixture.store.add_events(&[]).await, Ok(()), "nothing is no error");
}

async fn events_are_found_by_each_of_their_fields_newest_first(fixture: Fixture) {
    let with = |id: &str, offset, field: fn(&mut AuditEvent, String), value: &str| {
        let mut event = event(id, offset);
        field(&mut event, value.to_owned());
        event
    };
    let user = |event: &mut AuditEvent, user| event.user = Some(user);
    let login = |event: &mut AuditEvent, login| event.login = Some(login);
    let address = |event: &mut AuditEvent, address| event.address = Some(address);
    let both = AuditEvent { address: Some("a1".to_owned()), ..with("8", 80, user, "u1") };
    add(
        &fixture,
        &[
            with("1", 10, user, "u1"),
            with("2", 20, user, "u2"),
            with("3", 30, login, "l1"),
            with("4", 40, address, "a1"),
            AuditEvent { kind: "revoke".to_owned(), ..with("5", 50, user, "u1") },
            with("6", 50, user, "u1"),
            both,
        ],
    )
    .await;
    let named = |text: &str| Some(text.to_owned());
    for (filter, expected) in [
        (all(), &["8", "6", "5", "4", "3", "2", "1"][..]),
        (EventFilter { user: named("u1"), ..all() }, &["8", "6", "5", "1"]),
        (EventFilter { login: named("l1"), ..all() }, &["3"]),
        (EventFilter { address: named("a1"), ..all() }, &["8", "4"]),
        (EventFilter { kind: named("revoke"), ..all() }, &["5"]),
        (EventFilter { user: named("u1"), address: named("a1"), ..all() }, &["8"]),
        (EventFilter { user: named("u1"), kind: named("revoke"), ..all() }, &["5"]),
        (EventFilter { user: named("u1"), login: named("l1"), ..all() }, &[]),
        (EventFilter { user: named("U1"), ..all() }, &[]),
        (EventFilter { from: Some(at(40)), to: Some(at(80)), ..all() }, &["6", "5", "4"]),
        (EventFilter { user: named("u1"), from: Some(at(50)), ..all() }, &["8", "6", "5"]),
        (EventFilter { kind: named("login"), to: Some(at(20)), ..all() }, &["1"]),
    ] {
        assert_eq!(found(&fixture, filter.clone()).await, expected, "{filter:?}");
    }
}

async fn an_event_that_is_written_twice_is_there_once(fixture: Fixture) {
    add(&fixture, &[event("a", 1), event("b", 2)]).await;
    add(&fixture, &[event("b", 2), event("c", 3), event("c", 3)]).await;
    assert_eq!(found(&fixture, all()).await, ["c", "b", "a"]);
}

async fn pages_neither_repeat_nor_hide_an_event_while_others_come_in(fixture: Fixture) {
    // Several of one moment: the time alone is no place between two events.
    let before: Vec<_> = (0..60).map(|n| event(&format!("a{n:03}"), n / 5)).collect();
    add(&fixture, &before).await;
    let store = fixture.store.clone();
    let adding = tokio::spawn(async move {
        for n in 0..60 {
            // Newer ones, and late ones of other processes, whose clocks are behind.
            let more = [event(&format!("b{n:03}"), 100 + n), event(&format!("c{n:03}"), n / 5)];
            store.add_events(&more).await.expect("added");
        }
    });
    let (mut seen, mut behind) = (Vec::new(), None);
    loop {
        let page = fixture.other.events(&all(), behind.as_ref(), 7).await.expect("a page");
        let Some(last) = page.last() else { break };
        behind = Some(EventCursor::behind(last));
        seen.extend(page);
    }
    adding.await.expect("added");
    let places: Vec<_> = seen.iter().map(|event| (event.time, event.id.clone())).collect();
    assert!(
        places.is_sorted_by(|one, next| one > next),
        "newest first, and none twice: {places:?}"
    );
    let old: Vec<_> = seen.into_iter().filter(|event| event.id.starts_with('a')).collect();
    assert_eq!(old.len(), 60, "all that were there at the beginning");
}

async fn a_period_is_counted_by_kind_and_by_who_was_refused(fixture: Fixture) {
    let refused = |id: &str, offset, login: &str, address: &str| AuditEvent {
        kind: "login_refused".to_owned(),
        login: Some(login.to_owned()),
        address: Some(address.to_owned()),
        left_out: 3,
        ..event(id, offset)
    };
    add(
        &fixture,
        &[
            event("1", 10),
            refused("2", 10, "alice", "192.0.2.1"),
            refused("3", 11, "alice", "192.0.2.2"),
            refused("4", 12, "bob", "192.0.2.2"),
            refused("5", 99, "eve", "192.0.2.9"),
            AuditEvent { login: Some("carol".to_owned()), ..event("6", 13) },
        ],
    )
    .await;
    let summary = fixture.other.summary(Some(at(10)), Some(at(99)), 10).await.expect("counts");
    let counts = |counts: &[(&str, u64)]| -> Vec<(String, u64)> {
        counts.iter().map(|(of, count)| ((*of).to_owned(), *count)).collect()
    };
    let kinds = [("login_refused".to_owned(), 3, 9), ("login".to_owned(), 2, 0)];
    assert_eq!(summary.kinds, kinds);
    assert_eq!(summary.refused_logins, counts(&[("alice", 2), ("bob", 1)]));
    assert_eq!(summary.refused_addresses, counts(&[("192.0.2.2", 2), ("192.0.2.1", 1)]));
    let most = fixture.other.summary(None, None, 1).await.expect("counts");
    assert_eq!(most.refused_logins, counts(&[("alice", 2)]));
    let none = fixture.other.summary(Some(at(1_000)), None, 10).await.expect("counts");
    assert_eq!((none.kinds.len(), none.refused_logins.len()), (0, 0));
}

async fn events_are_deleted_oldest_first_and_so_many_at_once(fixture: Fixture) {
    let events: Vec<_> = (0..10).map(|n| event(&n.to_string(), n)).collect();
    add(&fixture, &events).await;
    let purge = async |before, limit| fixture.other.purge_events(at(before), limit).await;
    assert_eq!(purge(8, 3).await, Ok(3));
    assert_eq!(found(&fixture, all()).await, ["9", "8", "7", "6", "5", "4", "3"]);
    assert_eq!(purge(8, 100).await, Ok(5));
    assert_eq!(purge(8, 100).await, Ok(0));
    assert_eq!(found(&fixture, all()).await, ["9", "8"], "what happened at that time stays");
}

async fn a_user_among_many_is_read_page_by_page(fixture: Fixture) {
    // Hundreds of users with as many events: what one of them did is a page, whatever the others did.
    let events: Vec<_> = (0..2_000)
        .map(|n| AuditEvent { user: Some(format!("u{}", n % 400)), ..event(&format!("{n:05}"), n) })
        .collect();
    for part in events.chunks(500) {
        add(&fixture, part).await;
    }
    let user = EventFilter { user: Some("u7".to_owned()), ..all() };
    let first = fixture.other.events(&user, None, 3).await.expect("a page");
    assert_eq!(ids(&first), ["01607", "01207", "00807"]);
    let behind = first.last().map(EventCursor::behind);
    let second = fixture.other.events(&user, behind.as_ref(), 3).await.expect("a page");
    assert_eq!(ids(&second), ["00407", "00007"]);
}
