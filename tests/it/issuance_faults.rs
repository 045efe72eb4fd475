//! Fault injection into every store call of every operation in turn: nothing is answered as if it had succeeded, and
//! nothing is left half done.
//!
//! An operation is run once to learn its calls. Then, each time in a new fixture, one of them fails: either nothing
//! happened, or it happened and the answer was lost. A refresh is also killed there, as a process is that ends: a token
//! that was not yet rotated is as good as it was, once the lease of the killed process is over.

use std::{collections::BTreeSet, io::Write as _, sync::Arc, time::Duration};

use axum::response::IntoResponse as _;
use http::{StatusCode, header::RETRY_AFTER};
use portcullis::{
    account::{AccountStore as _, KeyDigest},
    clock::Clock as _,
    issuer::{
        client_auth::ClientCredentials, error::IssueError, issue::Issued, login::GrantParams,
        policy::RefreshPolicy, refresh::RefreshRequest, revocation::Bearer,
    },
    opaque::{OpaqueToken, OpaqueTokenStore as _, TokenDigest},
    secret::Secret,
    session::{Session, SessionId},
    store::StoreError,
    token::ScopeSet,
};
use serde_json::{Value, json};

use crate::support::{
    faulty_issuance::{ALICE, API_KEY, CHEAP, DEMO, Fixture, ISS, Setup, id, shown},
    faulty_store::Fault,
};

const FAILURES: [Fault; 2] = [Fault::NotDone, Fault::AnswerLost];
const ALL: [Fault; 4] =
    [Fault::NotDone, Fault::AnswerLost, Fault::KilledBefore, Fault::KilledAfter];
/// The name of a service that registers keys.
const SERVICE: &str = "9a1c1f0e-3a51-4d57-bd4c-4f7e1e0ad9f1";
/// Longer than a lease, shorter than a grace and than a window.
const LEASE_OVER: u64 = 6;

/// The call that failed, and the way in which it failed.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "all of it is printed where a test fails")]
struct InjectedFault {
    operation: String,
    nth: usize,
    call: &'static str,
    fault: Fault,
}

impl InjectedFault {
    /// Tells whether the call only notes something about a login: that does not refuse it, since a database may be read,
    /// and take no writes.
    fn is_only_a_note(&self) -> bool {
        matches!(self.call, "record_login" | "record_key_use" | "set_password")
    }
}

/// Runs the operation once for each of its calls and each fault, and hands over what is left.
async fn with_each_fault<P>(
    name: &str,
    faults: &[Fault],
    setup: impl Fn() -> Setup,
    prepare: impl AsyncFn(&Fixture) -> P,
    act: impl AsyncFn(&Fixture, &P) -> Result<(), IssueError>,
    check: impl AsyncFn(Fixture, P, InjectedFault),
) -> Vec<&'static str> {
    let fixture = Fixture::of(setup()).await;
    let prepared = prepare(&fixture).await;
    fixture.faults.reset();
    assert_eq!(act(&fixture, &prepared).await, Ok(()), "{name}: without faults");
    let calls = fixture.faults.calls();
    assert!(!calls.is_empty(), "{name} asks no store");
    for fault in faults.iter().copied() {
        for (index, call) in calls.iter().copied().enumerate() {
            let injected =
                InjectedFault { operation: name.to_owned(), nth: index + 1, call, fault };
            let fixture = Fixture::of(setup()).await;
            let prepared = prepare(&fixture).await;
            fixture.faults.plan(injected.nth, fault);
            let outcome = fixture.faults.run(act(&fixture, &prepared)).await;
            assert_eq!(fixture.faults.injected(), 1, "{injected:?}");
            assert_eq!(fixture.faults.calls().get(index), Some(&call), "{injected:?}");
            fixture.faults.reset();
            let expected = match fault {
                // It is found out that the rotation was committed, and the answer given after all.
                Fault::AnswerLost if call == "tokens.rotate" => Some(Ok(())),
                Fault::NotDone | Fault::AnswerLost if injected.is_only_a_note() => Some(Ok(())),
                Fault::NotDone | Fault::AnswerLost => {
                    Some(Err(IssueError::from(StoreError::TimedOut)))
                }
                Fault::KilledBefore | Fault::KilledAfter | Fault::CallerLeaves => None,
            };
            assert_eq!(outcome, expected, "{injected:?}");
            check(fixture, prepared, injected).await;
        }
    }
    let (asked, ways) = (calls.len(), faults.len());
    writeln!(std::io::stderr(), "{name}: {asked} calls, each failing in {ways} ways: {calls:?}")
        .expect("stderr is open");
    calls
}

fn ids(live: &[Session]) -> BTreeSet<String> {
    live.iter().map(|session| session.id.as_str().to_owned()).collect()
}

fn digests(kept: &[OpaqueToken]) -> BTreeSet<String> {
    kept.iter().map(|token| token.digest.name()).collect()
}

/// The sessions and the tokens that the stores keep.
#[derive(Clone, Debug, PartialEq, Eq)]
struct StoredState {
    sessions: BTreeSet<String>,
    tokens: BTreeSet<String>,
}

async fn stored_state(fixture: &Fixture) -> StoredState {
    let (live, kept) = (fixture.live().await, fixture.tokens.kept().await);
    StoredState { sessions: ids(&live), tokens: digests(&kept) }
}

async fn is_active(fixture: &Fixture, token: &Secret) -> bool {
    let found = fixture.issuance.introspection.introspect(shown(token)).await;
    found.expect("no store fails now").is_some()
}

async fn kept(fixture: &Fixture, token: &Secret) -> OpaqueToken {
    let digest = TokenDigest::of(shown(token));
    fixture.tokens.inner.get(&digest).await.expect("memory answers").expect("it is kept")
}

fn refresh_of(issued: &Issued) -> &Secret {
    issued.refresh_token.as_ref().expect("a refresh token")
}

fn count(events: &[Value], name: &str) -> usize {
    events.iter().filter(|event| event["event"] == name).count()
}

/// A login of whatever kind, after `before` logins of alice.
async fn login(
    name: &str,
    before: usize,
    setup: impl Fn() -> Setup,
    act: impl AsyncFn(&Fixture) -> Result<Issued, IssueError>,
) {
    let prepare = async |fixture: &Fixture| {
        for _ in 0..before {
            fixture.log_in().await.expect("alice logs in");
            fixture.wait(10);
        }
        stored_state(fixture).await
    };
    let max = setup().policy.max_sessions;
    let check = async |fixture: Fixture, was: StoredState, injected: InjectedFault| {
        let is = stored_state(&fixture).await;
        if injected.is_only_a_note() {
            assert_eq!(is.sessions.len(), (was.sessions.len() + 1).min(max), "{injected:?}");
            return;
        }
        assert_eq!(is.tokens, was.tokens, "{injected:?}: a token that nobody was given");
        assert!(is.sessions.is_subset(&was.sessions), "{injected:?}: a session nobody was given");
        // Only what had to make room may be gone, and only where its end was not known to have failed.
        let may_be_gone = usize::from(before == max && injected.fault == Fault::AnswerLost);
        assert!(is.sessions.len() + may_be_gone >= was.sessions.len(), "{injected:?}");
        fixture.wait(60);
        let issued = act(&fixture).await.unwrap_or_else(|error| panic!("{injected:?}: {error:?}"));
        assert!(is_active(&fixture, &issued.access_token).await, "{injected:?}");
        assert!(fixture.live().await.len() <= max, "{injected:?}");
        let events = fixture.audited();
        assert_eq!(count(&events, "login"), before + 1, "{injected:?}: {events:?}");
        assert_eq!(count(&events, "login_refused"), 1, "{injected:?}: {events:?}");
    };
    let act_once = async |fixture: &Fixture, _: &StoredState| act(fixture).await.map(drop);
    with_each_fault(name, &FAILURES, setup, prepare, act_once, check).await;
}

fn opaque() -> Setup {
    Setup::with(|policy| policy.opaque = true)
}

fn sliding_handles() -> Setup {
    Setup::with(|policy| {
        policy.opaque = true;
        policy.refresh_policy = RefreshPolicy::Sliding;
    })
}

#[tokio::test]
async fn a_login_by_password_that_fails_leaves_nothing() {
    let act = async |fixture: &Fixture| fixture.log_in().await;
    login("password", 1, Setup::default, act).await;
    login("password, opaque", 1, opaque, act).await;
    login("password, sliding handles", 1, sliding_handles, act).await;
}

#[tokio::test]
async fn a_login_that_hashes_again_and_fails_leaves_the_password_as_good_as_it_was() {
    let outdated = || {
        let hashed = portcullis::account::password::HashConfig { memory_kib: 8, ..CHEAP };
        Setup { hashed: Some(hashed), ..Setup::default() }
    };
    login("password, hashed again", 0, outdated, async |fixture| fixture.log_in().await).await;
}

#[tokio::test]
async fn a_login_that_makes_room_and_fails_leaves_no_more_sessions_than_there_were() {
    let act = async |fixture: &Fixture| fixture.log_in().await;
    login("password, making room", 2, || Setup::with(|policy| policy.max_sessions = 2), act).await;
}

#[tokio::test]
async fn a_login_of_a_program_that_fails_leaves_nothing() {
    let by_key = async |fixture: &Fixture| {
        let key = Secret::new(API_KEY);
        fixture.issuance.login.api_key(&key, GrantParams::default(), &fixture.caller).await
    };
    login("api key", 0, Setup::default, by_key).await;
    login("api key, opaque", 0, opaque, by_key).await;
    let by_client = async |fixture: &Fixture| {
        let params = GrantParams { client: Some(&fixture.demo), ..GrantParams::default() };
        fixture.issuance.login.client_credentials(&fixture.demo, params, &fixture.caller).await
    };
    login("client_credentials", 0, Setup::default, by_client).await;
    login("client_credentials, opaque", 0, opaque, by_client).await;
}

/// A refresh, by whatever policy, five minutes after the login.
async fn refresh(
    name: &str,
    setup: impl Fn() -> Setup,
    check: impl AsyncFn(Fixture, Issued, InjectedFault),
) {
    let prepare = async |fixture: &Fixture| {
        let issued = fixture.log_in().await.expect("alice logs in");
        fixture.wait(300);
        issued
    };
    let act = async |fixture: &Fixture, issued: &Issued| {
        fixture.refresh(refresh_of(issued)).await.map(drop)
    };
    with_each_fault(name, &ALL, setup, prepare, act, check).await;
}

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
        assert_eq!(count(&fixture.audited(), "refresh_reuse"), 1, "{injected:?}");
        return;
    }
    let again =
        fixture.refresh(old).await.unwrap_or_else(|error| panic!("{injected:?}: {error:?}"));
    assert!(is_active(&fixture, &again.access_token).await, "{injected:?}");
    assert!(is_active(&fixture, refresh_of(&again)).await, "{injected:?}");
    if has_grace {
        assert_eq!(fixture.refresh(old).await, Ok(again.clone()), "{injected:?}: one answer");
    }
    let next = fixture.refresh(refresh_of(&again)).await;
    let next = next.unwrap_or_else(|error| panic!("{injected:?}: {error:?}"));
    fixture.wait(60);
    assert_eq!(fixture.refresh(old).await, Err(IssueError::InvalidGrant), "{injected:?}");
    assert!(!is_active(&fixture, &next.access_token).await, "{injected:?}: the family has ended");
    assert_eq!(count(&fixture.audited(), "refresh_reuse"), 1, "{injected:?}");
}

fn with_grace() -> Setup {
    Setup::with(|policy| policy.grace = Duration::from_secs(10))
}

#[tokio::test]
async fn a_rotation_that_fails_or_is_killed_leaves_the_old_token_good_or_rotated() {
    refresh("rotate", Setup::default, rotated).await;
    refresh("rotate, opaque", opaque, rotated).await;
}

#[tokio::test]
async fn with_a_grace_a_rotation_that_fails_or_is_killed_gives_one_answer_afterwards() {
    refresh("rotate, grace", with_grace, rotated).await;
    let opaque = || {
        let mut setup = with_grace();
        setup.policy.opaque = true;
        setup
    };
    refresh("rotate, grace, opaque", opaque, rotated).await;
}

#[tokio::test]
async fn within_the_grace_the_one_answer_is_given_also_after_a_failure() {
    for (name, opaque) in [("asked again", false), ("asked again, opaque", true)] {
        let setup = || {
            let mut setup = with_grace();
            setup.policy.opaque = opaque;
            setup
        };
        let prepare = async |fixture: &Fixture| {
            let issued = fixture.log_in().await.expect("alice logs in");
            let next = fixture.refresh(refresh_of(&issued)).await.expect("a refresh");
            (issued, next)
        };
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
                assert_eq!(count(&fixture.audited(), "refresh_reuse"), 0, "{injected:?}");
            };
        with_each_fault(name, &ALL, setup, prepare, act, check).await;
    }
}

/// Alice's refresh failed after it had the lease, which is over.
async fn abandoned(fixture: &Fixture) -> Issued {
    let issued = fixture.log_in().await.expect("alice logs in");
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
        [("takeover", Setup::default as fn() -> Setup), ("takeover, grace", with_grace)]
    {
        let act = async |fixture: &Fixture, issued: &Issued| {
            fixture.refresh(refresh_of(issued)).await.map(drop)
        };
        let calls = with_each_fault(name, &ALL, setup, abandoned, act, rotated).await;
        let takeover = ["records.get", "records.get", "lease.set"];
        assert!(calls.windows(3).any(|calls| *calls == takeover), "{name}: {calls:?}");
    }
}

#[tokio::test]
async fn within_a_lease_others_are_told_to_come_again_and_then_take_over() {
    let fixture = Fixture::new().await;
    let issued = fixture.log_in().await.expect("alice logs in");
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
        count(&fixture.audited(), "refresh_refused"),
        1,
        "who comes too early is not told of"
    );
}

/// Two logins whose refresh tokens a table of 256 places would put into one.
async fn neighbours(fixture: &Fixture) -> [Issued; 2] {
    let mut logins: Vec<(u8, Issued)> = Vec::new();
    loop {
        let issued = fixture.log_in().await.expect("alice logs in");
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
    setup.throttled = false;
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
    type MakeSetup = fn() -> Setup;
    let ways: [(&str, MakeSetup); 4] = [
        ("rotate", Setup::default),
        ("rotate, grace", with_grace),
        ("rotate, opaque", opaque),
        ("sliding handle", sliding_handles),
    ];
    for (name, setup) in ways {
        for step in 1.. {
            let fixture = Arc::new(Fixture::of(setup()).await);
            let issued = fixture.log_in().await.expect("alice logs in");
            fixture.wait(300);
            fixture.faults.plan(step, Fault::CallerLeaves);
            let (working, tasks) = (Arc::clone(&fixture), fixture.issuance.tasks());
            let work = async move { working.refresh(refresh_of(&issued)).await.is_ok() };
            let outcome = fixture.faults.run(tasks.run(work)).await;
            tasks.ended().await;
            let events = Arc::into_inner(fixture).expect("nobody else has it").audited();
            assert_eq!(count(&events, "refresh"), 1, "{name}, step {step}: {events:?}");
            if outcome == Some(Ok(true)) {
                assert!(step > 4, "{name} asks a store more often than {step} times");
                break;
            }
            assert_eq!(outcome, None, "{name}, step {step}");
        }
    }
}

#[tokio::test]
async fn the_grace_is_over_once_somebody_used_what_it_would_give_again() {
    let fixture = Fixture::of(with_grace()).await;
    let issued = fixture.log_in().await.expect("alice logs in");
    let next = fixture.refresh(refresh_of(&issued)).await.expect("a refresh");
    assert_eq!(fixture.refresh(refresh_of(&issued)).await, Ok(next.clone()), "nobody used it yet");
    let after = fixture.refresh(refresh_of(&next)).await.expect("a refresh");
    assert_eq!(fixture.refresh(refresh_of(&issued)).await, Err(IssueError::InvalidGrant));
    assert!(!is_active(&fixture, &after.access_token).await, "the family has ended");
    assert_eq!(count(&fixture.audited(), "refresh_reuse"), 1);
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
    let policies: [fn() -> Setup; 3] = [
        with_grace,
        || Setup::with(|policy| policy.refresh_policy = RefreshPolicy::Sliding),
        sliding_handles,
    ];
    for (policy, setup) in policies.into_iter().enumerate() {
        let mut setup = setup();
        setup.policy.audiences.push(OTHER.to_owned());
        let fixture = Fixture::of(setup).await;
        let issued = fixture.log_in().await.expect("alice logs in");
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
async fn a_slide_that_comes_too_early_is_told_what_is_left_of_the_window() {
    // As the configuration does not allow it: the access token ends within the window.
    let setup = Setup::with(|policy| {
        policy.refresh_policy = RefreshPolicy::Sliding;
        policy.refresh_window = Duration::from_secs(1_000);
    });
    let fixture = Fixture::of(setup).await;
    let issued = fixture.log_in().await.expect("alice logs in");
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
        let issued = fixture.log_in().await.expect("alice logs in");
        fixture.wait(300);
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
async fn a_used_token_ends_its_family_also_where_that_failed_first() {
    for (name, opaque) in [("reuse", false), ("reuse, opaque", true)] {
        let prepare = async |fixture: &Fixture| {
            let issued = fixture.log_in().await.expect("alice logs in");
            let next = fixture.refresh(refresh_of(&issued)).await.expect("a refresh");
            (issued, next)
        };
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
                let events = fixture.audited();
                if injected.fault != Fault::KilledAfter || injected.call != "sessions.revoke" {
                    assert!(count(&events, "refresh_reuse") >= 1, "{injected:?}: {events:?}");
                }
            };
        let setup = || Setup::with(|policy| policy.opaque = opaque);
        with_each_fault(name, &ALL, setup, prepare, act, check).await;
    }
}

#[tokio::test]
async fn a_slide_that_fails_or_is_killed_never_makes_the_next_one_lie() {
    let sliding = || Setup::with(|policy| policy.refresh_policy = RefreshPolicy::Sliding);
    let check = async |fixture: Fixture, login: Issued, injected: InjectedFault| {
        let tried = fixture.clock.now();
        fixture.wait(LEASE_OVER);
        let again = fixture.refresh(refresh_of(&login)).await;
        let again = again.unwrap_or_else(|error| panic!("{injected:?}: {error:?}"));
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
    let again = fixture.refresh(refresh_of(&login)).await;
    let again = again.unwrap_or_else(|error| panic!("{injected:?}: {error:?}"));
    assert_eq!(again.access_token, login.access_token, "{injected:?}");
    assert_eq!(kept(&fixture, &login.access_token).await.expires, again.expires, "{injected:?}");
    if matches!(injected.fault, Fault::NotDone | Fault::AnswerLost) {
        assert!(again.expires > login.expires, "{injected:?}: the failure cost no window");
    }
    fixture.wait(121);
    let later = fixture.refresh(refresh_of(&login)).await;
    let later = later.unwrap_or_else(|error| panic!("{injected:?}: {error:?}"));
    assert!(later.expires > again.expires, "{injected:?}: the next window moves it");
    assert!(is_active(&fixture, &login.access_token).await, "{injected:?}");
    assert!(fixture.live().await[0].expires >= later.expires, "{injected:?}");
}

#[tokio::test]
async fn a_handle_whose_slide_fails_or_is_killed_slides_later() {
    refresh("sliding handle", sliding_handles, slid).await;
    let prepare = async |fixture: &Fixture| {
        let issued = fixture.log_in().await.expect("alice logs in");
        fixture.wait(300);
        issued
    };
    let act = async |fixture: &Fixture, issued: &Issued| {
        let (token, caller) = (shown(&issued.access_token), &fixture.caller);
        let slid = fixture.issuance.refresh.slide_for_tp_auth(ALICE.0, token, caller).await?;
        assert!(slid, "the window was over");
        Ok(())
    };
    with_each_fault("sliding handle, tp-auth", &ALL, sliding_handles, prepare, act, slid).await;
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
            let again = fixture.refresh(refresh_of(&login)).await;
            let again = again.unwrap_or_else(|error| panic!("{injected:?}: {error:?}"));
            assert!(is_active(&fixture, &again.access_token).await, "{injected:?}");
            assert_eq!(again.refresh_token, None, "{injected:?}");
        };
        refresh(name, setup, check).await;
    }
}

/// Alice's sessions, the one in the middle first, and a session of somebody else.
async fn several(fixture: &Fixture) -> (Vec<Issued>, SessionId) {
    let mut logins = Vec::new();
    for _ in 0..3 {
        logins.push(fixture.log_in().await.expect("alice logs in"));
        fixture.wait(10);
    }
    logins.swap(0, 1);
    let key = Secret::new(API_KEY);
    let robot = fixture.issuance.login.api_key(&key, GrantParams::default(), &fixture.caller).await;
    (logins, robot.expect("the robot logs in").session)
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
    for (name, opaque) in [("jwt", false), ("opaque", true)] {
        let setup = || Setup::with(|policy| policy.opaque = opaque);
        check_revocation(
            &format!("revoke, {name}"),
            setup,
            &[1, 2],
            async |fixture, (logins, _)| {
                fixture
                    .issuance
                    .revocation
                    .revoke(shown(&logins[0].access_token), None, &fixture.caller)
                    .await
            },
        )
        .await;
        check_revocation(
            &format!("revoke refresh, {name}"),
            setup,
            &[1, 2],
            async |fixture, (logins, _)| {
                fixture
                    .issuance
                    .revocation
                    .revoke(shown(refresh_of(&logins[0])), None, &fixture.caller)
                    .await
            },
        )
        .await;
    }
    check_revocation("end", Setup::default, &[1, 2], async |fixture, (logins, _)| {
        fixture
            .issuance
            .revocation
            .end(&logins[0].session, "logout", &fixture.caller)
            .await
            .map(drop)
    })
    .await;
    check_revocation("end own", Setup::default, &[1, 2], async |fixture, (logins, _)| {
        let alice = bearer(&logins[1].session);
        fixture.issuance.revocation.end_own(&alice, &logins[0].session, &fixture.caller).await
    })
    .await;
    check_revocation("end others", Setup::default, &[0], async |fixture, (logins, _)| {
        let alice = bearer(&logins[0].session);
        fixture.issuance.revocation.end_others(&alice, &fixture.caller).await.map(drop)
    })
    .await;
    check_revocation("end all", Setup::default, &[], async |fixture, (logins, _)| {
        let alice = bearer(&logins[0].session);
        fixture.issuance.revocation.end_all_own(&alice, &fixture.caller).await.map(drop)
    })
    .await;
}

/// Alice, who showed her password in this session.
fn bearer(session: &SessionId) -> Bearer {
    let scopes = ScopeSet::new(Vec::new());
    Bearer { user: id(ALICE.0), session: session.clone(), scopes, by_password: true }
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
    for (name, opaque) in [("jwt", false), ("opaque", true)] {
        let setup = || Setup::with(|policy| policy.opaque = opaque);
        question(&format!("introspect, {name}"), setup, async |fixture, (logins, _)| {
            let found =
                fixture.issuance.introspection.introspect(shown(&logins[0].access_token)).await?;
            assert!(found.is_some(), "a good token is never said to be none");
            Ok(())
        })
        .await;
        question(&format!("introspect refresh, {name}"), setup, async |fixture, (logins, _)| {
            let found =
                fixture.issuance.introspection.introspect(shown(refresh_of(&logins[0]))).await?;
            assert!(found.is_some(), "a good token is never said to be none");
            Ok(())
        })
        .await;
        question(&format!("bearer, {name}"), setup, async |fixture, (logins, _)| {
            fixture.issuance.revocation.bearer(shown(&logins[0].access_token)).await.map(drop)
        })
        .await;
    }
    question("list", Setup::default, async |fixture, _| {
        let listed = fixture.issuance.revocation.list(Some(&id(ALICE.0)), 10).await?;
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

async fn register(fixture: &Fixture, key: &str) -> Result<(), IssueError> {
    fixture.issuance.keys.register_key(&Secret::new(key), SERVICE, &fixture.caller).await
}

async fn has_key(fixture: &Fixture, key: &str) -> bool {
    let digest = KeyDigest::of(&Secret::new(key));
    fixture.accounts.inner.key(&digest).await.expect("the file answers").is_some()
}

async fn has_service(fixture: &Fixture) -> bool {
    fixture.accounts.inner.user(&id(SERVICE)).await.expect("the file answers").is_some()
}

#[tokio::test]
async fn a_key_whose_registration_failed_is_not_registered_and_no_user_is_made_for_it() {
    let act = async |fixture: &Fixture, _: &()| register(fixture, "new").await;
    let check = async |fixture: Fixture, (): (), injected: InjectedFault| {
        assert!(!has_key(&fixture, "new").await, "{injected:?}");
        assert!(!has_service(&fixture).await, "{injected:?}: a user without a key");
        assert_eq!(register(&fixture, "new").await, Ok(()), "{injected:?}");
        assert!(has_key(&fixture, "new").await && has_service(&fixture).await, "{injected:?}");
    };
    with_each_fault("register_key", &FAILURES, Setup::default, async |_| (), act, check).await;

    // A service that has a key keeps it, whatever becomes of its second one.
    let first = async |fixture: &Fixture| register(fixture, "first").await.expect("a key");
    let check = async |fixture: Fixture, (): (), injected: InjectedFault| {
        assert!(!has_key(&fixture, "new").await, "{injected:?}");
        assert!(has_key(&fixture, "first").await && has_service(&fixture).await, "{injected:?}");
        assert_eq!(register(&fixture, "new").await, Ok(()), "{injected:?}");
        assert!(has_key(&fixture, "new").await, "{injected:?}");
    };
    with_each_fault("register_key, second", &FAILURES, Setup::default, first, act, check).await;

    let known = async |fixture: &Fixture| register(fixture, "new").await.expect("a key");
    let check = async |fixture: Fixture, (): (), injected: InjectedFault| {
        assert!(has_key(&fixture, "new").await && has_service(&fixture).await, "{injected:?}");
        assert_eq!(register(&fixture, "new").await, Ok(()), "{injected:?}");
    };
    with_each_fault("register_key, renewed", &FAILURES, Setup::default, known, act, check).await;
}

fn assertion(fixture: &Fixture, jti: &str) -> ClientCredentials {
    let now = fixture.clock.now().as_secs();
    let claims = json!({
        "iss": DEMO.0, "sub": DEMO.0, "aud": ISS, "iat": now, "exp": now + 60, "jti": jti,
    });
    let assertion = Secret::new(fixture.demo_key.sign(&claims).expect("a signature"));
    ClientCredentials::Assertion { id: None, assertion }
}

#[tokio::test]
async fn a_client_is_never_believed_where_a_store_failed() {
    let secret = |_: &Fixture, _: &str| ClientCredentials::Secret {
        id: DEMO.0.to_owned(),
        secret: Secret::new(DEMO.1),
        by_header: true,
    };
    let public = |_: &Fixture, _: &str| ClientCredentials::Public {
        id: "public".to_owned(),
        by_header: false,
    };
    type MakeCredentials = fn(&Fixture, &str) -> ClientCredentials;
    let ways: [(&str, MakeCredentials); 3] =
        [("secret", secret), ("assertion", assertion), ("public", public)];
    for (name, shown) in ways {
        let prepare = async |fixture: &Fixture| {
            let mut public = fixture.demo.clone();
            (public.id, public.secrets, public.jwks) = ("public".to_owned(), Vec::new(), None);
            fixture.accounts.inner.add_client(&public).await.expect("a public client");
            shown(fixture, "first")
        };
        let act = async |fixture: &Fixture, shown: &ClientCredentials| {
            fixture.issuance.clients.authenticate(shown, &fixture.caller).await.map(drop)
        };
        let check = async |fixture: Fixture, _: ClientCredentials, injected: InjectedFault| {
            // An assertion is good once; whether it was used up is not known.
            let next = shown(&fixture, "second");
            let client = fixture.issuance.clients.authenticate(&next, &fixture.caller).await;
            assert!(client.is_ok(), "{injected:?}: {client:?}");
        };
        let name = format!("client by {name}");
        with_each_fault(&name, &FAILURES, Setup::default, prepare, act, check).await;
    }
}

#[test]
fn what_does_not_answer_is_a_503_that_says_when_to_come_again() {
    let answer = IssueError::from(StoreError::TimedOut).into_response();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers().get(RETRY_AFTER).map(|value| value.as_bytes()), Some(&b"1"[..]));
}
