//! Leases and limits in memory: for one process alone, gone with it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::arithmetic::{self, Failures, Rate, forgotten_at, length, moment};
use super::name::bounded;
use super::store::{Attempt, Lease, LimitStore};
use crate::clock::UnixTime;
use crate::store::StoreError;

/// A store that forgets everything when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryLimitStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    leases: HashMap<String, LeaseRecord>,
    /// When each is full.
    buckets: HashMap<String, u64>,
    /// With when they are forgotten.
    failures: HashMap<String, (Failures, u64)>,
}

#[derive(Debug)]
struct LeaseRecord {
    value: String,
    expires: u64,
}

impl MemoryLimitStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No caller's code runs under the lock, so a poisoned state is still a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl LimitStore for MemoryLimitStore {
    async fn acquire_lease(
        &self,
        name: &str,
        value: &str,
        at: UnixTime,
        until: UnixTime,
    ) -> Result<Lease, StoreError> {
        let mut state = self.state();
        let name = bounded(name).into_owned();
        if let Some(held) = state.leases.get(&name).filter(|held| held.expires > moment(at)) {
            return Ok(Lease::Held(held.value.clone()));
        }
        state.leases.insert(name, LeaseRecord { value: value.to_owned(), expires: moment(until) });
        Ok(Lease::Acquired)
    }

    async fn replace_lease(
        &self,
        name: &str,
        expected: &str,
        value: &str,
        until: UnixTime,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let held = state.leases.get_mut(&*bounded(name)).filter(|held| held.value == expected);
        let Some(held) = held else { return Ok(false) };
        *held = LeaseRecord { value: value.to_owned(), expires: moment(until) };
        Ok(true)
    }

    async fn read_lease(&self, name: &str, at: UnixTime) -> Result<Option<String>, StoreError> {
        let state = self.state();
        let held = state.leases.get(&*bounded(name)).filter(|held| held.expires > moment(at));
        Ok(held.map(|held| held.value.clone()))
    }

    async fn release_lease(&self, name: &str) -> Result<bool, StoreError> {
        Ok(self.state().leases.remove(&*bounded(name)).is_some())
    }

    async fn take(
        &self,
        name: &str,
        at: UnixTime,
        interval: Duration,
        burst: u32,
    ) -> Result<Option<Duration>, StoreError> {
        let mut state = self.state();
        let name = bounded(name);
        let kept = state.buckets.get(&*name).copied();
        let decision = arithmetic::take(kept, moment(at), Rate::new(interval, burst));
        if let Some(full_at) = decision.full_at {
            state.buckets.insert(name.into_owned(), full_at);
        }
        Ok(decision.answer())
    }

    async fn refund(&self, name: &str, interval: Duration) -> Result<(), StoreError> {
        if let Some(full_at) = self.state().buckets.get_mut(&*bounded(name)) {
            *full_at = arithmetic::refund(*full_at, interval);
        }
        Ok(())
    }

    async fn record_failure(
        &self,
        name: &str,
        at: UnixTime,
        delays: &[Duration],
        memory: Duration,
    ) -> Result<Attempt, StoreError> {
        let mut state = self.state();
        let name = bounded(name);
        let delays: Vec<u64> = delays.iter().copied().map(length).collect();
        let kept = state.failures.get(&*name).map(|(failures, _)| *failures);
        let decision = arithmetic::record_failure(kept, moment(at), &delays, length(memory));
        if let Some(failures) = decision.kept {
            let forgotten = forgotten_at(failures, length(memory));
            state.failures.insert(name.into_owned(), (failures, forgotten));
        }
        Ok(decision.answer())
    }

    async fn undo_failure(&self, name: &str) -> Result<(), StoreError> {
        if let Some((failures, _)) = self.state().failures.get_mut(&*bounded(name)) {
            *failures = arithmetic::undo_failure(*failures);
        }
        Ok(())
    }

    async fn reset_failures(&self, name: &str) -> Result<(), StoreError> {
        self.state().failures.remove(&*bounded(name));
        Ok(())
    }

    async fn purge(&self, before: UnixTime) -> Result<u64, StoreError> {
        let mut state = self.state();
        let before = moment(before);
        let size = |state: &State| state.leases.len() + state.buckets.len() + state.failures.len();
        let present = size(&state);
        state.leases.retain(|_, held| held.expires > before);
        state.buckets.retain(|_, full_at| *full_at > before);
        state.failures.retain(|_, (_, forgotten)| *forgotten > before);
        Ok((present - size(&state)) as u64)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}
