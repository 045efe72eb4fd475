//! Fault injection into every store call of every operation in turn: nothing is answered as if it had succeeded, and
//! nothing is left half done.
//!
//! An operation is run once to learn its calls. Then, each time in a new fixture, one of them fails: either nothing
//! happened, or it happened and the answer was lost. A refresh is also killed there, as a process is that ends: a token
//! that was not yet rotated is as good as it was, once the lease of the killed process is over.

mod clients;
mod login;
mod replay;
mod revocation;
mod rotation;
mod sliding;

use std::{collections::BTreeSet, io::Write as _, time::Duration};

use portcullis::{
    issuer::{error::IssueError, issued::Issued, policy::RefreshPolicy},
    opaque::{OpaqueToken, OpaqueTokenStore as _, TokenDigest},
    secret::Secret,
    session::Session,
    store::StoreError,
};
use serde_json::Value;

use crate::support::{
    faulty_store::injector::Fault,
    issuance::{Fixture, Setup, shown},
};

const FAILURES: [Fault; 2] = [Fault::NotDone, Fault::AnswerLost];
const ALL: [Fault; 4] =
    [Fault::NotDone, Fault::AnswerLost, Fault::KilledBefore, Fault::KilledAfter];
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

/// The refresh of what was issued, which must succeed.
async fn refreshed(fixture: &Fixture, issued: &Issued, injected: &InjectedFault) -> Issued {
    let outcome = fixture.refresh(refresh_of(issued)).await;
    outcome.unwrap_or_else(|error| panic!("{injected:?}: {error:?}"))
}

fn count(events: &[Value], name: &str) -> usize {
    events.iter().filter(|event| event["event"] == name).count()
}

/// A constructor of a setup.
type MakeSetup = fn() -> Setup;

fn opaque() -> Setup {
    Setup::with(|policy| policy.opaque = true)
}

fn sliding_handles() -> Setup {
    Setup::with(|policy| {
        policy.opaque = true;
        policy.refresh_policy = RefreshPolicy::Sliding;
    })
}

/// A login, and five minutes after it.
async fn rested(fixture: &Fixture) -> Issued {
    let issued = fixture.login().await;
    fixture.wait(300);
    issued
}

async fn try_refresh(fixture: &Fixture, issued: &Issued) -> Result<(), IssueError> {
    fixture.refresh(refresh_of(issued)).await.map(drop)
}

/// A refresh, by whatever policy, five minutes after the login.
async fn refresh(
    name: &str,
    setup: impl Fn() -> Setup,
    check: impl AsyncFn(Fixture, Issued, InjectedFault),
) {
    with_each_fault(name, &ALL, setup, rested, try_refresh, check).await;
}

fn with_grace() -> Setup {
    Setup::with(|policy| policy.grace = Duration::from_secs(10))
}

fn opaque_with_grace() -> Setup {
    let mut setup = with_grace();
    setup.policy.opaque = true;
    setup
}
