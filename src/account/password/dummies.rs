//! Dummy hashes, made beside a user's own hash, so that the time of a check tells nothing of the
//! user.
//!
//! Hashes of older parameters and of other systems take another time than new ones. While some are
//! in use, a check that made one hash would tell which users exist, and since when. So every check
//! does the same work, for any user: one hash of every cost that is known to be in use. At most one
//! of them is the user's own; the others are dummies, which no password has.

use std::sync::{PoisonError, RwLock};

use super::PasswordError;
use super::hash::{Memory, StoredHash};
use crate::secret::Secret;

/// The most costs that every check pays, that of new hashes among them. With more, a check of a
/// user with a rare one takes longer by its cost.
const MAX_COSTS: usize = 5;

/// One dummy of each cost in use.
#[derive(Debug)]
pub(super) struct Dummies(RwLock<Vec<StoredHash>>);

/// One hash that a check does.
pub(super) struct Work {
    pub(super) stored: StoredHash,
    /// True where it is the user's own; results of the others are ignored.
    pub(super) is_own: bool,
}

impl Dummies {
    /// A set with the cost of new hashes alone.
    pub(super) fn new(current: StoredHash) -> Self {
        Self(RwLock::new(vec![current]))
    }

    /// The work of a check. A cost that is new here is a part of every later check.
    pub(super) fn work(&self, own: Option<StoredHash>) -> Vec<Work> {
        if let Some(own) = &own {
            self.learn_cost(own);
        }
        let dummies = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let dummy = |stored: &StoredHash| Work { stored: stored.clone(), is_own: false };
        let mut work: Vec<Work> = dummies.iter().map(dummy).collect();
        if let Some(stored) = own {
            let own = Work { is_own: true, stored };
            match work.iter_mut().find(|work| work.stored.has_same_cost(&own.stored)) {
                Some(place) => *place = own,
                None => work.push(own),
            }
        }
        work
    }

    /// Records that hashes of this cost are in use.
    pub(super) fn learn_cost(&self, stored: &StoredHash) {
        let is_known = |known: &[StoredHash]| {
            known.len() >= MAX_COSTS || known.iter().any(|known| known.has_same_cost(stored))
        };
        if is_known(&self.0.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !is_known(&known) {
            known.push(stored.dummy());
        }
    }
}

/// Does all of the work with each form of the password, whatever the first results are. Returns the
/// form that has the user's own hash.
pub(super) fn compare(
    work: &[Work],
    forms: &[Secret],
    memory: &mut Memory,
) -> Result<Option<usize>, PasswordError> {
    let mut found = None;
    for work in work {
        for (nth, form) in forms.iter().enumerate() {
            let matches = work.stored.matches(form, memory)?;
            if matches && work.is_own {
                found = found.or(Some(nth));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::HashConfig;
    use super::super::hash::Hasher;
    use super::*;

    const NOW: HashConfig =
        HashConfig { memory_kib: 32, passes: 1, lanes: 1, threads: 1, queue: 1 };
    const FORMER: &str = "$argon2id$v=19$m=16,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaA";
    const BCRYPT: &str = "$2b$04$cNH0a/krC7MXXuEePJhU.uIOJgIcsIc8By2ahCComykkokdXWaQUK";

    fn read(hash: &str) -> StoredHash {
        Hasher::new(&NOW).expect("valid parameters").read(&Secret::new(hash)).expect("a hash")
    }

    fn alike(one: &[Work], other: &[Work]) -> bool {
        one.len() == other.len()
            && one.iter().zip(other).all(|(one, other)| one.stored.has_same_cost(&other.stored))
    }

    #[test]
    fn a_check_costs_the_same_whoever_is_named() {
        let dummies = Dummies::new(Hasher::new(&NOW).expect("valid parameters").dummy());
        assert_eq!(dummies.work(None).len(), 1);
        for hash in [FORMER, BCRYPT] {
            dummies.learn_cost(&read(hash));
        }
        let unknown = dummies.work(None);
        assert!(unknown.len() == 3 && unknown.iter().all(|work| !work.is_own));
        for hash in [FORMER, BCRYPT] {
            let known = dummies.work(Some(read(hash)));
            assert!(alike(&known, &unknown), "{hash}");
            assert_eq!(known.iter().filter(|work| work.is_own).count(), 1, "{hash}");
        }
    }

    #[test]
    fn a_cost_that_is_met_is_part_of_all_later_checks_within_bounds() {
        let dummies = Dummies::new(Hasher::new(&NOW).expect("valid parameters").dummy());
        let of_passes = |passes: usize| read(&FORMER.replace("t=1", &format!("t={passes}")));
        for passes in 1..=9 {
            let known = dummies.work(Some(of_passes(passes)));
            assert_eq!(known.iter().filter(|work| work.is_own).count(), 1);
            assert_eq!(known.len(), if passes < MAX_COSTS { passes + 1 } else { MAX_COSTS + 1 });
            assert_eq!(dummies.work(None).len(), (passes + 1).min(MAX_COSTS));
        }
    }

    #[test]
    fn a_dummy_is_nobodys_hash() {
        let mut memory = Memory::new();
        for (hash, password) in [(BCRYPT, "\u{dc}nder the sea"), (FORMER, "x")] {
            let work = [Work { stored: read(hash).dummy(), is_own: false }];
            let forms = [Secret::new(password)];
            assert_eq!(compare(&work, &forms, &mut memory), Ok(None));
            assert!(read(hash).has_same_cost(&work[0].stored), "{hash}");
        }
        let own = [Work { stored: read(BCRYPT), is_own: true }];
        let forms = [Secret::new("another"), Secret::new("\u{dc}nder the sea")];
        assert_eq!(compare(&own, &forms, &mut memory), Ok(Some(1)));
    }
}
