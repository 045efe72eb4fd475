//! The load of `benches/run`: some connections that ask prepared requests in turn, on one thread.
//!
//! It costs less than what it measures: the bytes of a request are ready before, an answer is one
//! read and one write, and nothing is shared. It is told over its standard input when to ask, so that
//! its connections stay open between the short turns of a measurement:
//!
//! ```text
//! load_generator --to ADDRESS:PORT|unix:PATH --requests FILE [--connections N] [--streams N]
//!                [--ca FILE] [--status N]
//! run SECONDS
//! busy-poll SECONDS
//! pace SECONDS REQUESTS_PER_SECOND
//! ask COUNT
//! ```
//!
//! For each line it prints one of JSON. With `--streams` it speaks HTTP/2.
//!
//! `busy-poll` does not sleep while it asks, so that no server pays for waking it, which a faster one
//! does more often. It needs a core of its own.

mod connection;
mod histogram;
mod http1;
mod http2;
mod requests;
mod tally;
mod transport;

use std::env;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use connection::Connection;
use requests::Requests;
use tally::Tally;
use transport::Target;

/// The longest wait for the last answers of a turn.
const TAIL: Duration = Duration::from_secs(10);
/// The longest wait for an event.
const IDLE: Duration = Duration::from_millis(50);
const BUFFER: usize = 64 << 10;

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load_generator: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    let mut load = Load::new(&Options::parse(env::args().skip(1))?)?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words[..] {
            ["run", seconds] => load.turn(time(seconds)?, u64::MAX, IDLE)?,
            ["busy-poll", seconds] => load.turn(time(seconds)?, u64::MAX, Duration::ZERO)?,
            ["pace", seconds, rate] => load.pace(time(seconds)?, number(rate)?)?,
            ["ask", count] => load.turn(Duration::from_hours(1), number(count)?, IDLE)?,
            _ => return Err(io::Error::other(format!("not understood: {line}"))),
        };
        let mut out = io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn number<N: std::str::FromStr>(text: &str) -> io::Result<N> {
    text.parse().map_err(|_| io::Error::other(format!("not a number: {text}")))
}

fn time(seconds: &str) -> io::Result<Duration> {
    Duration::try_from_secs_f64(number(seconds)?).map_err(io::Error::other)
}

/// The command line.
struct Options {
    target: Target,
    requests: String,
    connections: usize,
    streams: usize,
    status: u16,
}

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> io::Result<Self> {
        let arguments: Vec<_> = arguments.collect();
        let value = |name: &str| {
            arguments.iter().position(|it| it == name).and_then(|at| arguments.get(at + 1))
        };
        let count = |name: &str, default| value(name).map_or(Ok(default), |it| number(it));
        let needed =
            |name: &str| value(name).ok_or_else(|| io::Error::other(format!("{name} is missing")));
        Ok(Self {
            target: Target::new(needed("--to")?, value("--ca").map(String::as_str))?,
            requests: needed("--requests")?.clone(),
            connections: count("--connections", 32)?,
            streams: count("--streams", 0)?,
            status: value("--status").map_or(Ok(200), |it| number(it))?,
        })
    }
}

/// The connections, and what is asked over them.
struct Load {
    target: Target,
    requests: Requests,
    connections: Vec<Connection>,
    status: u16,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
}

impl Load {
    fn new(options: &Options) -> io::Result<Self> {
        let poll = Poll::new()?;
        let open = |index| {
            Connection::open(&options.target, options.streams, poll.registry(), Token(index))
        };
        let connections = (0..options.connections).map(open).collect::<io::Result<_>>()?;
        Ok(Self {
            target: options.target.clone(),
            requests: Requests::read(&options.requests)?,
            connections,
            status: options.status,
            poll,
            events: Events::with_capacity(1_024),
            buffer: vec![0; BUFFER],
        })
    }

    /// Asks for so long, or so often, and then waits for the last answers. `wait` is the longest wait
    /// for an event.
    fn turn(&mut self, time: Duration, mut left: u64, wait: Duration) -> io::Result<String> {
        let mut tally = Tally::new(self.status);
        let started = Instant::now();
        for index in 0..self.connections.len() {
            self.ask(index, &mut left, &mut tally)?;
        }
        let mut now = started;
        while left > 0 && now - started < time {
            let is_any_ready = self.step(wait, &mut left, &mut tally)?;
            let polled = Instant::now();
            if !is_any_ready {
                tally.idle += polled - now;
            }
            now = polled;
        }
        self.finish(started, tally)
    }

    /// Asks so often a second, as far as connections are free.
    fn pace(&mut self, time: Duration, rate: f64) -> io::Result<String> {
        let mut tally = Tally::new(self.status);
        let (started, mut asked, mut index) = (Instant::now(), 0.0, 0);
        while started.elapsed() < time {
            while asked < started.elapsed().as_secs_f64() * rate && self.is_any_free() {
                let mut left = 1;
                self.ask(index, &mut left, &mut tally)?;
                asked += if left == 0 { 1.0 } else { 0.0 };
                index = (index + 1) % self.connections.len();
            }
            self.step(Duration::from_millis(1), &mut 0, &mut tally)?;
        }
        self.finish(started, tally)
    }

    fn is_any_free(&self) -> bool {
        self.connections.iter().any(|it| it.outstanding() == 0)
    }

    /// Waits for the last answers.
    fn finish(&mut self, started: Instant, mut tally: Tally) -> io::Result<String> {
        let asked = Instant::now();
        while self.connections.iter().any(|it| it.outstanding() > 0) {
            if asked.elapsed() > TAIL {
                return Err(io::Error::other("the last answers do not come"));
            }
            self.step(IDLE, &mut 0, &mut tally)?;
        }
        Ok(tally.report(started.elapsed().as_micros()))
    }

    /// Answers what is ready. Returns whether anything was.
    fn step(&mut self, wait: Duration, left: &mut u64, tally: &mut Tally) -> io::Result<bool> {
        self.poll.poll(&mut self.events, Some(wait))?;
        let ready: Vec<(usize, bool)> = self
            .events
            .iter()
            .map(|it| (it.token().0, it.is_readable() || it.is_read_closed()))
            .collect();
        let is_any_ready = !ready.is_empty();
        for (index, readable) in ready {
            if readable && self.connections[index].read(&mut self.buffer, tally).is_err() {
                self.connections[index].reopen(&self.target, self.poll.registry(), tally)?;
            }
            self.ask(index, left, tally)?;
        }
        Ok(is_any_ready)
    }

    fn ask(&mut self, index: usize, left: &mut u64, tally: &mut Tally) -> io::Result<()> {
        if self.connections[index].ask(&mut self.requests, left).is_err() {
            self.connections[index].reopen(&self.target, self.poll.registry(), tally)?;
        }
        Ok(())
    }
}
