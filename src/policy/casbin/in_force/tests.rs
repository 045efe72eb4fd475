//! How long rules of the database are good, by a clock that is passed in.

use super::*;
use crate::clock::{Clock as _, ManualClock, UnixTime};
use crate::policy::casbin::BUILT_IN_MODEL;

const BOUND: Duration = Duration::from_secs(2);
/// Just less.
const ALMOST: Duration = Duration::from_millis(1_999);

fn rule(line: &str) -> PolicyRule {
    PolicyRule::parse(line).expect(line)
}

fn known(version: u64, lines: &[&str], clock: &ManualClock) -> KnownRules {
    let rules = lines.iter().map(|line| rule(line)).collect();
    KnownRules { version, rules, read: Moment::now(clock) }
}

/// Casbin with the built-in model, whose rules in the database are these.
fn with_stored(lines: &[&str], clock: &ManualClock) -> (CasbinInForce, Arc<StoredRules>) {
    let stored = Arc::new(StoredRules::new(BOUND));
    stored.set_known(known(1, lines, clock));
    let source = CasbinSource { model: BUILT_IN_MODEL.to_owned(), rules: None };
    (CasbinInForce::compile(source, Some(Arc::clone(&stored))).expect("good rules"), stored)
}

fn clock() -> ManualClock {
    ManualClock::at(UnixTime::from_secs(1_800_000_000))
}

fn may(casbin: &CasbinInForce, subject: &str, clock: &ManualClock) -> Result<bool, RulesUnknown> {
    casbin.allows(subject, &[""; 0], ("doc:1", "read"), Some(Moment::now(clock)))
}

#[test]
fn rules_that_nobody_looked_at_for_the_bound_decide_nothing() {
    let clock = clock();
    let (casbin, stored) = with_stored(&["p, alice, doc:*, read, allow"], &clock);
    assert_eq!((may(&casbin, "alice", &clock), may(&casbin, "bob", &clock)), (Ok(true), Ok(false)));
    clock.advance(ALMOST);
    assert_eq!(may(&casbin, "alice", &clock), Ok(true));
    let again = KnownRules {
        read: Moment::now(&clock),
        ..KnownRules::clone(&stored.known().expect("rules"))
    };
    clock.advance(Duration::from_millis(1));
    for subject in ["alice", "bob"] {
        assert_eq!(may(&casbin, subject, &clock), Err(RulesUnknown), "{subject}");
    }
    // Somebody looked before that, and says so late.
    assert!(casbin.confirm(&again));
    assert_eq!(may(&casbin, "alice", &clock), Ok(true));
    clock.advance(ALMOST);
    assert_eq!(may(&casbin, "alice", &clock), Err(RulesUnknown), "from when he looked");
}

#[test]
fn their_age_is_that_of_the_clock_that_ran_further() {
    let clock = clock();
    let (casbin, _) = with_stored(&["p, alice, doc:*, read, allow"], &clock);
    let allowed = |now| casbin.allows("alice", &[""; 0], ("doc:1", "read"), now);
    let (at, wall) = (clock.monotonic(), clock.now());
    for now in [
        Moment { at: at + BOUND, wall },
        Moment { at, wall: wall.after(BOUND) },
        Moment { at: at + BOUND, wall: UnixTime::EPOCH },
    ] {
        assert_eq!(allowed(Some(now)), Err(RulesUnknown), "{now:?}");
    }
    assert_eq!(allowed(Some(Moment { at, wall })), Ok(true));
    assert_eq!(allowed(None), Err(RulesUnknown), "nobody says what time it is");
}

#[test]
fn other_rules_are_not_confirmed_by_looking_at_them() {
    let clock = clock();
    let (casbin, _) = with_stored(&["p, alice, doc:*, read, allow"], &clock);
    clock.advance(BOUND / 2);
    // A later version; and after a database was restored, the same one.
    let others = [2, 1].map(|version| known(version, &["p, bob, doc:*, read, allow"], &clock));
    assert!(others.iter().all(|other| !casbin.confirm(other)));
    clock.advance(BOUND / 2);
    assert_eq!(may(&casbin, "alice", &clock), Err(RulesUnknown));
    let present = KnownRules { read: Moment::now(&clock), ..others[0].clone() };
    let compiled = Arc::new(casbin.source().compile(&present.rules).expect("good rules"));
    casbin.put(compiled, present.clone());
    assert_eq!((may(&casbin, "alice", &clock), may(&casbin, "bob", &clock)), (Ok(false), Ok(true)));
    casbin.withdraw();
    assert_eq!(may(&casbin, "bob", &clock), Err(RulesUnknown));
    assert!(!casbin.confirm(&present), "what is withdrawn comes back by `put` alone");
}

#[test]
fn rules_that_are_not_known_yet_decide_nothing_and_none_at_all_let_nobody() {
    let clock = clock();
    let source = CasbinSource { model: BUILT_IN_MODEL.to_owned(), rules: None };
    let stored = Arc::new(StoredRules::new(BOUND));
    let casbin =
        CasbinInForce::compile(source.clone(), Some(Arc::clone(&stored))).expect("a model");
    assert_eq!(may(&casbin, "alice", &clock), Err(RulesUnknown));
    let (casbin, _) = with_stored(&[], &clock);
    assert_eq!(may(&casbin, "alice", &clock), Ok(false));
    // Without rules everything would pass here that none denies.
    let model = BUILT_IN_MODEL.replace("some(where (p.eft == allow)) && ", "");
    let casbin = CasbinSource { model, rules: None }.compile(&[]).expect("a model");
    assert!(!casbin.allows("alice", &[""; 0], "doc:1", "read"));
}

#[test]
fn rules_of_the_file_and_of_the_database_hold_together() {
    let clock = clock();
    let stored = Arc::new(StoredRules::new(BOUND));
    stored.set_known(known(7, &["p, bob, doc:1, read, deny", "g, carol, reader"], &clock));
    let rules = Some("p, reader, doc:*, read, allow\ng, bob, reader\n".to_owned());
    let source = CasbinSource { model: BUILT_IN_MODEL.to_owned(), rules };
    let casbin = CasbinInForce::compile(source, Some(stored)).expect("good rules");
    for (subject, is_allowed) in [("bob", false), ("carol", true), ("dave", false)] {
        assert_eq!(may(&casbin, subject, &clock), Ok(is_allowed), "{subject}");
    }
    let bad = casbin.source().compile(&[rule("p, bob, doc:1, read")]).map(|_| ());
    let bad = bad.expect_err("a rule without an effect");
    assert_eq!(bad.to_string(), "p, bob, doc:1, read: \"p\" has 4 values, not 3");
}
