//! A client that asks a gate again and again, and remembers the moment of each request.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::http::{Client, bearer, request};

/// The pause between an answer and the next question: long enough to leave a busy machine some of
/// its time, short beside every bound that is measured.
const PAUSE: Duration = Duration::from_millis(2);

/// One request and its answer.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// Before its first byte was written.
    pub sent: Instant,
    /// The status of the answer.
    pub status: u16,
    /// From `sent` until the answer was read.
    pub took: Duration,
}

/// A client that asks on one connection, in a thread of its own, until it is stopped.
pub struct Prober {
    answers: Arc<Mutex<Vec<Answer>>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Prober {
    /// Starts asking whether `token` may pass.
    pub fn start(gate: SocketAddr, token: &str) -> Self {
        Self::asking(gate, request("GET", "/validate_request", &[&bearer(token)], b""))
    }

    /// Starts asking this question.
    pub fn asking(gate: SocketAddr, question: Vec<u8>) -> Self {
        let (answers, stopped) = (Arc::<Mutex<Vec<Answer>>>::default(), Arc::default());
        let (record, stop) = (Arc::clone(&answers), Arc::<AtomicBool>::clone(&stopped));
        let thread = std::thread::spawn(move || {
            let mut client = Client::connect(gate);
            while !stop.load(Ordering::Acquire) {
                let sent = Instant::now();
                let status = client.exchange(&question).status;
                let answer = Answer { sent, status, took: sent.elapsed() };
                record.lock().expect("no panic under the lock").push(answer);
                std::thread::sleep(PAUSE);
            }
        });
        Self { answers, stopped, thread: Some(thread) }
    }

    /// The number of answers so far.
    pub fn answered(&self) -> usize {
        self.answers.lock().expect("no panic under the lock").len()
    }

    /// The moment at which the last request was sent that has its answer.
    ///
    /// # Panics
    ///
    /// Before the first answer.
    pub fn last_sent(&self) -> Instant {
        self.last().expect("an answer").sent
    }

    /// The last answer so far.
    pub fn last(&self) -> Option<Answer> {
        self.answers.lock().expect("no panic under the lock").last().copied()
    }

    /// All answers, in the order of their questions.
    pub fn stop(mut self) -> Vec<Answer> {
        self.stopped.store(true, Ordering::Release);
        let thread = self.thread.take().expect("stopped once");
        thread.join().expect("every question got an answer");
        std::mem::take(&mut *self.answers.lock().expect("no panic under the lock"))
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
    }
}
