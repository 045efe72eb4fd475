//! Clients of the gates. Sockets and threads without a runtime: what is measured is the gate.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    ops::Sub,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::support::{
    PATIENCE,
    http::{bearer, request},
};

/// The bytes that ask whether this token may pass.
pub fn question(token: &str) -> Vec<u8> {
    request("GET", "/validate_request", &[&bearer(token)], b"")
}

/// One connection that is kept.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, buffer: vec![0; 16 * 1024], filled: 0 }
    }

    pub fn send(&mut self, question: &[u8]) {
        self.stream.write_all(question).unwrap();
    }

    /// The status of the next answer; its body is read and dropped.
    pub fn status(&mut self) -> u16 {
        loop {
            if let Some((status, length)) = parse(&self.buffer[..self.filled]) {
                while self.filled < length {
                    self.read();
                }
                self.buffer.copy_within(length..self.filled, 0);
                self.filled -= length;
                return status;
            }
            self.read();
        }
    }

    pub fn ask(&mut self, question: &[u8]) -> u16 {
        self.send(question);
        self.status()
    }

    fn read(&mut self) {
        let length = loop {
            match self.stream.read(&mut self.buffer[self.filled..]) {
                // A signal, as when somebody stops this program and lets it go on.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => break done.unwrap(),
            }
        };
        assert!(length > 0, "the gate closed a connection");
        self.filled += length;
    }
}

/// Status and length of an answer, once its head is there.
fn parse(bytes: &[u8]) -> Option<(u16, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let body = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    Some((head[9..12].parse().unwrap(), end + 4 + body.unwrap_or_default()))
}

/// Numbers of answers, by what they said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub yes: u64,
    pub no: u64,
    pub unavailable: u64,
}

impl Counts {
    pub fn all(&self) -> u64 {
        self.yes + self.no + self.unavailable
    }
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            yes: self.yes - other.yes,
            no: self.no - other.no,
            unavailable: self.unavailable - other.unavailable,
        }
    }
}

/// Full load: a thread for each gate asks on all of its connections at once, again and again.
pub struct Load {
    counters: Arc<[AtomicU64; 3]>,
    stopped: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// `questions` in turn, on so many connections to each gate.
    pub fn start(gates: &[SocketAddr], connections: usize, questions: &Arc<Vec<Vec<u8>>>) -> Self {
        let (counters, stopped) = (Arc::<[AtomicU64; 3]>::default(), Arc::<AtomicBool>::default());
        let threads = gates.iter().map(|gate| {
            let (counters, stopped) = (Arc::clone(&counters), Arc::clone(&stopped));
            let (gate, questions) = (*gate, Arc::clone(questions));
            std::thread::spawn(move || {
                generate_load(gate, connections, &questions, &counters, &stopped)
            })
        });
        let threads = threads.collect();
        Self { counters, stopped, threads }
    }

    pub fn counts(&self) -> Counts {
        let [yes, no, unavailable] = &*self.counters;
        Counts { yes: yes.load(SeqCst), no: no.load(SeqCst), unavailable: unavailable.load(SeqCst) }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stopped.store(true, SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn generate_load(
    gate: SocketAddr,
    connections: usize,
    questions: &[Vec<u8>],
    counters: &[AtomicU64; 3],
    stopped: &AtomicBool,
) {
    let mut connections: Vec<_> = (0..connections).map(|_| Connection::open(gate)).collect();
    let mut questions = questions.iter().cycle();
    while !stopped.load(SeqCst) {
        for connection in &mut connections {
            connection.send(questions.next().unwrap());
        }
        for connection in &mut connections {
            let counter = match connection.status() {
                200 => 0,
                401 => 1,
                503 => 2,
                other => panic!("{other} under load"),
            };
            counters[counter].fetch_add(1, SeqCst);
        }
    }
}

/// One question of a prober and what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The number of the question.
    pub which: usize,
    pub sent: Instant,
    pub took: Duration,
    pub status: u16,
}

/// Asks one question at a time, without a pause, those from `first` to `last` in turn, which may be moved meanwhile.
pub struct Prober {
    range: Arc<[AtomicUsize; 2]>,
    /// The question that is asked now, and how many yes and no in a row it got.
    state: Arc<[AtomicUsize; 3]>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Answer>>>,
}

impl Prober {
    pub fn start(gate: SocketAddr, questions: &Arc<Vec<Vec<u8>>>, pause: Duration) -> Self {
        let range = Arc::new([AtomicUsize::new(0), AtomicUsize::new(questions.len())]);
        let (state, stopped) = (Arc::<[AtomicUsize; 3]>::default(), Arc::<AtomicBool>::default());
        let (of, at, stop) = (Arc::clone(&range), Arc::clone(&state), Arc::clone(&stopped));
        let questions = Arc::clone(questions);
        let thread = std::thread::spawn(move || {
            let (mut connection, mut answers) = (Connection::open(gate), Vec::new());
            let mut which = usize::MAX;
            while !stop.load(SeqCst) {
                let (first, last) = (of[0].load(SeqCst), of[1].load(SeqCst));
                let next = if which < last.saturating_sub(1) && which >= first {
                    which + 1
                } else {
                    first
                };
                if next != which {
                    at[1].store(0, SeqCst);
                    at[2].store(0, SeqCst);
                    at[0].store(next, SeqCst);
                    which = next;
                }
                let sent = Instant::now();
                let status = connection.ask(&questions[which]);
                answers.push(Answer { which, sent, took: sent.elapsed(), status });
                let (same, other) = if status == 200 { (1, 2) } else { (2, 1) };
                at[same].fetch_add(1, SeqCst);
                at[other].store(0, SeqCst);
                if !pause.is_zero() {
                    std::thread::sleep(pause);
                }
            }
            answers
        });
        Self { range, state, stopped, thread: Some(thread) }
    }

    /// From now on this question alone.
    pub fn only(&self, which: usize) {
        // In this order the range is never empty.
        self.range[1].store(which + 1, SeqCst);
        self.range[0].store(which, SeqCst);
    }

    /// True where this question has got so many yes in a row.
    pub fn has_yes(&self, which: usize, times: usize) -> bool {
        self.state[0].load(SeqCst) == which && self.state[1].load(SeqCst) >= times
    }

    /// True where this question has got so many answers in a row that were no yes.
    pub fn has_no(&self, which: usize, times: usize) -> bool {
        self.state[0].load(SeqCst) == which && self.state[2].load(SeqCst) >= times
    }

    pub fn stop(mut self) -> Vec<Answer> {
        self.stopped.store(true, SeqCst);
        self.thread.take().unwrap().join().unwrap()
    }
}
