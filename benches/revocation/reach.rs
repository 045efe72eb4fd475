//! 2,000 revocations through the issuer, while both gates are under full load; and what the store is asked.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    fixture::{Fixture, id},
    load::{Connection, Load, Prober, question},
    number,
    percentiles::{Percentiles, millis},
};

/// Sessions that the load asks with.
const OTHERS: usize = 1_000;
/// For how long a rate of requests is held.
const HELD: Duration = Duration::from_secs(6);
/// For how long a revoked session is asked for at least, after it was acknowledged.
const AFTER: Duration = Duration::from_millis(4);

pub fn run() {
    let fixture = Fixture::start();
    let victims = number("REVOCATIONS", 2_000);
    fixture.write(0..OTHERS + victims);
    let others = fixture.questions(0..OTHERS);
    fixture.warm(&others);
    println!("invalidation by {}", fixture.invalidation());
    reads_by_rate(&fixture, &others);
    revocations(&fixture, &others, OTHERS..OTHERS + victims);
}

/// Prints how the questions to the store grow with those to the gates.
fn reads_by_rate(fixture: &Fixture, others: &Arc<Vec<Vec<u8>>>) {
    let connections = number("CONNECTIONS", 16);
    // Until what was read at once at the start is spread over the bound, as it is in a gate that has run for a while.
    let spreading = Load::start(&fixture.addresses(), 1, others);
    std::thread::sleep(HELD * 2);
    drop(spreading);
    for connections in [1, connections / 4, connections] {
        let before = fixture.calls(["hgetall", "get"]);
        let load = Load::start(&fixture.addresses(), connections.max(1), others);
        std::thread::sleep(HELD);
        let counts = load.counts();
        drop(load);
        let after = fixture.calls(["hgetall", "get"]);
        let seconds = HELD.as_secs_f64();
        println!(
            "{connections:>3} connections a gate: {:>8.0} requests/s, of the store {:>6.0} reads of a session/s \
             (commandstats: hgetall {}, get {}); {} answers were no yes",
            counts.all() as f64 / seconds,
            (after[0] - before[0]) as f64 / seconds,
            after[0] - before[0],
            after[1] - before[1],
            counts.all() - counts.yes,
        );
    }
}

fn revocations(fixture: &Fixture, others: &Arc<Vec<Vec<u8>>>, numbers: std::ops::Range<usize>) {
    let ids: Vec<String> = numbers.clone().map(id).collect();
    let questions: Vec<Vec<u8>> =
        numbers.map(|number| question(&fixture.token(number, 0))).collect();
    let questions = Arc::new(questions);
    let load = Load::start(&fixture.addresses(), number("CONNECTIONS", 16), others);
    let probers: Vec<Prober> = fixture
        .addresses()
        .into_iter()
        .map(|gate| Prober::start(gate, &questions, Duration::ZERO))
        .collect();
    let mut issuer = Connection::open(fixture.issuer.internal);
    let deadline = Instant::now() + Duration::from_secs(number("LIMIT", 240) as u64);
    let (started, before) = (Instant::now(), load.counts());
    let mut revoked = Vec::new();
    for (which, id) in ids.iter().enumerate() {
        if Instant::now() > deadline {
            println!("stopped after {} revocations, since time was up", revoked.len());
            break;
        }
        probers.iter().for_each(|prober| prober.only(which));
        wait(|| probers.iter().all(|prober| prober.has_yes(which, 2)));
        let asked = Instant::now();
        let status = issuer.ask(&fixture.revocation(id));
        let acknowledged = Instant::now();
        assert_eq!(status, 200, "a revocation failed");
        revoked.push((asked, acknowledged));
        wait(|| {
            acknowledged.elapsed() > AFTER && probers.iter().all(|prober| prober.has_no(which, 3))
        });
    }
    let (seconds, counts) = (started.elapsed().as_secs_f64(), load.counts() - before);
    drop(load);
    let answers: Vec<_> = probers.into_iter().flat_map(Prober::stop).collect();
    // Each of them has got a yes before it was revoked.
    let mut last = vec![started; ids.len()];
    for answer in answers.iter().filter(|answer| answer.status == 200) {
        last[answer.which] = last[answer.which].max(answer.sent);
    }
    let since = |from: fn(&(Instant, Instant)) -> Instant| {
        let pairs = revoked.iter().zip(&last);
        Percentiles::of(pairs.map(|(moments, last)| last.saturating_duration_since(from(moments))))
    };
    let (acknowledged, asked) = (since(|moments| moments.1), since(|moments| moments.0));
    println!(
        "{} revocations; the load meanwhile: {:.0} requests/s, {} of them 503, {} of them 401; of the probers {:.0}/s",
        revoked.len(),
        counts.all() as f64 / seconds,
        counts.unavailable,
        counts.no,
        answers.len() as f64 / seconds
    );
    println!("from the acknowledgement to the last yes: {}", acknowledged.line());
    println!(
        "                  (none after it: {} of {})",
        acknowledged.zeros(),
        acknowledged.len()
    );
    println!("from the request to revoke to the last yes: {}", asked.line());
    let took = Percentiles::of(revoked.iter().map(|(asked, acknowledged)| *acknowledged - *asked));
    println!("the revocation itself: p50 {:.3} ms", millis(took.per_mille(500)));
    come_back(fixture, &questions[..revoked.len()]);
}

/// Counts the revoked that are let pass again.
fn come_back(fixture: &Fixture, questions: &[Vec<u8>]) {
    let mut yes = 0;
    for gate in fixture.addresses() {
        let mut connection = Connection::open(gate);
        yes += questions.iter().filter(|question| connection.ask(question) == 200).count();
    }
    println!("asked once more at the end, {yes} of the revoked were let pass");
    assert_eq!(yes, 0, "a revoked session came back");
}

/// Waits without taking the processor from those who are measured.
fn wait(mut is_done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_done() {
        assert!(Instant::now() < deadline, "it takes too long");
        std::thread::sleep(Duration::from_micros(100));
    }
}
