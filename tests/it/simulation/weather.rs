//! What becomes of messages between the processes and their store, and which process stands still.

use std::{
    ops::RangeInclusive,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{chance::Chance, time::Stamp};

/// How the way to the store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sky {
    Clear,
    /// Everything takes long.
    Slow,
    /// Changes take long, nearly as long as anybody waits for them.
    Busy,
    /// Whoever arrives is sent away.
    Refusing,
    /// Whoever arrives waits until this is over, and is served then, also if he left.
    Hanging,
}

/// What may go wrong in a run.
#[derive(Clone, Debug)]
pub struct Climate {
    /// Milliseconds of each way, as long as nothing is wrong.
    pub way: RangeInclusive<u64>,
    /// Milliseconds of each way where the sky is slow.
    pub slow: RangeInclusive<u64>,
    /// Milliseconds of both ways of a change together where the sky is busy: nobody waits for more than two seconds.
    pub busy: RangeInclusive<u64>,
    /// Milliseconds that news take.
    pub news: RangeInclusive<u64>,
    /// Of a hundred messages so many are lost.
    pub lost: u64,
    /// How long what goes wrong lasts, in milliseconds.
    pub lasts: RangeInclusive<u64>,
    /// What goes wrong.
    pub ills: Vec<Ill>,
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ill {
    /// The store, for everybody.
    Store,
    /// One process' way to it.
    Way,
    /// The channel of news breaks, which is noticed later.
    Broken,
    /// The channel of news stands still, for longer or shorter than its heartbeat bears.
    Frozen,
    /// A process stands still.
    Stall,
}

/// A question's journey.
#[derive(Clone, Copy, Debug)]
pub struct Trip {
    pub there: Duration,
    pub back: Duration,
    pub lost: Option<Lost>,
}

/// Which message is lost, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The question; otherwise the answer.
    pub is_question: bool,
    /// Nobody says so; otherwise the connection is seen to break.
    pub is_silent: bool,
}

/// What is asked of the store that the gate waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Sessions,
    Tokens,
}

/// How one process does.
#[derive(Clone, Debug)]
struct Local {
    sky: Sky,
    stalled_until: Option<Instant>,
    /// When something last went wrong between it and the store.
    trouble: Option<Stamp>,
    /// Of each lane.
    reads: [Reads; 2],
}

/// How the reads of one lane went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// So many in a row got no answer.
    pub failed: u32,
    /// Since when.
    pub since: Stamp,
    /// When one was last answered.
    pub answered: Option<Stamp>,
}

/// The weather of a run.
#[derive(Debug)]
pub struct Weather {
    pub climate: Climate,
    locals: Mutex<Vec<Local>>,
    cleared: Notify,
    is_settled: AtomicBool,
}

impl Weather {
    /// Clear for so many processes.
    pub fn new(climate: Climate, processes: usize) -> Self {
        let reads = [Reads::default(); 2];
        let clear = Local { sky: Sky::Clear, stalled_until: None, trouble: None, reads };
        Self {
            climate,
            locals: Mutex::new(vec![clear; processes]),
            cleared: Notify::new(),
            is_settled: AtomicBool::new(false),
        }
    }

    fn with<T>(&self, process: usize, look: impl FnOnce(&mut Local) -> T) -> T {
        look(&mut self.locals.lock().expect("never poisoned")[process])
    }

    /// The journey of a question that sets out now.
    pub fn trip(&self, process: usize, is_read: bool, chance: &Chance) -> Trip {
        let (there, back) = match self.with(process, |local| local.sky) {
            Sky::Slow => {
                (chance.millis(self.climate.slow.clone()), chance.millis(self.climate.slow.clone()))
            }
            Sky::Busy if !is_read => {
                let both = chance.millis(self.climate.busy.clone());
                let there = both * u32::try_from(chance.below(101)).expect("a percentage") / 100;
                let there = Duration::from_millis(u64::try_from(there.as_millis()).expect("short"));
                (there, both - there)
            }
            _ => (chance.millis(self.climate.way.clone()), chance.millis(self.climate.way.clone())),
        };
        let is_lossy = self.climate.lost > 0 && !self.is_settled.load(Ordering::Relaxed);
        let lost = (is_lossy && chance.percent(self.climate.lost))
            .then(|| Lost { is_question: chance.percent(50), is_silent: chance.percent(50) });
        Trip { there, back, lost }
    }

    /// From now on nothing is lost any more.
    pub fn settle(&self) {
        self.is_settled.store(true, Ordering::Relaxed);
    }

    /// Waits for as long as nobody is served; then says whether this one is.
    pub async fn is_served(&self, process: usize) -> bool {
        loop {
            match self.with(process, |local| local.sky) {
                Sky::Clear | Sky::Slow | Sky::Busy => return true,
                Sky::Refusing => return false,
                Sky::Hanging => self.cleared.notified().await,
            }
        }
    }

    /// From now on the way of a process is like this.
    pub fn set(&self, process: usize, sky: Sky, now: Stamp) {
        self.with(process, |local| (local.sky, local.trouble) = (sky, Some(now)));
        self.cleared.notify_waiters();
    }

    /// Something went wrong.
    pub fn trouble(&self, process: usize, now: Stamp) {
        self.with(process, |local| local.trouble = local.trouble.max(Some(now)));
    }

    /// A process stands still until then.
    pub fn stall(&self, process: usize, until: Instant, until_stamp: Stamp) {
        self.with(process, |local| {
            local.stalled_until = local.stalled_until.max(Some(until));
            local.trouble = local.trouble.max(Some(until_stamp));
        });
    }

    /// Until when a process stands still, if it does.
    pub fn stalled_until(&self, process: usize) -> Option<Instant> {
        self.with(process, |local| local.stalled_until).filter(|until| *until > Instant::now())
    }

    /// A question was answered, or was not.
    pub fn ended(&self, process: usize, lane: Option<Lane>, asked: Stamp, now: Option<Stamp>) {
        self.with(process, |local| {
            let Some(lane) = lane else { return };
            let reads = &mut local.reads[lane as usize];
            match now {
                Some(now) => *reads = Reads { answered: Some(now), ..Reads::default() },
                None => {
                    reads.since = if reads.failed == 0 { asked } else { reads.since };
                    reads.failed += 1;
                }
            }
        });
    }

    /// How the reads of a lane went.
    pub fn reads(&self, process: usize, lane: Lane) -> Reads {
        self.with(process, |local| local.reads[lane as usize])
    }

    /// Since when nothing is wrong between a process and the store; `None`: something is now.
    pub fn calm_since(&self, process: usize) -> Option<Stamp> {
        let is_stalled = self.stalled_until(process).is_some();
        self.with(process, |local| match local.sky {
            Sky::Clear if !is_stalled => Some(local.trouble.unwrap_or_default()),
            _ => None,
        })
    }
}
