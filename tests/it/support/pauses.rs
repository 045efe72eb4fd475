//! How long this machine makes a thread wait that only wants to run: what a test of times has to allow for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(2);

/// Looks all the time how much later than asked for a thread wakes up.
pub struct Pauses {
    longest: Arc<AtomicU64>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pauses {
    /// Starts to look.
    pub fn start() -> Self {
        let (longest, stopped) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (record, stop) = (Arc::clone(&longest), Arc::clone(&stopped));
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Acquire) {
                let asleep = Instant::now();
                std::thread::sleep(EVERY);
                let late = asleep.elapsed().saturating_sub(EVERY);
                record.fetch_max(u64::try_from(late.as_micros()).expect("short"), Ordering::AcqRel);
            }
        });
        Self { longest, stopped, thread: Some(thread) }
    }

    /// The longest so far.
    pub fn longest(&self) -> Duration {
        Duration::from_micros(self.longest.load(Ordering::Acquire))
    }
}

impl Drop for Pauses {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
