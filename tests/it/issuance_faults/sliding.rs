//! Slides that fail, and tokens that are reusable.

use std::time::Duration;

use portcullis::clock::Clock as _;
use portcullis::issuer::error::IssueError;
use portcullis::issuer::issued::Issued;
use portcullis::issuer::policy::RefreshPolicy;

use super::{
    ALL, InjectedFault, LEASE_OVER, is_active, kept, refresh, refresh_of, refreshed, rested,
    sliding_handles, with_each_fault,
};
use crate::support::faulty_store::injector::Fault;
use crate::support::issuance::{ALICE_ID, Fixture, Setup, shown};

#[tokio::test]
async fn a_slide_that_comes_too_early_is_told_what_is_left_of_the_window() {
    // As the configuration does not allow it: the access token ends within the window.
    let setup = Setup::with(|policy| {
        policy.refresh_policy = RefreshPolicy::Sliding;
        policy.refresh_window = Duration::from_secs(1_000);
    });
    let fixture = Fixture::of(setup).await;
    let issued = fixture.login().await;
    fixture.refresh(refresh_of(&issued)).await.expect("a refresh");
    fixture.wait(930);
    let early = fixture.refresh(refresh_of(&issued)).await;
    assert_eq!(early, Err(IssueError::SlowDown(Duration::from_secs(70))));
    fixture.wait(70);
    fixture.refresh(refresh_of(&issued)).await.expect("the window is over");
}

#[tokio::test]
async fn a_slide_that_fails_leaves_the_window_to_whoever_has_it() {
    let sliding = Setup::with(|policy| policy.refresh_policy = RefreshPolicy::Sliding);
    for setup in [sliding, sliding_handles()] {
        let fixture = Fixture::of(setup).await;
        let issued = rested(&fixture).await;
        let first = fixture.refresh(refresh_of(&issued)).await;
        assert!(first.is_ok(), "{first:?}");
        fixture.wait(10);
        fixture.faults.reset();
        assert_eq!(fixture.refresh(refresh_of(&issued)).await, first);
        let calls = fixture.faults.calls();
        let asks = calls.iter().position(|call| *call == "records.get").expect("it asks for it");
        fixture.faults.plan(asks + 1, Fault::NotDone);
        let failed = fixture.refresh(refresh_of(&issued)).await;
        assert!(matches!(failed, Err(IssueError::Unavailable(_))), "{failed:?}");
        fixture.faults.reset();
        assert_eq!(fixture.refresh(refresh_of(&issued)).await, first, "{calls:?}");
    }
}

#[tokio::test]
async fn a_slide_that_fails_or_is_killed_never_makes_the_next_one_lie() {
    let sliding = || Setup::with(|policy| policy.refresh_policy = RefreshPolicy::Sliding);
    let check = async |fixture: Fixture, login: Issued, injected: InjectedFault| {
        let tried = fixture.clock.now();
        fixture.wait(LEASE_OVER);
        let again = refreshed(&fixture, &login, &injected).await;
        assert_eq!(again.refresh_token, login.refresh_token, "{injected:?}");
        assert!(is_active(&fixture, &again.access_token).await, "{injected:?}");
        let end = tried.after(fixture.issuance.policy().refresh_lifetime);
        let token = kept(&fixture, refresh_of(&login)).await;
        assert!(token.expires >= end, "{injected:?}: it was outcome that the end was moved");
        let live = fixture.live().await;
        assert!(live.len() == 1 && live[0].expires >= end, "{injected:?}: {live:?}");
    };
    refresh("sliding", sliding, check).await;
}

/// A handle that slides: what is said of its end is true, and the next window moves it.
async fn slid(fixture: Fixture, login: Issued, injected: InjectedFault) {
    fixture.wait(LEASE_OVER);
    let again = refreshed(&fixture, &login, &injected).await;
    assert_eq!(again.access_token, login.access_token, "{injected:?}");
    assert_eq!(kept(&fixture, &login.access_token).await.expires, again.expires, "{injected:?}");
    if matches!(injected.fault, Fault::NotDone | Fault::AnswerLost) {
        assert!(again.expires > login.expires, "{injected:?}: the failure cost no window");
    }
    fixture.wait(121);
    let later = refreshed(&fixture, &login, &injected).await;
    assert!(later.expires > again.expires, "{injected:?}: the next window moves it");
    assert!(is_active(&fixture, &login.access_token).await, "{injected:?}");
    assert!(fixture.live().await[0].expires >= later.expires, "{injected:?}");
}

#[tokio::test]
async fn a_handle_whose_slide_fails_or_is_killed_slides_later() {
    refresh("sliding handle", sliding_handles, slid).await;
    let act = async |fixture: &Fixture, issued: &Issued| {
        let (token, caller) = (shown(&issued.access_token), &fixture.caller);
        let slid = fixture.issuance.refresh.slide_for_tp_auth(ALICE_ID, token, caller).await?;
        assert!(slid, "the window was over");
        Ok(())
    };
    with_each_fault("sliding handle, tp-auth", &ALL, sliding_handles, rested, act, slid).await;
}

#[tokio::test]
async fn a_reusable_token_is_reusable_also_after_a_failure() {
    for (name, opaque) in [("reusable", false), ("reusable, opaque", true)] {
        let setup = || {
            Setup::with(|policy| {
                policy.refresh_policy = RefreshPolicy::Reusable;
                policy.opaque = opaque;
            })
        };
        let check = async |fixture: Fixture, login: Issued, injected: InjectedFault| {
            let kept = fixture.tokens.kept().await.len();
            if injected.fault != Fault::KilledAfter {
                assert_eq!(kept, 1 + usize::from(opaque), "{injected:?}: a token nobody was given");
            }
            let again = refreshed(&fixture, &login, &injected).await;
            assert!(is_active(&fixture, &again.access_token).await, "{injected:?}");
            assert_eq!(again.refresh_token, None, "{injected:?}");
        };
        refresh(name, setup, check).await;
    }
}
