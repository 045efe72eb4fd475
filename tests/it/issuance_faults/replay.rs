//! Tokens that come again: the one answer within a grace, and the end of the family.

use portcullis::issuer::error::IssueError;
use portcullis::issuer::issued::Issued;
use portcullis::issuer::policy::RefreshPolicy;
use portcullis::issuer::refresh::RefreshRequest;
use portcullis::secret::Secret;

use super::{
    ALL, InjectedFault, LEASE_OVER, MakeSetup, count, is_active, opaque, opaque_with_grace,
    refresh_of, sliding_handles, with_each_fault, with_grace,
};
use crate::support::faulty_store::injector::Fault;
use crate::support::issuance::{Fixture, ISS, Setup, shown};

#[tokio::test]
async fn within_the_grace_the_one_answer_is_given_also_after_a_failure() {
    let ways: [(&str, MakeSetup); 2] =
        [("asked again", with_grace), ("asked again, opaque", opaque_with_grace)];
    for (name, setup) in ways {
        let act = async |fixture: &Fixture, (issued, next): &(Issued, Issued)| {
            assert_eq!(fixture.refresh(refresh_of(issued)).await?, *next, "{name}");
            Ok(())
        };
        let check =
            async |fixture: Fixture, (issued, next): (Issued, Issued), injected: InjectedFault| {
                fixture.wait(LEASE_OVER);
                let again = fixture.refresh(refresh_of(&issued)).await;
                assert_eq!(again.as_ref(), Ok(&next), "{injected:?}");
                assert!(is_active(&fixture, &next.access_token).await, "{injected:?}");
                assert_eq!(count(&fixture.into_events(), "refresh_reuse"), 0, "{injected:?}");
            };
        with_each_fault(name, &ALL, setup, rotated_once, act, check).await;
    }
}

/// Alice's login, and the refresh of it.
async fn rotated_once(fixture: &Fixture) -> (Issued, Issued) {
    let issued = fixture.login().await;
    let next = fixture.refresh(refresh_of(&issued)).await.expect("a refresh");
    (issued, next)
}

#[tokio::test]
async fn the_grace_is_over_once_somebody_used_what_it_would_give_again() {
    let fixture = Fixture::of(with_grace()).await;
    let issued = fixture.login().await;
    let next = fixture.refresh(refresh_of(&issued)).await.expect("a refresh");
    assert_eq!(fixture.refresh(refresh_of(&issued)).await, Ok(next.clone()), "nobody used it yet");
    let after = fixture.refresh(refresh_of(&next)).await.expect("a refresh");
    assert_eq!(fixture.refresh(refresh_of(&issued)).await, Err(IssueError::InvalidGrant));
    assert!(!is_active(&fixture, &after.access_token).await, "the family has ended");
    assert_eq!(count(&fixture.into_events(), "refresh_reuse"), 1);
}

/// A refresh that asks for these scopes and audiences.
async fn refresh_for(
    fixture: &Fixture,
    token: &Secret,
    scopes: Option<&[String]>,
    audiences: &[String],
) -> Result<Issued, IssueError> {
    let (token, caller) = (shown(token), &fixture.caller);
    let request = RefreshRequest { token, client: None, scopes, audiences, caller };
    fixture.issuance.refresh.refresh(request).await
}

#[tokio::test]
async fn an_answer_is_given_again_to_the_same_question_alone() {
    const OTHER: &str = "https://other.test";
    let policies: [MakeSetup; 3] = [
        with_grace,
        || Setup::with(|policy| policy.refresh_policy = RefreshPolicy::Sliding),
        sliding_handles,
    ];
    for (policy, setup) in policies.into_iter().enumerate() {
        let mut setup = setup();
        setup.policy.audiences.push(OTHER.to_owned());
        let fixture = Fixture::of(setup).await;
        let issued = fixture.login().await;
        fixture.wait(300);
        let token = refresh_of(&issued);
        let [read, both, swapped] =
            [&["user:read"][..], &["user:read", "user:write"], &["user:write", "user:read"]]
                .map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let [ours, all] = [&[ISS][..], &[ISS, OTHER]]
            .map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let first = refresh_for(&fixture, token, Some(&both), &[]).await.expect("a refresh");
        assert_eq!(first.scopes, both, "policy {policy}");
        for (scopes, audiences) in
            [(None, &[][..]), (Some(&swapped[..]), &[][..]), (None, &all[..])]
        {
            let again = refresh_for(&fixture, token, scopes, audiences).await;
            assert_eq!(again.as_ref(), Ok(&first), "policy {policy}: the same in other words");
        }
        let narrow = refresh_for(&fixture, token, Some(&read), &[]).await;
        assert_eq!(narrow, Err(IssueError::InvalidScope), "policy {policy}");
        let elsewhere = refresh_for(&fixture, token, None, &ours).await;
        assert_eq!(elsewhere, Err(IssueError::InvalidTarget), "policy {policy}");
        assert_eq!(refresh_for(&fixture, token, None, &[]).await, Ok(first), "policy {policy}");
    }
}

#[tokio::test]
async fn a_used_token_ends_its_family_also_where_that_failed_first() {
    for (name, setup) in [("reuse", Setup::default as MakeSetup), ("reuse, opaque", opaque)] {
        let act = async |fixture: &Fixture, (issued, _): &(Issued, Issued)| match fixture
            .refresh(refresh_of(issued))
            .await
        {
            Ok(_) => panic!("a used token was rotated"),
            Err(IssueError::InvalidGrant) => Ok(()),
            Err(error) => Err(error),
        };
        let check =
            async |fixture: Fixture, (issued, next): (Issued, Issued), injected: InjectedFault| {
                let again = fixture.refresh(refresh_of(&issued)).await;
                assert_eq!(again, Err(IssueError::InvalidGrant), "{injected:?}");
                assert_eq!(fixture.live().await.len(), 0, "{injected:?}");
                assert!(!is_active(&fixture, &next.access_token).await, "{injected:?}");
                assert!(!is_active(&fixture, refresh_of(&next)).await, "{injected:?}");
                // Also where it ended and nobody was told: who answers for it later has to know.
                let events = fixture.into_events();
                if injected.fault != Fault::KilledAfter || injected.call != "sessions.revoke" {
                    assert!(count(&events, "refresh_reuse") >= 1, "{injected:?}: {events:?}");
                }
            };
        with_each_fault(name, &ALL, setup, rotated_once, act, check).await;
    }
}
