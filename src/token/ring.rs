//! The keys of one issuer, swapped whole while requests read them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Notify;

use super::algorithm::Algorithm;
use super::key::{KeyId, VerifyingKey};
use crate::clock::{Clock, UnixTime};

/// The most keys that are tried for one token, so that a token costs a bounded number of signature
/// checks, whatever names its issuer gives to its keys.
pub const MAX_CANDIDATES: usize = 8;

/// The time until which keys may be used, by the clock that runs further: nobody can set the
/// monotonic one back, and the wall clock goes on while the host sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsableUntil {
    monotonic: Duration,
    wall: UnixTime,
}

impl UsableUntil {
    /// No bound: the keys are our own.
    pub const FOR_EVER: Self =
        Self { monotonic: Duration::MAX, wall: UnixTime::from_millis(u64::MAX) };

    /// This long from now on.
    pub fn after(age: Duration, clock: &dyn Clock) -> Self {
        Self { monotonic: clock.monotonic().saturating_add(age), wall: clock.now().after(age) }
    }

    fn monotonic_millis(self) -> u64 {
        u64::try_from(self.monotonic.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A set of keys that is always complete: a refresh builds the next set apart and swaps it in.
#[derive(Debug, Default)]
pub struct KeyRing {
    keys: ArcSwap<Vec<VerifyingKey>>,
    /// A number that grows with every change of the keys; a check by older ones is repeated.
    generation: AtomicU64,
    /// The time until which the keys may be used, in milliseconds of the monotonic clock, and of
    /// the wall clock.
    usable_until: (AtomicU64, AtomicU64),
    /// Notified when a token names a key that is not here.
    refresh: Notify,
}

impl KeyRing {
    /// A ring that never changes, for keys from the configuration.
    pub fn fixed(keys: Vec<VerifyingKey>) -> Self {
        let ring = Self::unfetched();
        ring.replace(keys, UsableUntil::FOR_EVER);
        ring
    }

    /// A ring without keys, which is not usable until some have been fetched.
    pub fn unfetched() -> Self {
        Self::default()
    }

    /// Returns whether the keys were read, even if there are none, and are not older than their
    /// issuer's bound.
    pub fn is_usable(&self, now: UnixTime, monotonic: Duration) -> bool {
        let (until, wall) = &self.usable_until;
        monotonic.as_millis() < u128::from(until.load(Ordering::Acquire))
            && now.as_millis() < wall.load(Ordering::Acquire)
    }

    /// The generation of the present keys.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The keys that may have signed a token with this header, of those bound to its algorithm. For
    /// a token that names its key: the keys of that very name, and if there are none, those without
    /// a name. For a token that names none: any key.
    pub fn candidates<'n>(&self, algorithm: Algorithm, key_id: Option<&'n str>) -> Candidates<'n> {
        let keys = self.keys.load();
        let is_of_that_name = |key: &VerifyingKey| {
            key.algorithm() == algorithm && key.id().map(KeyId::as_str) == key_id
        };
        let wanted = match key_id {
            None => Wanted::Any,
            Some(name) if keys.iter().any(is_of_that_name) => Wanted::Named(name),
            Some(_) => Wanted::Unnamed,
        };
        Candidates { keys, algorithm, wanted }
    }

    /// Swaps in fetched keys, usable until `until`. An empty set is allowed: its issuer withdrew
    /// its keys. The generation grows only where something changed, so that a refresh without a
    /// change flushes no cache.
    pub fn replace(&self, keys: Vec<VerifyingKey>, until: UsableUntil) {
        let present = self.keys.load();
        let unchanged = present.len() == keys.len()
            && present.iter().all(|mine| keys.iter().any(|theirs| mine.same_as(theirs)))
            && keys.iter().all(|theirs| present.iter().any(|mine| mine.same_as(theirs)));
        if !unchanged {
            self.keys.store(Arc::new(keys));
            self.generation.fetch_add(1, Ordering::Release);
        }
        self.usable_until.0.store(until.monotonic_millis(), Ordering::Release);
        self.usable_until.1.store(until.wall.as_millis(), Ordering::Release);
    }

    /// Tells the fetching task that a token named an unknown key. Cheap, and only a hint: the task
    /// decides when it fetches next.
    pub fn request_refresh(&self) {
        self.refresh.notify_one();
    }

    /// Completes when an unknown key has been named since the last time.
    pub async fn refresh_requested(&self) {
        self.refresh.notified().await;
    }
}

/// Keys that may have signed a token, of the set that was there when they were looked up.
pub struct Candidates<'n> {
    keys: Guard<Arc<Vec<VerifyingKey>>>,
    algorithm: Algorithm,
    wanted: Wanted<'n>,
}

/// The names of the keys that are tried.
enum Wanted<'n> {
    Any,
    Named(&'n str),
    Unnamed,
}

impl Candidates<'_> {
    /// The keys, of which there are at most [`MAX_CANDIDATES`].
    pub fn iter(&self) -> impl Iterator<Item = &VerifyingKey> {
        let is_wanted = |key: &&VerifyingKey| {
            key.algorithm() == self.algorithm
                && match self.wanted {
                    Wanted::Any => true,
                    Wanted::Named(name) => key.id().is_some_and(|id| id.as_str() == name),
                    Wanted::Unnamed => key.id().is_none(),
                }
        };
        self.keys.iter().filter(is_wanted).take(MAX_CANDIDATES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::secret::{Secret, SystemRandom};
    use crate::token::{SigningKey, key};

    fn key(name: Option<&str>, algorithm: Algorithm) -> VerifyingKey {
        let secret = Secret::new(vec![7; 64]);
        VerifyingKey::from_secret(name.map(KeyId::new), algorithm, &secret).unwrap()
    }

    #[test]
    fn keys_are_found_by_name_and_algorithm_and_those_without_a_name_only_where_none_is_named() {
        let unnamed = vec![key(None, Algorithm::HS384); 2];
        let named = [
            key(Some("a"), Algorithm::HS256),
            key(Some("a"), Algorithm::HS512),
            key(Some("b"), Algorithm::HS256),
            key(Some("a"), Algorithm::HS384),
        ];
        let ring = KeyRing::fixed([unnamed, named.to_vec()].concat());
        for (algorithm, name, found) in [
            (Algorithm::HS256, Some("a"), &[true][..]),
            (Algorithm::HS512, Some("a"), &[true]),
            (Algorithm::HS512, Some("b"), &[]),
            (Algorithm::HS256, Some("c"), &[]),
            (Algorithm::HS256, None, &[true, true]),
            (Algorithm::HS384, Some("a"), &[true]),
            (Algorithm::HS384, Some("c"), &[false, false]),
            (Algorithm::RS256, Some("a"), &[]),
        ] {
            let candidates = ring.candidates(algorithm, name);
            let are_named: Vec<_> = candidates.iter().map(|key| key.id().is_some()).collect();
            assert_eq!(are_named, found, "{algorithm:?} {name:?}");
        }
    }

    #[test]
    fn the_number_of_candidates_is_bounded() {
        let ring = KeyRing::fixed(vec![key(None, Algorithm::HS256); 50]);
        assert_eq!(ring.candidates(Algorithm::HS256, None).iter().count(), MAX_CANDIDATES);
    }

    #[test]
    fn fetched_keys_are_usable_until_their_bound() {
        let clock = ManualClock::at(UnixTime::from_secs(1_000));
        let ring = KeyRing::unfetched();
        let is_usable = || ring.is_usable(clock.now(), clock.monotonic());
        assert!(!is_usable());
        let keys = vec![key(None, Algorithm::HS256)];
        ring.replace(keys.clone(), UsableUntil::after(Duration::from_secs(10), &clock));
        clock.advance(Duration::from_secs(9));
        assert!(is_usable());
        clock.advance(Duration::from_secs(1));
        assert!(!is_usable());
        assert_eq!(ring.generation(), 1);
        ring.replace(keys, UsableUntil::FOR_EVER);
        clock.advance(Duration::from_secs(1 << 40));
        assert!(is_usable());
    }

    #[test]
    fn keys_age_by_the_clock_that_ran_further() {
        let ring = KeyRing::unfetched();
        let clock = ManualClock::at(UnixTime::from_secs(1_000));
        ring.replace(Vec::new(), UsableUntil::after(Duration::from_secs(10), &clock));
        let is_usable = || ring.is_usable(clock.now(), clock.monotonic());
        // The host slept: the monotonic clock stood still.
        clock.set_wall(UnixTime::from_secs(1_010));
        assert!(!is_usable());
        // Somebody set the clock back.
        clock.set_wall(UnixTime::from_secs(500));
        assert!(is_usable());
        clock.advance(Duration::from_secs(10));
        assert!(!is_usable());
    }

    #[test]
    fn an_empty_set_is_a_set() {
        let ring = KeyRing::unfetched();
        ring.replace(vec![key(None, Algorithm::HS256)], UsableUntil::FOR_EVER);
        let before = ring.generation();
        ring.replace(Vec::new(), UsableUntil::FOR_EVER);
        assert!(ring.is_usable(UnixTime::EPOCH, Duration::ZERO) && ring.generation() > before);
        assert_eq!(ring.candidates(Algorithm::HS256, None).iter().count(), 0);
    }

    #[test]
    fn only_a_change_of_the_keys_makes_a_new_generation() {
        let new = || {
            let pem = key::generate(Algorithm::EdDSA, &SystemRandom).unwrap();
            let key = SigningKey::from_private_pem(Algorithm::EdDSA, &pem).unwrap();
            key.verifying().clone()
        };
        let (a, b) = (new(), new());
        let ring = KeyRing::unfetched();
        for (keys, generation) in [
            (vec![a.clone(), b.clone()], 1),
            (vec![b.clone(), a.clone()], 1),
            (vec![a.clone(), a.clone()], 2),
            (vec![a.clone(), b.clone()], 3),
            (vec![a.clone()], 4),
        ] {
            ring.replace(keys, UsableUntil::FOR_EVER);
            assert_eq!(ring.generation(), generation);
        }
    }
}
