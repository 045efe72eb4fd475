//! A follower over a store that answers, is silent, or holds what no model understands.

use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::account::{RoleGroup, StoredRule};
use crate::clock::{ManualClock, UnixTime};

const BOUND: Duration = Duration::from_secs(2);

/// Rules in memory, and whether they can be read.
#[derive(Debug, Default)]
struct Rules {
    set: Mutex<RuleSet>,
    is_down: Mutex<bool>,
}

impl Rules {
    fn put(&self, lines: &[&str]) {
        let rules = lines.iter().map(|line| {
            let PolicyRule { kind, fields } = PolicyRule::parse(line).expect(line);
            StoredRule { kind, fields, created: UnixTime::EPOCH, created_by: String::new() }
        });
        let mut set = self.set.lock().expect("no panic");
        *set = RuleSet { version: set.version + 1, rules: rules.collect() };
    }

    fn set_down(&self, is_down: bool) {
        *self.is_down.lock().expect("no panic") = is_down;
    }

    fn read(&self) -> Result<RuleSet, AccountError> {
        if *self.is_down.lock().expect("no panic") {
            return Err(AccountError::TimedOut);
        }
        Ok(self.set.lock().expect("no panic").clone())
    }
}

#[async_trait]
impl RuleStore for Rules {
    async fn rules_version(&self) -> Result<u64, AccountError> {
        Ok(self.read()?.version)
    }

    async fn rules(&self) -> Result<RuleSet, AccountError> {
        self.read()
    }

    async fn add_rules(&self, _: &[StoredRule]) -> Result<u64, AccountError> {
        unreachable!("followers only read")
    }

    async fn remove_rules(&self, _: &[StoredRule]) -> Result<u64, AccountError> {
        unreachable!("followers only read")
    }

    async fn role_groups(&self) -> Result<Vec<RoleGroup>, AccountError> {
        unreachable!("followers only read")
    }
}

struct Fixture {
    rules: Arc<Rules>,
    clock: Arc<ManualClock>,
    casbin: SharedCasbin,
    follower: RulesFollower,
}

impl Fixture {
    async fn with(lines: &[&str]) -> Self {
        let (rules, clock) = (Arc::new(Rules::default()), ManualClock::at(UnixTime::from_secs(9)));
        rules.put(lines);
        let stored = Arc::new(StoredRules::new(BOUND));
        let casbin = SharedCasbin::default();
        casbin.store(Some(Arc::new(compiled(&stored))));
        let clock = Arc::new(clock);
        let parts = Following {
            store: rules.clone(),
            stored,
            casbin: Arc::clone(&casbin),
            changed: Arc::default(),
            clock: clock.clone(),
        };
        let follower = RulesFollower::start(parts, &mut Registry::default()).await;
        Self { rules, clock, casbin, follower }
    }

    /// The answer whether alice may read; `None` where nobody knows.
    fn may(&self) -> Option<bool> {
        let casbin = self.casbin.load_full().expect("Casbin");
        let now = Moment::now(self.clock.as_ref());
        casbin.allows("alice", &[""; 0], ("doc", "read"), Some(now)).ok()
    }

    fn is_current(&self) -> i64 {
        self.follower.metrics.is_current.get()
    }
}

/// Casbin of the files in force, as the policy is read.
fn compiled(stored: &Arc<StoredRules>) -> CasbinInForce {
    CasbinInForce::built_in(Arc::clone(stored))
}

const ALLOW: &str = "p, alice, doc, read, allow";
const DENY: &str = "p, alice, doc, read, deny";

#[tokio::test]
async fn a_change_is_in_force_at_the_next_look() {
    let mut fixture = Fixture::with(&[ALLOW]).await;
    assert_eq!((fixture.may(), fixture.is_current()), (Some(true), 1));
    fixture.rules.put(&[ALLOW, DENY]);
    assert_eq!(fixture.may(), Some(true), "nobody looked");
    fixture.follower.look().await;
    assert_eq!((fixture.may(), fixture.is_current()), (Some(false), 1));
    fixture.rules.put(&[ALLOW]);
    fixture.follower.look().await;
    assert_eq!(fixture.may(), Some(true));
    assert_eq!(fixture.follower.metrics.reloads.get(), 3);
}

#[tokio::test]
async fn a_store_that_is_down_ends_every_answer_once_the_bound_is_over() {
    let mut fixture = Fixture::with(&[ALLOW]).await;
    fixture.rules.set_down(true);
    for (advance, answer) in [(0, Some(true)), (1_999, Some(true)), (1, None), (60_000, None)] {
        fixture.clock.advance(Duration::from_millis(advance));
        fixture.follower.look().await;
        assert_eq!(fixture.may(), answer, "after {advance} ms more");
    }
    assert_eq!(fixture.is_current(), 0);
    // It comes back as one that was restored: the version is the same, the rules are others.
    let version = fixture.rules.set.lock().expect("no panic").version;
    fixture.rules.put(&[DENY]);
    fixture.rules.set.lock().expect("no panic").version = version;
    fixture.rules.set_down(false);
    fixture.follower.look().await;
    assert_eq!((fixture.may(), fixture.is_current()), (Some(false), 1));
}

#[tokio::test]
async fn a_rule_that_is_a_mistake_ends_every_answer_at_once_and_is_told_once() {
    let mut fixture = Fixture::with(&[ALLOW]).await;
    fixture.rules.put(&[ALLOW, "p, alice, doc, read, Deny"]);
    for _ in 0..3 {
        fixture.follower.look().await;
        assert_eq!((fixture.may(), fixture.is_current()), (None, 0));
    }
    assert_eq!(fixture.follower.metrics.failures.get(), 1);
    fixture.rules.put(&[ALLOW]);
    fixture.follower.look().await;
    assert_eq!((fixture.may(), fixture.is_current()), (Some(true), 1));
}

#[tokio::test]
async fn files_that_were_read_again_get_the_rules_at_the_next_look() {
    let mut fixture = Fixture::with(&[ALLOW]).await;
    // As if the files had been read before anything was known of the rules.
    let unknown = Arc::new(StoredRules::new(BOUND));
    fixture.casbin.store(Some(Arc::new(compiled(&unknown))));
    assert_eq!(fixture.may(), None);
    fixture.follower.look().await;
    assert_eq!(fixture.may(), Some(true));
}
