//! Users over an SQLite file and sessions in memory: what a change does, and to whose sessions.

use tempfile::TempDir;

use super::*;
use crate::account::SqliteAccounts;
use crate::account::password::HashConfig;
use crate::clock::{ManualClock, UnixTime};
use crate::issuer::throttle::ThrottleConfig;
use crate::limit::Limits;
use crate::secret::SystemRandom;
use crate::session::{MemoryStore, Session, SessionId, SessionPolicy};
use crate::store::records::{MemoryRecordStore, Records};
use crate::store::{StoreKind, StoreMetrics, sqlite};
use crate::telemetry::audit::AuditLog;

const GOOD: &str = "curiouser and curiouser";
const START: UnixTime = UnixTime::from_secs(1_800_000_000);

struct Fixture {
    users: Users,
    clock: Arc<ManualClock>,
    _folder: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("accounts.db");
        let accounts = SqliteAccounts::open(&file, sqlite::Options::default()).await;
        let clock = Arc::new(ManualClock::at(START));
        let metrics = StoreMetrics::unregistered;
        let policy = SessionPolicy::default();
        let store = Arc::new(MemoryStore::new());
        let kind = metrics(StoreKind::Sessions);
        let sessions = Sessions::new(store, policy, clock.clone(), kind);
        let (records, kind) = (Arc::new(MemoryRecordStore::new()), metrics(StoreKind::Limits));
        let records = Records::new(records, policy.timeout, clock.clone(), kind);
        let limits = ThrottleConfig {
            enabled: true,
            per_minute: 600,
            lock_tries: 3,
            lock_time: Duration::from_secs(900),
        };
        let hashing = HashConfig { memory_kib: 16, passes: 1, lanes: 1, threads: 1, queue: 64 };
        let random = Arc::new(SystemRandom);
        let users = Users::new(UserDependencies {
            accounts: Arc::new(accounts.expect("accounts")),
            sessions: Arc::new(sessions),
            throttle: Throttle::new(Limits::new(records), limits, clock.clone()),
            passwords: Arc::new(Passwords::new(hashing, random.clone()).expect("passwords")),
            rules: PasswordRules::default(),
            audit: Audit::new(AuditLog::off(), clock.clone()),
            metrics: IssuerMetrics::default(),
            clock: clock.clone(),
            random,
        });
        Self { users, clock, _folder: folder }
    }

    async fn alice(&self) -> User {
        let draft = self.users.draft(login("alice")).expect("a draft");
        let alice = User {
            email: Some(login("alice@example.org")),
            state: UserState::Unverified,
            roles: vec!["staff".to_owned(), "editor".to_owned()],
            scopes: vec!["read".to_owned()],
            ..draft
        };
        let password = Secret::new(GOOD);
        let password = Some((&password, PolicyCheck::Enforced));
        self.users.add(alice, password, Actor::Command).await.expect("a new user")
    }

    /// Opens a session, and says its name.
    async fn session(&self, user: &User) -> SessionId {
        let id = SessionId::generate(&SystemRandom).expect("an id");
        let expires = self.clock.now().after(Duration::from_secs(3_600));
        let session = Session::new(id.clone(), user.id.clone(), self.clock.now(), expires);
        self.users.on.sessions.put(&session).await.expect("a session");
        id
    }

    async fn lives(&self, user: &User, session: &SessionId) -> bool {
        self.users.on.sessions.live(&user.id, session).await.is_ok()
    }
}

fn login(text: &str) -> Login {
    Login::parse(text).expect("a login")
}

#[tokio::test]
async fn a_right_less_ends_the_sessions_and_a_right_more_does_not() {
    let fixture = Fixture::new().await;
    let alice = fixture.alice().await;
    let session = fixture.session(&alice).await;
    let more = |user: &mut User| {
        user.roles.push("admin".to_owned());
        user.full_name = Some("Alice".to_owned());
        user.claims.insert("plan".to_owned(), "paid".into());
        Ok(())
    };
    let changed = fixture.users.change(&alice.id, Actor::Command, more).await.expect("changed");
    assert_eq!((changed.ended, changed.user.roles.len()), (0, 3));
    assert!(fixture.lives(&alice, &session).await);
    for take in [
        (|user: &mut User| user.roles.retain(|role| role != "staff")) as fn(&mut User),
        |user| {
            user.scopes.clear();
        },
        |user| {
            user.claims.insert("plan".to_owned(), "free".into());
        },
        |user| {
            user.claims.clear();
        },
    ] {
        let session = fixture.session(&alice).await;
        let less = move |user: &mut User| {
            take(user);
            Ok(())
        };
        let changed = fixture.users.change(&alice.id, Actor::Command, less).await.expect("it");
        assert!(changed.ended > 0);
        assert!(!fixture.lives(&alice, &session).await);
    }
}

#[tokio::test]
async fn a_change_reaches_neither_id_nor_password_nor_state() {
    let fixture = Fixture::new().await;
    let alice = fixture.alice().await;
    let reach = |user: &mut User| {
        user.id = UserId::parse("other").expect("an id");
        user.password = None;
        user.state = UserState::Active;
        user.properties.insert("theme".to_owned(), "dark".into());
        Ok(())
    };
    let changed = fixture.users.change(&alice.id, Actor::Command, reach).await.expect("changed");
    let stored = fixture.users.get(&alice.id).await.expect("alice");
    assert_eq!(changed.user, stored);
    assert_eq!((stored.state, stored.password), (UserState::Unverified, alice.password));
    assert_eq!(stored.properties["theme"], "dark");
    assert!(stored.updated > alice.updated, "within the same millisecond too");
}

#[tokio::test]
async fn a_lock_keeps_the_roles_and_an_unlock_lets_in_whoever_was_locked_out() {
    let fixture = Fixture::new().await;
    let alice = fixture.alice().await;
    fixture.users.mark_verified(&alice.id, None, Actor::Command).await.expect("verified");
    let session = fixture.session(&alice).await;
    assert_eq!(fixture.users.lock(&alice.id, Actor::Command).await, Ok(1));
    assert!(!fixture.lives(&alice, &session).await);
    let locked = fixture.users.get(&alice.id).await.expect("alice");
    assert_eq!((locked.state, &locked.roles), (UserState::Locked, &alice.roles));
    let (wrong, caller) = (Secret::new("wrong"), Caller::default());
    let confirm = async || fixture.users.confirm(&alice.id, &wrong, &caller).await;
    for _ in 0..3 {
        assert_eq!(confirm().await, Err(IssueError::InvalidGrant));
    }
    assert!(matches!(confirm().await, Err(IssueError::SlowDown(_))));
    assert_eq!(fixture.users.unlock(&alice.id, Actor::Command).await, Ok(()));
    assert_eq!(confirm().await, Err(IssueError::InvalidGrant), "nothing is counted any more");
    let unlocked = fixture.users.get(&alice.id).await.expect("alice");
    assert_eq!((unlocked.state, unlocked.roles), (UserState::Active, alice.roles));
}

#[tokio::test]
async fn no_lock_and_unlock_stand_in_for_the_mail() {
    let fixture = Fixture::new().await;
    let alice = fixture.alice().await;
    let session = fixture.session(&alice).await;
    assert_eq!(fixture.users.lock(&alice.id, Actor::Command).await, Ok(1));
    assert!(!fixture.lives(&alice, &session).await);
    let unlocked = fixture.users.unlock(&alice.id, Actor::Command).await;
    assert!(matches!(unlocked, Err(IssueError::InvalidRequest(_))), "{unlocked:?}");
    let stored = fixture.users.get(&alice.id).await.expect("alice");
    assert_eq!(stored.state, UserState::Unverified);
    let nobody = UserId::parse("nobody").expect("an id");
    assert_eq!(fixture.users.lock(&nobody, Actor::Command).await, Err(IssueError::NotFound));
}

#[tokio::test]
async fn who_changes_his_password_stays_in_and_all_others_are_out() {
    let fixture = Fixture::new().await;
    let alice = fixture.alice().await;
    let (own, other) = (fixture.session(&alice).await, fixture.session(&alice).await);
    let (old, new) = (Secret::new(GOOD), Secret::new("off with the gryphon's teapot"));
    let caller = Caller::default();
    let change = async |present: &Secret, new: &Secret| {
        fixture.users.change_password(&alice.id, Some(&own), present, new, &caller).await
    };
    assert_eq!(change(&new, &new).await, Err(IssueError::InvalidGrant));
    let weak = change(&old, &Secret::new("alice.liddell")).await;
    assert!(matches!(weak, Err(IssueError::WeakPassword(_))), "{weak:?}");
    assert!(fixture.lives(&alice, &other).await, "nothing was changed so far");
    assert_eq!(change(&old, &new).await, Ok(1));
    assert!(fixture.lives(&alice, &own).await && !fixture.lives(&alice, &other).await);
    assert_eq!(change(&old, &new).await, Err(IssueError::InvalidGrant), "it is the old one now");
    let set = fixture.users.set_password(&alice.id, &old, PolicyCheck::Enforced, Actor::Command);
    assert_eq!(set.await, Ok(1), "another's hand ends all");
    assert!(!fixture.lives(&alice, &own).await);
}

#[tokio::test]
async fn only_the_e_mail_that_was_shown_is_verified_and_lets_in_who_signed_up() {
    let fixture = Fixture::new().await;
    let alice = fixture.alice().await;
    let other = login("eve@example.org");
    let verify = async |email: &Login| {
        fixture.users.mark_verified(&alice.id, Some(email), Actor::Command).await
    };
    assert_eq!(verify(&other).await, Err(IssueError::NotFound));
    assert!(!fixture.users.get(&alice.id).await.expect("alice").email_verified);
    let verified = verify(&login("ALICE@example.org")).await.expect("verified");
    assert_eq!((verified.state, verified.email_verified), (UserState::Active, true));
    fixture.users.lock(&alice.id, Actor::Command).await.expect("locked");
    let verified = verify(&login("alice@example.org")).await.expect("verified");
    assert_eq!(verified.state, UserState::Locked, "no link unlocks");
}

#[tokio::test]
async fn a_deleted_user_is_gone_with_its_sessions() {
    let fixture = Fixture::new().await;
    let alice = fixture.alice().await;
    let session = fixture.session(&alice).await;
    assert_eq!(fixture.users.delete(&alice.id, Actor::Command).await, Ok(1));
    assert!(!fixture.lives(&alice, &session).await);
    assert_eq!(fixture.users.get(&alice.id).await, Err(IssueError::NotFound));
    assert_eq!(fixture.users.delete(&alice.id, Actor::Command).await, Err(IssueError::NotFound));
}
