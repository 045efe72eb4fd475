//! Links over records in memory, on a clock that moves when it is told to.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::clock::ManualClock;
use crate::secret::SystemRandom;
use crate::store::records::{MemoryRecordStore, RecordStore, Records};
use crate::store::{CHANGE_TIMEOUT, StoreKind, StoreMetrics};
use crate::token::{Algorithm, SigningKey, key};

const START: UnixTime = UnixTime::from_secs(1_800_000_000);

struct Fixture {
    links: Links,
    /// The links of another process, by the same keys over the same store.
    other: Links,
    clock: Arc<ManualClock>,
}

fn ring() -> Arc<SigningRing> {
    let pem = key::generate(Algorithm::EdDSA, &SystemRandom).expect("a key");
    let key = SigningKey::from_private_pem(Algorithm::EdDSA, &pem).expect("a key");
    Arc::new(SigningRing::fixed(key))
}

fn fixture() -> Fixture {
    let (clock, signers) = (Arc::new(ManualClock::at(START)), ring());
    let store: Arc<dyn RecordStore> = Arc::new(MemoryRecordStore::new());
    let links = || {
        let metrics = StoreMetrics::unregistered(StoreKind::Limits);
        let records = Records::new(Arc::clone(&store), CHANGE_TIMEOUT, clock.clone(), metrics);
        let random = Arc::new(SystemRandom);
        Links::new(Arc::clone(&signers), Leases::new(records), clock.clone(), random)
    };
    Fixture { links: links(), other: links(), clock: clock.clone() }
}

fn login(text: &str) -> Login {
    Login::parse(text).expect("a login")
}

fn alice() -> User {
    let id = UserId::parse("a1").expect("an id");
    User {
        email: Some(login("alice@example.org")),
        password: Some(Secret::new("$argon2id$1")),
        ..User::new(id, login("alice"), START)
    }
}

impl Fixture {
    fn link(&self, purpose: Purpose) -> Secret {
        let email = login("alice@example.org");
        self.links.for_user(purpose, &alice(), &email).expect("a link").token
    }
}

#[test]
fn a_link_is_for_one_purpose_one_account_and_one_state_of_it() {
    let fixture = fixture();
    let token = fixture.link(Purpose::ResetPassword);
    let link = fixture.other.read(&token, &[Purpose::ResetPassword]).expect("a link");
    assert_eq!(link.email.as_str(), "alice@example.org");
    assert!(link.is_of(&alice()));
    let other = UserId::parse("b1").expect("an id");
    for changed in [
        User { id: other, ..alice() },
        User { password: Some(Secret::new("$argon2id$2")), ..alice() },
        User { password: None, ..alice() },
        User { email: Some(login("a@example.org")), ..alice() },
        User { email: None, ..alice() },
    ] {
        assert!(!link.is_of(&changed), "{changed:?}");
    }
    for wrong in [&[Purpose::VerifyEmail, Purpose::ChangeEmail][..], &[Purpose::Invitation], &[]] {
        assert_eq!(fixture.links.read(&token, wrong), Err(IssueError::InvalidLink));
    }
}

#[test]
fn a_link_is_over_after_fifteen_minutes_and_not_good_before_it_was_made() {
    let fixture = fixture();
    let token = fixture.link(Purpose::VerifyEmail);
    let read = || fixture.links.read(&token, &[Purpose::VerifyEmail]).is_ok();
    for (seconds, is_good) in [(0, true), (899, true), (900, false)] {
        fixture.clock.set_wall(START.after(Duration::from_secs(seconds)));
        assert_eq!(read(), is_good, "after {seconds} s");
    }
    fixture.clock.set_wall(START.before(Duration::from_secs(61)));
    assert!(!read());
    fixture.clock.set_wall(START.before(Duration::from_secs(60)));
    assert!(read(), "clocks differ a little");
}

#[test]
fn nobody_makes_a_link_without_our_keys() {
    let (fixture, stranger) = (fixture(), ring());
    let token = fixture.link(Purpose::VerifyEmail);
    let text = token.expose_str().expect("text");
    let (message, signature) = text.rsplit_once('.').expect("three parts");
    let forged = Links { signers: stranger, ..fixture.links.clone() };
    let email = login("alice@example.org");
    let forged = forged.for_user(Purpose::VerifyEmail, &alice(), &email).expect("a link").token;
    let own = fixture.links.signers.signing(START).expect("a key");
    let exp = START.as_secs() + 600;
    let access = own.sign(&serde_json::json!({"sub": "a1", "exp": exp})).expect("a token");
    for bad in [
        forged.to_text(),
        format!("{message}x.{signature}"),
        format!("{message}.{}", signature.to_lowercase()),
        access,
        String::new(),
    ] {
        let read = fixture.links.read(&Secret::new(bad.as_str()), &[Purpose::VerifyEmail]);
        assert_eq!(read, Err(IssueError::InvalidLink), "{bad:.40}");
    }
}

#[tokio::test]
async fn of_two_processes_that_use_a_link_at_once_one_does() {
    let fixture = fixture();
    let token = fixture.link(Purpose::VerifyEmail);
    let link = fixture.links.read(&token, &[Purpose::VerifyEmail]).expect("a link");
    let uses = AtomicUsize::new(0);
    let effect = async || {
        tokio::task::yield_now().await;
        uses.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    let (one, other) = tokio::join!(
        fixture.links.use_once(&link, effect()),
        fixture.other.use_once(&link, effect())
    );
    assert_eq!([one.is_ok(), other.is_ok()].iter().filter(|is_ok| **is_ok).count(), 1);
    assert_eq!(uses.load(Ordering::Relaxed), 1);
    fixture.clock.set_wall(START.after(Duration::from_secs(899)));
    let late = fixture.other.use_once(&link, effect()).await;
    assert_eq!(late, Err(IssueError::InvalidLink), "to its end");
}

#[tokio::test]
async fn a_link_whose_effect_came_to_nothing_is_still_good() {
    let fixture = fixture();
    let token = fixture.link(Purpose::VerifyEmail);
    let link = fixture.links.read(&token, &[Purpose::VerifyEmail]).expect("a link");
    let fails = async { Err::<(), _>(IssueError::Busy) };
    assert_eq!(fixture.links.use_once(&link, fails).await, Err(IssueError::Busy));
    assert_eq!(fixture.other.use_once(&link, async { Ok(()) }).await, Ok(()));
}

#[test]
fn an_invitation_says_what_its_owner_may() {
    let fixture = fixture();
    let rights = |text: &str| vec![text.to_owned()];
    let week = Duration::from_secs(7 * 86_400);
    let email = login("bob@example.org");
    let made = fixture.links.invitation(&email, &rights("staff"), &rights("read"), week);
    let made = made.expect("an invitation");
    fixture.clock.set_wall(START.after(week.saturating_sub(Duration::from_secs(1))));
    let link = fixture.other.read(&made.token, &[Purpose::Invitation]).expect("a link");
    assert_eq!((link.roles.clone(), link.scopes.clone()), (rights("staff"), rights("read")));
    assert_eq!(link.email, email);
    assert_eq!(link.user(), Err(IssueError::InvalidLink));
    fixture.clock.set_wall(START.after(week));
    assert!(fixture.other.read(&made.token, &[Purpose::Invitation]).is_err());
}
