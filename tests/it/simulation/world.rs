//! What all processes of a run share, and those who watch them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use portcullis::{
    clock::Clock,
    opaque::MemoryOpaque,
    restrict::MemoryRestrict,
    session::{MemoryStore, Session, SessionId},
};

use tokio::sync::watch;

use super::{
    chance::Chance,
    judge::Judge,
    mutation::Mutation,
    news::Channel,
    time::{SimClock, Stamp},
    trace::Trace,
    weather::{Climate, Weather},
};

/// A world of so many processes and one store.
#[derive(Debug)]
pub struct World {
    pub clock: Arc<SimClock>,
    pub chance: Arc<Chance>,
    pub trace: Trace,
    pub weather: Weather,
    pub mutation: Mutation,
    pub channels: Vec<Channel>,
    pub kept: Kept,
    pub judge: Judge,
    /// By process: how many questions it has sent, and answers it has got.
    pub steps: Vec<watch::Sender<u64>>,
}

/// What the store keeps.
#[derive(Debug, Default)]
pub struct Kept {
    pub sessions: MemoryStore,
    pub tokens: MemoryOpaque,
    pub restrict: MemoryRestrict,
    /// What a mutation brings back.
    pub buried: Mutex<HashMap<SessionId, Session>>,
}

impl World {
    /// To be made on a runtime whose time is paused.
    pub fn new(
        chance: Arc<Chance>,
        processes: usize,
        climate: Climate,
        mutation: Mutation,
        is_read: bool,
        judge: Judge,
    ) -> Arc<Self> {
        Arc::new(Self {
            clock: Arc::new(SimClock::start()),
            chance,
            trace: Trace::new(is_read),
            weather: Weather::new(climate, processes),
            mutation,
            channels: (0..processes).map(|_| Channel::default()).collect(),
            kept: Kept::default(),
            judge,
            steps: (0..processes).map(|_| watch::Sender::new(0)).collect(),
        })
    }

    /// This moment.
    pub fn stamp(&self) -> Stamp {
        self.clock.monotonic()
    }

    /// Notes an event.
    pub fn note(&self, process: usize, what: &str, of: &str) {
        self.trace.note(self.stamp(), process, what, of);
    }

    /// A process asks the store, or hears from it.
    pub fn step(&self, process: usize) {
        self.steps[process].send_modify(|steps| *steps += 1);
    }

    /// Waits until a process has made so many more steps.
    pub async fn after_steps(&self, process: usize, steps: u64) {
        let mut made = self.steps[process].subscribe();
        let until = *made.borrow() + steps;
        made.wait_for(|made| *made >= until).await.expect("the world lasts");
    }

    /// A way that takes so long, and ends before or after others that end in the same millisecond.
    pub async fn travel(&self, takes: Duration) {
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        for _ in 0..self.chance.below(4) {
            tokio::task::yield_now().await;
        }
    }

    /// The store tells everybody of a changed record.
    pub fn changed(&self, key: &str) {
        for channel in &self.channels {
            if self.mutation == Mutation::ChangeIsLost && self.chance.percent(20) {
                continue;
            }
            channel.send(key.as_bytes(), self.chance.millis(self.weather.climate.news.clone()));
        }
    }
}
