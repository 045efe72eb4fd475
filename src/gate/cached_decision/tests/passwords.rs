//! Names with passwords: hashed once, read again at the bound, and over when anything changed.

use std::net::IpAddr;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use super::*;
use crate::account::{AccountStore as _, Login, SqliteAccounts, User, UserState};
use crate::gate::basic::{PasswordRefused, PasswordVerifier};
use crate::secret::Secret;
use crate::store::sqlite::Options;

/// Checks passwords by a comparison with what is stored, counts, and can be made to wait or refuse.
#[derive(Debug)]
struct CountedPasswords {
    accounts: Arc<SqliteAccounts>,
    checks: AtomicU64,
    may_answer: Semaphore,
    refusal: Mutex<Option<PasswordRefused>>,
}

#[async_trait]
impl PasswordVerifier for CountedPasswords {
    async fn verify(
        &self,
        login: &str,
        password: &Secret,
        _: Option<IpAddr>,
    ) -> Result<User, PasswordRefused> {
        self.checks.fetch_add(1, Ordering::SeqCst);
        let _permit = self.may_answer.acquire().await.expect("never closed");
        if let Some(refusal) = *self.refusal.lock().expect("no panic under the lock") {
            return Err(refusal);
        }
        let login = Login::parse(login).map_err(|_| PasswordRefused::Wrong)?;
        let user = self.accounts.user_by_login(&login).await.expect("it answers");
        let is_right = |user: &User| {
            user.state == UserState::Active && user.password.as_ref() == Some(password)
        };
        user.filter(is_right).ok_or(PasswordRefused::Wrong)
    }
}

struct PasswordFixture {
    decisions: Arc<DecisionCache>,
    accounts: Arc<SqliteAccounts>,
    passwords: Arc<CountedPasswords>,
    clock: Arc<ManualClock>,
    _folder: TempDir,
}

impl PasswordFixture {
    /// A cache in front of `a` with the password `bc` and `ab` with the password `d`.
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("accounts.db");
        let accounts = SqliteAccounts::open(&file, Options::default()).await.expect("a file");
        let accounts = Arc::new(accounts);
        for (name, password) in [("a", "bc"), ("ab", "d")] {
            let (id, login) = (UserId::parse(name).unwrap(), Login::parse(name).unwrap());
            let user = User::new(id, login, UnixTime::from_secs(NOW));
            let user = User { password: Some(Secret::new(password)), ..user };
            accounts.add_user(&user).await.expect("a new user");
        }
        let passwords = Arc::new(CountedPasswords {
            accounts: accounts.clone(),
            checks: AtomicU64::new(0),
            may_answer: Semaphore::new(1_000),
            refusal: Mutex::default(),
        });
        let Fixture { decisions, clock, .. } = usual();
        let decisions = Arc::into_inner(decisions).expect("nobody else has it");
        let issuer = Arc::new(Issuer { name: "accounts".into(), ..Issuer::default() });
        let basic =
            BasicAccounts::new(accounts.clone(), passwords.clone(), issuer, &SystemRandom).unwrap();
        let decisions = Arc::new(decisions.with_basic(basic));
        Self { decisions, accounts, passwords, clock, _folder: folder }
    }

    fn ask(&self, text: &str) -> JoinHandle<Result<(), DenialCode>> {
        let (decisions, encoded) = (self.decisions.clone(), STANDARD.encode(text));
        tokio::spawn(async move {
            let outcome = decisions.decide_password(&encoded, None).await;
            outcome.map(|_| ()).map_err(|denial| denial.code)
        })
    }

    async fn outcome(&self, text: &str) -> Result<(), DenialCode> {
        self.ask(text).await.expect("no panic")
    }

    fn checks(&self) -> u64 {
        self.passwords.checks.load(Ordering::SeqCst)
    }

    fn refuse(&self, refusal: Option<PasswordRefused>) {
        *self.passwords.refusal.lock().expect("no panic under the lock") = refusal;
    }

    async fn set_password(&self, password: &str) {
        let now = self.clock.now();
        let set = self.accounts.set_password(&user_a(), &Secret::new(password), None, now).await;
        assert_eq!(set, Ok(true));
    }
}

/// The user `a`.
fn user_a() -> UserId {
    UserId::parse("a").unwrap()
}

const WRONG: Result<(), DenialCode> = Err(DenialCode::WrongPassword);

#[tokio::test]
async fn a_password_is_hashed_once_as_long_as_user_and_hash_are_the_same() {
    let fixture = PasswordFixture::new().await;
    for _ in 0..20 {
        assert_eq!(fixture.outcome("a:bc").await, Ok(()));
        fixture.clock.advance(STALENESS / 2);
    }
    assert_eq!(fixture.checks(), 1);
    let (hits, rechecks, misses) = fixture.decisions.metrics.looked_up();
    assert!(hits > 0 && rechecks > 5 && misses == 1, "{hits} {rechecks} {misses}");
    // A login that is spelt otherwise is checked by itself.
    assert_eq!(fixture.outcome("A:bc").await, Ok(()));
    assert_eq!(fixture.checks(), 2);
}

#[tokio::test]
async fn many_requests_at_once_hash_once() {
    let fixture = PasswordFixture::new().await;
    fixture.passwords.may_answer.forget_permits(1_000);
    let asked: Vec<_> = (0..100).map(|_| fixture.ask("a:bc")).collect();
    while fixture.checks() == 0 {
        tokio::task::yield_now().await;
    }
    fixture.passwords.may_answer.add_permits(1_000);
    for answer in asked {
        assert_eq!(answer.await.unwrap(), Ok(()));
    }
    assert_eq!(fixture.checks(), 1);
}

/// A check that takes longer than any caller waits would else begin anew with every request.
#[tokio::test]
async fn a_check_that_comes_too_late_for_its_caller_counts_for_the_next() {
    let fixture = PasswordFixture::new().await;
    fixture.passwords.may_answer.forget_permits(1_000);
    let too_slow = [fixture.ask("a:bc"), fixture.ask("a:bc")];
    while fixture.checks() == 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    for answer in too_slow {
        assert_eq!(answer.await.unwrap(), Err(DenialCode::StoreUnavailable));
    }
    let next = fixture.ask("a:bc");
    tokio::task::yield_now().await;
    tokio::time::resume();
    fixture.passwords.may_answer.add_permits(1_000);
    assert_eq!(next.await.unwrap(), Ok(()));
    assert_eq!(fixture.outcome("a:bc").await, Ok(()));
    assert_eq!(fixture.checks(), 1);
    assert_eq!(fixture.decisions.in_flight(), 0);
}

/// CVE-2026-71326: whoever asked at the same time for another name with another password was given
/// the first one's answer, where both together were the same text.
#[tokio::test]
async fn a_with_bc_and_ab_with_c_at_once_are_two_questions() {
    let fixture = PasswordFixture::new().await;
    fixture.passwords.may_answer.forget_permits(1_000);
    let (right, wrong) = (fixture.ask("a:bc"), fixture.ask("ab:c"));
    while fixture.checks() < 2 {
        tokio::task::yield_now().await;
    }
    fixture.passwords.may_answer.add_permits(1_000);
    assert_eq!((right.await.unwrap(), wrong.await.unwrap()), (Ok(()), WRONG));
    assert_eq!(fixture.outcome("ab:c").await, WRONG, "nor from the cache");
}

#[tokio::test]
async fn a_wrong_password_is_never_cached() {
    let fixture = PasswordFixture::new().await;
    for tries in 1..=3 {
        assert_eq!(fixture.outcome("a:wrong").await, WRONG);
        assert_eq!(fixture.checks(), tries);
    }
    fixture.refuse(Some(PasswordRefused::TooMany { retry_after: 7 }));
    let denied = fixture.decisions.decide_password(&STANDARD.encode("a:wrong"), None).await;
    let denied = denied.map(|_| ()).unwrap_err();
    assert_eq!((denied.code, denied.retry_after), (DenialCode::TooManyAttempts, Some(7)));
}

#[tokio::test]
async fn a_changed_password_is_over_at_the_bound_even_while_nothing_can_be_checked() {
    for refusal in [PasswordRefused::Busy, PasswordRefused::Unavailable] {
        let fixture = PasswordFixture::new().await;
        assert_eq!(fixture.outcome("a:bc").await, Ok(()));
        fixture.set_password("new").await;
        fixture.clock.advance(STALENESS);
        fixture.refuse(Some(refusal));
        let denied = fixture.outcome("a:bc").await.unwrap_err();
        assert_eq!(denied.class(), Class::Unavailable);
        assert_eq!(fixture.outcome("a:bc").await, Err(denied), "what was cached is forgotten");
        fixture.refuse(None);
        assert_eq!(fixture.outcome("a:bc").await, WRONG);
        assert_eq!(fixture.outcome("a:new").await, Ok(()));
    }
}

#[tokio::test]
async fn a_hash_that_was_made_anew_costs_one_more_check() {
    let fixture = PasswordFixture::new().await;
    assert_eq!(fixture.outcome("a:bc").await, Ok(()));
    fixture.set_password("other").await;
    fixture.set_password("bc").await;
    fixture.clock.advance(STALENESS);
    assert_eq!(fixture.outcome("a:bc").await, Ok(()));
    assert_eq!(fixture.checks(), 1, "it is the same hash again");
}

#[tokio::test]
async fn a_user_who_is_locked_renamed_or_gone_is_refused_at_the_bound() {
    for change in 0..3 {
        let fixture = PasswordFixture::new().await;
        assert_eq!(fixture.outcome("a:bc").await, Ok(()));
        let (id, now) = (user_a(), fixture.clock.now());
        match change {
            0 => drop(fixture.accounts.set_state(&id, UserState::Locked, now).await.unwrap()),
            1 => drop(fixture.accounts.delete_user(&id).await.unwrap()),
            _ => {
                let user = fixture.accounts.user(&id).await.unwrap().expect("a user");
                let read = user.updated;
                let user = User { username: Login::parse("renamed").unwrap(), ..user };
                assert!(fixture.accounts.change_user(&user, read).await.unwrap());
            }
        }
        assert_eq!(fixture.outcome("a:bc").await, Ok(()), "within the bound");
        fixture.clock.advance(STALENESS);
        assert_eq!(fixture.outcome("a:bc").await, WRONG, "{change}");
    }
}
