//! Revocations and questions that fail: nobody is told what is not known.

use std::collections::BTreeSet;

use axum::response::IntoResponse as _;
use http::{StatusCode, header::RETRY_AFTER};
use portcullis::issuer::error::IssueError;
use portcullis::issuer::issued::Issued;
use portcullis::issuer::revocation::Bearer;
use portcullis::secret::Secret;
use portcullis::session::{Device, SessionId};
use portcullis::store::StoreError;
use portcullis::token::ScopeSet;
use serde_json::Map;

use super::{
    FAILURES, InjectedFault, MakeSetup, StoredState, ids, opaque, refresh_of, stored_state,
    with_each_fault,
};
use crate::support::issuance::{ALICE_ID, API_KEY, Fixture, START, Setup, id, shown};

/// Alice's sessions, the one in the middle first, and a session of somebody else.
async fn several(fixture: &Fixture) -> (Vec<Issued>, SessionId) {
    let mut logins = Vec::new();
    for _ in 0..3 {
        logins.push(fixture.login().await);
        fixture.wait(10);
    }
    logins.swap(0, 1);
    let robot = fixture.log_in_by_key(API_KEY).await.expect("the robot logs in");
    (logins, robot.session)
}

type Logins = (Vec<Issued>, SessionId);

/// A revocation that failed is asked for again, and then only these of alice's sessions live, and the other's.
async fn check_revocation(
    name: &str,
    setup: impl Fn() -> Setup,
    survivors: &[usize],
    act: impl AsyncFn(&Fixture, &Logins) -> Result<(), IssueError>,
) {
    let check = async |fixture: Fixture, prepared: Logins, injected: InjectedFault| {
        let (logins, other) = &prepared;
        let survivors = survivors.iter().map(|index| logins[*index].session.as_str());
        let expected: BTreeSet<String> =
            survivors.chain([other.as_str()]).map(str::to_owned).collect();
        let is = ids(&fixture.live().await);
        assert!(is.is_superset(&expected), "{injected:?}: more has ended than was asked for");
        // What was ended already is as good as ended.
        let again = act(&fixture, &prepared).await;
        let ended = ids(&fixture.live().await);
        assert_eq!(ended, expected, "{injected:?}: {again:?}");
        let is_gone = matches!(again, Err(IssueError::NotFound)) && is == expected;
        assert!(again.is_ok() || is_gone, "{injected:?}: {again:?}");
    };
    with_each_fault(name, &FAILURES, setup, several, &act, check).await;
}

#[tokio::test]
async fn a_session_whose_end_failed_is_never_told_to_have_ended() {
    for (name, setup) in [("jwt", Setup::default as MakeSetup), ("opaque", opaque)] {
        check_revocation(&format!("revoke, {name}"), setup, &[1, 2], async |on, (logins, _)| {
            let token = shown(&logins[0].access_token);
            on.issuance.revocation.revoke(token, None, &on.caller).await
        })
        .await;
        check_revocation(&format!("refresh, {name}"), setup, &[1, 2], async |on, (logins, _)| {
            let token = shown(refresh_of(&logins[0]));
            on.issuance.revocation.revoke(token, None, &on.caller).await
        })
        .await;
    }
    check_revocation("end", Setup::default, &[1, 2], async |on, (logins, _)| {
        on.issuance.revocation.end(&logins[0].session, "logout", &on.caller).await.map(drop)
    })
    .await;
    check_revocation("end own", Setup::default, &[1, 2], async |on, (logins, _)| {
        let alice = bearer(&logins[1].session);
        on.issuance.revocation.end_own(&alice, &logins[0].session, &on.caller).await
    })
    .await;
    check_revocation("end others", Setup::default, &[0], async |on, (logins, _)| {
        let alice = bearer(&logins[0].session);
        on.issuance.revocation.end_others(&alice, &on.caller).await.map(drop)
    })
    .await;
    check_revocation("end all", Setup::default, &[], async |on, (logins, _)| {
        let alice = bearer(&logins[0].session);
        on.issuance.revocation.end_all_own(&alice, &on.caller).await.map(drop)
    })
    .await;
}

/// Alice, who showed her password in this session.
fn bearer(session: &SessionId) -> Bearer {
    let scopes = ScopeSet::new(Vec::new());
    Bearer {
        user: id(ALICE_ID),
        session: session.clone(),
        scopes,
        by_password: true,
        device: Device::default(),
        claims: Map::new(),
        expires: START,
        by_key: false,
    }
}

/// A question: where it fails there is no answer, and nothing has changed.
async fn question(
    name: &str,
    setup: impl Fn() -> Setup,
    ask: impl AsyncFn(&Fixture, &Logins) -> Result<(), IssueError>,
) {
    let prepare = async |fixture: &Fixture| {
        let several = several(fixture).await;
        (stored_state(fixture).await, several)
    };
    let act =
        async |fixture: &Fixture, (_, several): &(StoredState, Logins)| ask(fixture, several).await;
    let check =
        async |fixture: Fixture, (was, several): (StoredState, Logins), injected: InjectedFault| {
            assert_eq!(stored_state(&fixture).await, was, "{injected:?}");
            assert_eq!(ask(&fixture, &several).await, Ok(()), "{injected:?}");
        };
    with_each_fault(name, &FAILURES, setup, prepare, act, check).await;
}

#[tokio::test]
async fn what_cannot_be_known_is_not_answered() {
    for (name, setup) in [("jwt", Setup::default as MakeSetup), ("opaque", opaque)] {
        for kind in ["access", "refresh"] {
            question(&format!("introspect {kind}, {name}"), setup, async |on, (logins, _)| {
                let login = &logins[0];
                let token = if kind == "access" { &login.access_token } else { refresh_of(login) };
                let found = on.issuance.introspection.introspect(shown(token)).await?;
                assert!(found.is_some(), "a good token is never said to be none");
                Ok(())
            })
            .await;
        }
        question(&format!("bearer, {name}"), setup, async |on, (logins, _)| {
            on.issuance.revocation.bearer(shown(&logins[0].access_token)).await.map(drop)
        })
        .await;
    }
    question("list", Setup::default, async |fixture, _| {
        let listed = fixture.issuance.revocation.list(Some(&id(ALICE_ID)), 10).await?;
        assert_eq!(listed.len(), 3);
        Ok(())
    })
    .await;
    question("is_key_registered", Setup::default, async |fixture, _| {
        let key = Secret::new(API_KEY);
        assert!(fixture.issuance.keys.is_key_registered(&key, &fixture.caller).await?, "it is");
        Ok(())
    })
    .await;
}

#[test]
fn what_does_not_answer_is_a_503_that_says_when_to_come_again() {
    let answer = IssueError::from(StoreError::TimedOut).into_response();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers().get(RETRY_AFTER).map(|value| value.as_bytes()), Some(&b"1"[..]));
}
