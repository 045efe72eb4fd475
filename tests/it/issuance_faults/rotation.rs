//! Rotations that fail, are killed or taken over, and callers that go away midway.

use std::sync::Arc;
use std::time::Duration;

use portcullis::issuer::error::IssueError;
use portcullis::issuer::issued::Issued;
use portcullis::opaque::TokenDigest;
use portcullis::store::StoreError;

use super::{
    ALL, InjectedFault, LEASE_OVER, MakeSetup, count, is_active, kept, opaque, opaque_with_grace,
    refresh, refresh_of, refreshed, sliding_handles, try_refresh, with_each_fault, with_grace,
};
use crate::support::faulty_store::injector::Fault;
use crate::support::issuance::{Fixture, Setup, shown};

/// Under rotation, whatever failed: the old token works, or it was rotated.
async fn rotated(fixture: Fixture, login: Issued, injected: InjectedFault) {
    let old = refresh_of(&login);
    assert_eq!(fixture.live().await.len(), 1, "{injected:?}");
    let was_rotated = kept(&fixture, old).await.used.is_some();
    let per_answer = if fixture.issuance.policy().opaque { 2 } else { 1 };
    let answers = 1 + usize::from(was_rotated);
    let tokens = fixture.tokens.kept().await.len();
    assert_eq!(tokens, answers * per_answer, "{injected:?}: a token that nobody was given");
    let may_be = injected.call == "tokens.rotate"
        && matches!(injected.fault, Fault::AnswerLost | Fault::KilledAfter);
    assert_eq!(was_rotated, may_be, "{injected:?}");
    fixture.wait(LEASE_OVER);
    let has_grace = !fixture.issuance.policy().grace.is_zero();
    if was_rotated && !has_grace {
        // Nobody can tell whoever lost the answer from a thief.
        assert_eq!(fixture.refresh(old).await, Err(IssueError::InvalidGrant), "{injected:?}");
        assert_eq!(fixture.live().await.len(), 0, "{injected:?}");
        assert_eq!(count(&fixture.into_events(), "refresh_reuse"), 1, "{injected:?}");
        return;
    }
    let again = refreshed(&fixture, &login, &injected).await;
    assert!(is_active(&fixture, &again.access_token).await, "{injected:?}");
    assert!(is_active(&fixture, refresh_of(&again)).await, "{injected:?}");
    if has_grace {
        assert_eq!(fixture.refresh(old).await, Ok(again.clone()), "{injected:?}: one answer");
    }
    let next = refreshed(&fixture, &again, &injected).await;
    fixture.wait(60);
    assert_eq!(fixture.refresh(old).await, Err(IssueError::InvalidGrant), "{injected:?}");
    assert!(!is_active(&fixture, &next.access_token).await, "{injected:?}: the family has ended");
    assert_eq!(count(&fixture.into_events(), "refresh_reuse"), 1, "{injected:?}");
}

#[tokio::test]
async fn a_rotation_that_fails_or_is_killed_leaves_the_old_token_good_or_rotated() {
    refresh("rotate", Setup::default, rotated).await;
    refresh("rotate, opaque", opaque, rotated).await;
}

#[tokio::test]
async fn with_a_grace_a_rotation_that_fails_or_is_killed_gives_one_answer_afterwards() {
    refresh("rotate, grace", with_grace, rotated).await;
    refresh("rotate, grace, opaque", opaque_with_grace, rotated).await;
}

/// Alice's refresh failed after it had the lease, which is over.
async fn abandoned(fixture: &Fixture) -> Issued {
    let issued = fixture.login().await;
    lease_and_fail(fixture, &issued).await;
    fixture.wait(LEASE_OVER);
    issued
}

async fn lease_and_fail(fixture: &Fixture, issued: &Issued) {
    fixture.faults.plan(7, Fault::NotDone);
    assert_eq!(
        fixture.refresh(refresh_of(issued)).await,
        Err(IssueError::from(StoreError::TimedOut))
    );
    assert!(fixture.faults.calls().ends_with(&["tokens.rotate", "tokens.get"]));
    fixture.faults.reset();
}

#[tokio::test]
async fn a_rotation_that_takes_an_abandoned_one_over_and_fails_can_be_taken_over_too() {
    for (name, setup) in
        [("takeover", Setup::default as MakeSetup), ("takeover, grace", with_grace)]
    {
        let calls = with_each_fault(name, &ALL, setup, abandoned, try_refresh, rotated).await;
        let takeover = ["records.get", "records.get", "lease.set"];
        assert!(calls.windows(3).any(|calls| *calls == takeover), "{name}: {calls:?}");
    }
}

#[tokio::test]
async fn within_a_lease_others_are_told_to_come_again_and_then_take_over() {
    let fixture = Fixture::usual().await;
    let issued = fixture.login().await;
    lease_and_fail(&fixture, &issued).await;
    let early = fixture.refresh(refresh_of(&issued)).await;
    assert_eq!(early, Err(IssueError::InProgress(fixture.issuance.policy().lease)));
    assert!(
        fixture.faults.calls().iter().filter(|call| **call == "records.get").count() > 1,
        "it looks again"
    );
    fixture.wait(LEASE_OVER);
    let next = fixture.refresh(refresh_of(&issued)).await.expect("it takes over");
    assert!(is_active(&fixture, refresh_of(&next)).await);
    assert_eq!(
        count(&fixture.into_events(), "refresh_refused"),
        1,
        "who comes too early is not told of"
    );
}

/// Two logins whose refresh tokens a table of 256 places would put into one.
async fn neighbours(fixture: &Fixture) -> [Issued; 2] {
    let mut logins: Vec<(u8, Issued)> = Vec::new();
    loop {
        let issued = fixture.login().await;
        let first = TokenDigest::of(shown(refresh_of(&issued))).as_bytes()[0];
        if let Some(found) = logins.iter().position(|(byte, _)| *byte == first) {
            return [logins.swap_remove(found).1, issued];
        }
        logins.push((first, issued));
    }
}

#[tokio::test]
async fn who_waits_for_the_rotation_of_one_token_holds_up_no_other() {
    let mut setup = Setup::with(|policy| policy.max_sessions = 0);
    setup.throttle.enabled = false;
    let fixture = Fixture::of(setup).await;
    let [leased, free] = neighbours(&fixture).await;
    lease_and_fail(&fixture, &leased).await;
    // The clock stands still: the lease is never over.
    let both = async {
        tokio::join!(fixture.refresh(refresh_of(&leased)), fixture.refresh(refresh_of(&free)))
    };
    let both = tokio::time::timeout(Duration::from_secs(60), both).await;
    let (waited, passed) = both.expect("nobody waits for the end of a lease");
    assert!(matches!(waited, Err(IssueError::InProgress(_))), "{waited:?}");
    assert!(passed.is_ok(), "{passed:?}");
}

#[tokio::test]
async fn what_a_caller_began_ends_at_whichever_step_he_goes_away() {
    let ways: [(&str, MakeSetup); 4] = [
        ("rotate", Setup::default),
        ("rotate, grace", with_grace),
        ("rotate, opaque", opaque),
        ("sliding handle", sliding_handles),
    ];
    for (name, setup) in ways {
        for step in 1.. {
            let fixture = Arc::new(Fixture::of(setup()).await);
            let issued = fixture.login().await;
            fixture.wait(300);
            fixture.faults.plan(step, Fault::CallerLeaves);
            let (working, tasks) = (Arc::clone(&fixture), fixture.issuance.tasks());
            let work = async move { working.refresh(refresh_of(&issued)).await.is_ok() };
            let outcome = fixture.faults.run(tasks.run(work)).await;
            tasks.ended().await;
            let events = Arc::into_inner(fixture).expect("nobody else has it").into_events();
            assert_eq!(count(&events, "refresh"), 1, "{name}, step {step}: {events:?}");
            if outcome == Some(Ok(true)) {
                assert!(step > 4, "{name} asks a store more often than {step} times");
                break;
            }
            assert_eq!(outcome, None, "{name}, step {step}");
        }
    }
}
