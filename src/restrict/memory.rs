//! Restrictions in memory: for one process alone, gone with it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::arithmetic::{self, Rate, Strikes, forgotten_at, length, moment};
use super::name::bounded;
use super::store::{Claim, RestrictStore, Strike};
use crate::clock::UnixTime;
use crate::session::StoreError;

/// A store that forgets everything when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryRestrict {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    markers: HashMap<String, Marker>,
    /// When each is full.
    budgets: HashMap<String, u64>,
    /// With when they are forgotten.
    strikes: HashMap<String, (Strikes, u64)>,
}

#[derive(Debug)]
struct Marker {
    value: String,
    expires: u64,
}

impl MemoryRestrict {
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
impl RestrictStore for MemoryRestrict {
    async fn claim(
        &self,
        name: &str,
        value: &str,
        at: UnixTime,
        until: UnixTime,
    ) -> Result<Claim, StoreError> {
        let mut state = self.state();
        let name = bounded(name).into_owned();
        if let Some(held) = state.markers.get(&name).filter(|held| held.expires > moment(at)) {
            return Ok(Claim::Held(held.value.clone()));
        }
        state.markers.insert(name, Marker { value: value.to_owned(), expires: moment(until) });
        Ok(Claim::Won)
    }

    async fn swap(
        &self,
        name: &str,
        expected: &str,
        value: &str,
        until: UnixTime,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let held = state.markers.get_mut(&*bounded(name)).filter(|held| held.value == expected);
        let Some(held) = held else { return Ok(false) };
        *held = Marker { value: value.to_owned(), expires: moment(until) };
        Ok(true)
    }

    async fn read(&self, name: &str, at: UnixTime) -> Result<Option<String>, StoreError> {
        let state = self.state();
        let held = state.markers.get(&*bounded(name)).filter(|held| held.expires > moment(at));
        Ok(held.map(|held| held.value.clone()))
    }

    async fn clear(&self, name: &str) -> Result<bool, StoreError> {
        Ok(self.state().markers.remove(&*bounded(name)).is_some())
    }

    async fn spend(
        &self,
        name: &str,
        at: UnixTime,
        interval: Duration,
        burst: u32,
    ) -> Result<Option<Duration>, StoreError> {
        let mut state = self.state();
        let name = bounded(name);
        let kept = state.budgets.get(&*name).copied();
        let spent = arithmetic::spend(kept, moment(at), Rate::new(interval, burst));
        if let Some(full_at) = spent.full_at {
            state.budgets.insert(name.into_owned(), full_at);
        }
        Ok(spent.answer())
    }

    async fn refund(&self, name: &str, interval: Duration) -> Result<(), StoreError> {
        if let Some(full_at) = self.state().budgets.get_mut(&*bounded(name)) {
            *full_at = arithmetic::refund(*full_at, interval);
        }
        Ok(())
    }

    async fn strike(
        &self,
        name: &str,
        at: UnixTime,
        delays: &[Duration],
        memory: Duration,
    ) -> Result<Strike, StoreError> {
        let mut state = self.state();
        let name = bounded(name);
        let delays: Vec<u64> = delays.iter().copied().map(length).collect();
        let kept = state.strikes.get(&*name).map(|(strikes, _)| *strikes);
        let struck = arithmetic::strike(kept, moment(at), &delays, length(memory));
        if let Some(strikes) = struck.kept {
            let forgotten = forgotten_at(strikes, length(memory));
            state.strikes.insert(name.into_owned(), (strikes, forgotten));
        }
        Ok(struck.answer())
    }

    async fn uncount(&self, name: &str) -> Result<(), StoreError> {
        if let Some((strikes, _)) = self.state().strikes.get_mut(&*bounded(name)) {
            *strikes = arithmetic::uncount(*strikes);
        }
        Ok(())
    }

    async fn pardon(&self, name: &str) -> Result<(), StoreError> {
        self.state().strikes.remove(&*bounded(name));
        Ok(())
    }

    async fn purge(&self, before: UnixTime) -> Result<u64, StoreError> {
        let mut state = self.state();
        let before = moment(before);
        let size = |state: &State| state.markers.len() + state.budgets.len() + state.strikes.len();
        let present = size(&state);
        state.markers.retain(|_, held| held.expires > before);
        state.budgets.retain(|_, full_at| *full_at > before);
        state.strikes.retain(|_, (_, forgotten)| *forgotten > before);
        Ok((present - size(&state)) as u64)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}
