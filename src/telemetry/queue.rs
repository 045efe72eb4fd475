//! Lines on their way to a writer that may be slow: bounded by bytes, written by a thread of their
//! own, so that a caller never waits for a disk or a pipe.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::lost::{Log, Reason, count_lost};

/// The longest line that is taken; texts of clients are cut long before.
const MAX_LINE_BYTES: usize = 64 << 10;
/// The room that an empty queue keeps.
const KEPT_BYTES: usize = 64 << 10;

/// A queue of lines. A clone puts them into the same queue.
#[derive(Clone, Debug)]
pub(super) struct LineQueue(Arc<Shared>);

/// The end of the queue at which lines are written.
#[derive(Debug)]
pub(super) struct LineWriter {
    lines: LineQueue,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    log: Log,
    max_bytes: usize,
    state: Mutex<State>,
    /// New lines came, or the queue ended.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Bytes that are being written now.
    being_written: usize,
    is_closed: bool,
    has_ended: bool,
}

impl LineQueue {
    /// A queue of at most `max_bytes`; `write` gets its lines one by one, each with its end.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start(
        log: Log,
        max_bytes: usize,
        write: impl FnMut(&[u8]) + Send + 'static,
    ) -> std::io::Result<(Self, LineWriter)> {
        let (state, changed) = (Mutex::default(), Condvar::new());
        let lines = Self(Arc::new(Shared { log, max_bytes, state, changed }));
        let taken = lines.clone();
        let thread = std::thread::Builder::new()
            .name(log.as_str().to_owned())
            .spawn(move || taken.write_all(write))?;
        Ok((lines.clone(), LineWriter { lines, thread }))
    }

    /// Adds lines, each with its end, all or none; without waiting. Lines without room are counted.
    pub(super) fn push(&self, lines: &[u8]) -> bool {
        let mut state = self.lock();
        let taken = state.waiting.len() + state.being_written;
        let fits = lines.len() <= MAX_LINE_BYTES
            && taken.saturating_add(lines.len()) <= self.0.max_bytes
            && !state.is_closed;
        if fits {
            state.waiting.extend_from_slice(lines);
            drop(state);
            self.0.changed.notify_all();
        } else {
            drop(state);
            count_lost(self.0.log, Reason::Room, 1);
        }
        fits
    }

    fn write_all(&self, mut write: impl FnMut(&[u8])) {
        let mut batch = Vec::new();
        while self.next(&mut batch) {
            for line in batch.split_inclusive(|byte| *byte == b'\n') {
                write(line);
            }
        }
    }

    /// Waits for lines and takes all of them; `false` at the end.
    fn next(&self, batch: &mut Vec<u8>) -> bool {
        batch.clear();
        batch.shrink_to(KEPT_BYTES);
        let mut state = self.lock();
        state.being_written = 0;
        while state.waiting.is_empty() {
            if state.is_closed {
                state.has_ended = true;
                drop(state);
                self.0.changed.notify_all();
                return false;
            }
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(batch, &mut state.waiting);
        state.being_written = batch.len();
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LineWriter {
    /// Waits until every line so far is written, or `timeout` is over. Later lines are lost.
    pub(super) fn finish(self, timeout: Option<Duration>) {
        let mut state = self.lines.lock();
        state.is_closed = true;
        drop(state);
        self.lines.0.changed.notify_all();
        let Some(timeout) = timeout else {
            let _ = self.thread.join();
            return;
        };
        let state = self.lines.lock();
        let ended = self.lines.0.changed.wait_timeout_while(state, timeout, |s| !s.has_ended);
        drop(ended);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A queue of 1,000 bytes whose writer is stuck in a line until the test releases it.
    fn stuck() -> (LineQueue, LineWriter, Sender<()>, Receiver<Vec<u8>>) {
        let ((go, may_go), (report, written)) = (channel::<()>(), channel());
        let write = move |line: &[u8]| {
            let _ = may_go.recv();
            let _ = report.send(line.to_vec());
        };
        let (lines, writer) = LineQueue::start(Log::Test, 1_000, write).expect("a thread");
        (lines, writer, go, written)
    }

    #[test]
    fn a_reader_that_is_stuck_costs_so_many_bytes_and_no_more_and_what_is_lost_is_counted() {
        let (lines, writer, go, written) = stuck();
        let line = [b"x".repeat(99), b"\n".to_vec()].concat();
        let before = super::super::lost::count(Log::Test, Reason::Room);
        let kept = (0..100_000).filter(|_| lines.push(&line)).count();
        assert_eq!(kept, 10);
        assert!(!lines.push(&vec![b'x'; MAX_LINE_BYTES + 1]), "a line has its own bound");
        let counted = super::super::lost::count(Log::Test, Reason::Room) - before;
        assert!(counted > 100_000 - 10, "{counted}");
        drop(go);
        writer.finish(None);
        assert_eq!(written.iter().map(|line| line.len()).collect::<Vec<_>>(), [100; 10]);
    }

    #[test]
    fn what_was_put_in_before_the_end_is_written_and_nothing_after() {
        let (report, written) = channel();
        let write = move |line: &[u8]| report.send(line.to_vec()).expect("somebody listens");
        let (lines, writer) = LineQueue::start(Log::Test, 1 << 20, write).expect("a thread");
        assert!(lines.push(b"one\ntwo\n"));
        assert!(lines.push(b"three\n"));
        writer.finish(Some(Duration::from_secs(60)));
        assert!(!lines.push(b"late\n"));
        assert_eq!(written.iter().collect::<Vec<_>>(), [&b"one\n"[..], b"two\n", b"three\n"]);
    }
}
