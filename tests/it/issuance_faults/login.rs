//! Logins that fail: no session and no token that nobody was given.

use portcullis::issuer::error::IssueError;
use portcullis::issuer::issued::Issued;
use portcullis::issuer::login::GrantParams;

use super::{
    FAILURES, InjectedFault, StoredState, count, is_active, opaque, sliding_handles, stored_state,
    with_each_fault,
};
use crate::support::faulty_store::injector::Fault;
use crate::support::issuance::{API_KEY, CHEAP, Fixture, Setup};

/// A login of whatever kind, after `before` logins of alice.
async fn login(
    name: &str,
    before: usize,
    setup: impl Fn() -> Setup,
    act: impl AsyncFn(&Fixture) -> Result<Issued, IssueError>,
) {
    let prepare = async |fixture: &Fixture| {
        for _ in 0..before {
            fixture.login().await;
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
        let events = fixture.into_events();
        assert_eq!(count(&events, "login"), before + 1, "{injected:?}: {events:?}");
        assert_eq!(count(&events, "login_refused"), 1, "{injected:?}: {events:?}");
    };
    let act_once = async |fixture: &Fixture, _: &StoredState| act(fixture).await.map(drop);
    with_each_fault(name, &FAILURES, setup, prepare, act_once, check).await;
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
    let by_key = async |fixture: &Fixture| fixture.log_in_by_key(API_KEY).await;
    login("api key", 0, Setup::default, by_key).await;
    login("api key, opaque", 0, opaque, by_key).await;
    let by_client = async |fixture: &Fixture| {
        let params = GrantParams { client: Some(&fixture.demo), ..GrantParams::default() };
        fixture.issuance.login.client_credentials(&fixture.demo, params, &fixture.caller).await
    };
    login("client_credentials", 0, Setup::default, by_client).await;
    login("client_credentials, opaque", 0, opaque, by_client).await;
}
