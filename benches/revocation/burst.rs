//! Ten thousand sessions end within a second: what those notice whose sessions live on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use portcullis::{
    secret::Secret,
    session::{RedisStore, SessionId, SessionStore as _},
    store::redis::{Options, Redis},
};

use crate::{
    fixture::{Fixture, id},
    load::{Answer, Connection, Load, Prober},
    number,
    percentiles::Percentiles,
};

/// Sessions that others ask with.
const OTHERS: usize = 1_000;
/// Sessions that end.
const ENDED: usize = 10_000;
/// In so many portions, over a second.
const PORTIONS: usize = 20;
/// The time of the measurements before and after.
const ASIDE: Duration = Duration::from_secs(4);
/// The number of revocations through the store that are under way at once.
const AT_ONCE: usize = 64;
/// The pause of those whose answers are timed: they sample, the load presses.
const PAUSE: Duration = Duration::from_millis(1);

pub fn run() {
    let fixture = Fixture::start();
    fixture.write(0..OTHERS + 2 * ENDED);
    println!("invalidation by {}", fixture.invalidation());
    let others = fixture.questions(0..OTHERS);
    fixture.warm(&others);
    let deleted = OTHERS..OTHERS + ENDED;
    around("DEL in a pipeline", &fixture, &others, deleted.clone(), || delete(&fixture, deleted));
    let revoked = OTHERS + ENDED..OTHERS + 2 * ENDED;
    around("revoked through the store", &fixture, &others, revoked.clone(), || {
        revoke(&fixture, revoked)
    });
}

/// Times other clients before, during and after; all of the sessions are known to the gates when they end.
fn around(
    how: &str,
    fixture: &Fixture,
    others: &Arc<Vec<Vec<u8>>>,
    numbers: std::ops::Range<usize>,
    end: impl FnOnce(),
) {
    let ending = fixture.questions(numbers);
    fixture.warm(&ending);
    let load = Load::start(&fixture.addresses(), number("CONNECTIONS", 16), others);
    let gates = fixture.addresses();
    let probers: Vec<_> = gates
        .iter()
        .flat_map(|gate| [gate; 2])
        .map(|gate| Prober::start(*gate, others, PAUSE))
        .collect();
    std::thread::sleep(ASIDE);
    let (begun, before) = (Instant::now(), load.counts());
    end();
    let ended = Instant::now();
    let during = load.counts() - before;
    std::thread::sleep(ASIDE);
    let answers: Vec<Answer> = probers.into_iter().flat_map(Prober::stop).collect();
    let all = load.counts();
    drop(load);
    let took = (ended - begun).as_secs_f64();
    println!(
        "{how}: {ENDED} sessions in {took:.2} s; others meanwhile: {:.0} requests/s; all in all {} of {} answers were no yes",
        during.all() as f64 / took,
        all.all() - all.yes,
        all.all()
    );
    let settled = ended + Duration::from_millis(500);
    for (when, from, until) in [
        ("before", None, Some(begun)),
        ("during, and half a second after", Some(begun), Some(settled)),
        ("after", Some(settled), None),
    ] {
        let is_meant = |sent: Instant| {
            from.is_none_or(|from| sent >= from) && until.is_none_or(|until| sent < until)
        };
        let meant = answers.iter().filter(|answer| is_meant(answer.sent));
        let percentiles = Percentiles::of(meant.map(|answer| answer.took));
        println!("  {when:<32} {} ({} requests)", percentiles.line(), percentiles.len());
    }
    refused(fixture, &ending, ended);
}

/// Prints the time until none of the ended sessions is let pass.
fn refused(fixture: &Fixture, ending: &[Vec<u8>], ended: Instant) {
    for gate in fixture.addresses() {
        let mut connection = Connection::open(gate);
        let yes = ending.iter().filter(|question| connection.ask(question) == 200).count();
        println!(
            "  {:.1} s after, {yes} of the ended were let pass",
            ended.elapsed().as_secs_f64()
        );
    }
}

fn delete(fixture: &Fixture, numbers: std::ops::Range<usize>) {
    let mut connection = fixture.redis();
    let keys: Vec<String> =
        numbers.map(|number| format!("portcullis:session:{}", id(number))).collect();
    let begun = Instant::now();
    for (portion, keys) in keys.chunks(ENDED / PORTIONS).enumerate() {
        let due = Duration::from_secs(1) * u32::try_from(portion).unwrap() / PORTIONS as u32;
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        let mut pipeline = redis::pipe();
        for key in keys {
            pipeline.del(key).ignore();
        }
        pipeline.query::<()>(&mut connection).unwrap();
    }
}

fn revoke(fixture: &Fixture, numbers: std::ops::Range<usize>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = Options { database: 9, ..Options::default() };
        let redis = Redis::new(&Secret::new(fixture.server().url()), &options).unwrap();
        let store = Arc::new(RedisStore::new(redis));
        let ids = Arc::new(tokio::sync::Mutex::new(numbers));
        let workers: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let (store, ids) = (Arc::clone(&store), Arc::clone(&ids));
                tokio::spawn(async move {
                    loop {
                        let Some(next) = ids.lock().await.next() else { return };
                        let id = SessionId::parse(&id(next)).unwrap();
                        assert!(store.revoke(&id).await.unwrap().is_some(), "it was there");
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
    });
}
