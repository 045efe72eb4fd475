//! A million live sessions in the store, beside a thousand: what one check costs the gate, and how much memory it takes
//! when it has seen more tokens than it has room for.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    fixture::{Fixture, processor_time, resident},
    load::{Connection, Counts, Load, question},
    number,
    percentiles::{Percentiles, millis},
    support::{
        gate::Gate,
        redis::{RedisServer, Transport},
    },
};

/// For how long requests are answered from memory.
const HITS: Duration = Duration::from_secs(6);
/// For how long every request brings a token that the gate has not seen.
const MISSES: Duration = Duration::from_secs(20);
/// The number of sessions that are asked for again and again.
const WORKING_SET: usize = 1_000;
/// Tokens that are signed and asked with at a time.
const AT_ONCE: usize = 64;

pub fn run() {
    let few = measure(1_000);
    let many = measure(number("SESSIONS", 1_000_000));
    println!(
        "many beside few: a hit costs {:+.1} %, a miss {:+.1} %, the memory is {:+.1} %",
        (many.hit / few.hit - 1.0) * 100.0,
        (many.miss / few.miss - 1.0) * 100.0,
        (many.resident / few.resident - 1.0) * 100.0
    );
}

struct Costs {
    /// Microseconds of the processor a request.
    hit: f64,
    miss: f64,
    resident: f64,
}

fn measure(sessions: usize) -> Costs {
    let server =
        RedisServer::start_with(Transport::Tcp, &["--appendonly", "no"]).expect("redis-server");
    let url = server.url();
    let fixture = Fixture::on(server, &url, 1);
    let started = Instant::now();
    fixture.write(0..sessions);
    println!("{sessions} sessions, written in {:.1} s:", started.elapsed().as_secs_f64());
    let gate = &fixture.gates[0];
    println!("  resident at the start: {} KiB", resident(gate.id()));
    let hit = hits(&fixture, gate, sessions);
    let miss = misses(&fixture, gate, sessions);
    // What the cache has let go of is given back a little later.
    std::thread::sleep(Duration::from_secs(1));
    let resident = resident(gate.id());
    println!(
        "  resident at the end: {resident} KiB, of the cache {:.0} decisions of {:.0} KiB",
        value(gate, "portcullis_cache_entries"),
        value(gate, "portcullis_cache_bytes") / 1_024.0
    );
    Costs { hit, miss, resident: resident as f64 }
}

/// Requests whose sessions are spread over all that there are, and known.
fn hits(fixture: &Fixture, gate: &Gate, sessions: usize) -> f64 {
    let step = sessions / WORKING_SET;
    let questions: Vec<Vec<u8>> =
        (0..WORKING_SET).map(|n| question(&fixture.token(n * step, 0))).collect();
    fixture.warm(&questions);
    let load = Load::start(&[gate.address], number("CONNECTIONS", 16), &Arc::new(questions));
    std::thread::sleep(Duration::from_millis(500));
    let (started, spent, before) = (Instant::now(), processor_time(gate.id()), load.counts());
    std::thread::sleep(HITS);
    let counts = load.counts() - before;
    let (spent, took) = (processor_time(gate.id()) - spent, started.elapsed());
    cost("hits", counts, spent, took)
}

/// Requests with tokens that were never seen, of sessions from all over the store.
fn misses(fixture: &Fixture, gate: &Gate, sessions: usize) -> f64 {
    let mut connections: Vec<_> = (0..AT_ONCE).map(|_| Connection::open(gate.address)).collect();
    let (started, spent) = (Instant::now(), processor_time(gate.id()));
    let (mut counts, mut variant, mut took) = (Counts::default(), 0, Vec::new());
    while started.elapsed() < MISSES {
        let questions: Vec<Vec<u8>> = (0..AT_ONCE)
            .map(|_| {
                variant += 1;
                // A step that has no factor in common with the number of sessions visits all of them.
                question(&fixture.token(variant * 7_919 % sessions, variant))
            })
            .collect();
        let sent = Instant::now();
        for (connection, question) in connections.iter_mut().zip(&questions) {
            connection.send(question);
        }
        for connection in &mut connections {
            match connection.status() {
                200 => counts.yes += 1,
                503 => counts.unavailable += 1,
                _ => counts.no += 1,
            }
        }
        took.push(sent.elapsed());
    }
    let spent = processor_time(gate.id()) - spent;
    let took = Percentiles::of(took);
    println!(
        "  {AT_ONCE} new tokens at once are answered within p50 {:.2} ms",
        millis(took.per_mille(500))
    );
    cost("misses", counts, spent, started.elapsed())
}

fn cost(what: &str, counts: Counts, spent: Duration, took: Duration) -> f64 {
    let each = spent.as_secs_f64() * 1e6 / counts.all() as f64;
    println!(
        "  {what}: {:.0} requests/s, {each:.2} us of the processor each ({} requests, {} of them no yes)",
        counts.all() as f64 / took.as_secs_f64(),
        counts.all(),
        counts.all() - counts.yes
    );
    each
}

/// A gauge of `/metrics`.
fn value(gate: &Gate, name: &str) -> f64 {
    let metrics = gate.metrics();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).trim().parse().unwrap()
}
