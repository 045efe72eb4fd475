//! Sessions that end by other ways, or while something fails: the last yes, the 503s, and the time until all is well.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    fixture::Fixture,
    load::{Answer, Connection, Load, Prober, question},
    number,
    percentiles::{Percentiles, millis},
    support::{
        proxy::{Close, Connections, Proxy},
        redis::{RedisServer, Transport},
        redis_cluster::RedisCluster,
        redis_sentinel::RedisSentinel,
        topology::{SAFE, key_in_cluster, migrate_slot_of, runtime, wait_for_replication},
    },
};

/// SESSION_STALENESS as it is by default.
const BOUND: Duration = Duration::from_secs(5);
/// The number of sessions that end in each case.
const VICTIMS: usize = 20;
/// The time between two ends.
const APART: Duration = Duration::from_millis(300);
/// Sessions that the load asks with.
const OTHERS: usize = 100;

pub fn run() {
    {
        let fixture = Fixture::start();
        println!("invalidation by {}", fixture.invalidation());
        let case = Case::start("through the issuer", &fixture);
        case.run(|number, _| revoke(&fixture, &case.victims[number].1), || None);
        let case = Case::start("DEL by hand", &fixture);
        case.run(|number, _| delete(&fixture, &case.victims[number].1), || None);
        natural_expiry(&fixture);
        let case = Case::start("the server frozen for 3 s", &fixture);
        case.run(
            |number, _| revoke(&fixture, &case.victims[number].1),
            || {
                fixture.server().pause();
                std::thread::sleep(Duration::from_secs(3));
                fixture.server().resume();
                Some(Instant::now())
            },
        );
    }
    behind_a_proxy();
    among_sentinels();
    in_a_cluster();
}

/// Sessions whose end was known when they were read: there is no bound to wait for.
fn natural_expiry(fixture: &Fixture) {
    let case = Case::start("natural expiry", fixture);
    let (now, today) = (Instant::now(), SystemTime::now());
    // Time enough for everybody to have been asked for before.
    let ends = |which: usize| Duration::from_secs(8) + APART * u32::try_from(which).unwrap();
    let mut connection = fixture.redis();
    for (which, (_, id)) in case.victims[..VICTIMS].iter().enumerate() {
        let expires = crate::fixture::millis(today + ends(which));
        let key = format!("portcullis:session:{id}");
        let set = redis::cmd("HSET").arg(key).arg("expires").arg(expires).query(&mut connection);
        let _: i64 = set.unwrap();
    }
    let wait = |which: usize| {
        std::thread::sleep((now + ends(which)).saturating_duration_since(Instant::now()));
        now + ends(which)
    };
    case.run(|which, _| wait(which), || None);
}

/// The connections of the invalidation are cut every two seconds.
fn behind_a_proxy() {
    let server =
        RedisServer::start_with(Transport::Tcp, &["--appendonly", "no"]).expect("redis-server");
    let proxy = Proxy::start(server.address());
    let fixture = Fixture::on(server, &format!("redis://{}", proxy.address), 2);
    let case = Case::start("the invalidation cut every 2 s", &fixture);
    let mut last_cut = Instant::now();
    let cut = std::cell::Cell::new(0);
    case.run(
        |number, _| {
            if last_cut.elapsed() > Duration::from_secs(2) {
                cut.set(cut.get() + proxy.cut(Connections::Invalidation, Close::Rst));
                last_cut = Instant::now();
            }
            revoke(&fixture, &case.victims[number].1)
        },
        || None,
    );
    println!("    ({} connections were cut)", cut.get());
}

/// The sentinels are asked for a fail-over; then the master is killed.
fn among_sentinels() {
    let runtime = runtime();
    {
        let sentinel = runtime.block_on(RedisSentinel::start(&SAFE)).expect("redis-sentinel");
        let fixture = Fixture::at(&sentinel.url(), &sentinel.url(), 2);
        let case = Case::start("a fail-over among sentinels", &fixture);
        case.run(
            |number, _| revoke(&fixture, &case.victims[number].1),
            || {
                runtime.block_on(wait_for_replication(&sentinel.servers[0], &sentinel.servers[1]));
                runtime.block_on(sentinel.fail_over(1));
                Some(Instant::now())
            },
        );
    }
    let mut sentinel = runtime.block_on(RedisSentinel::start(&[])).expect("redis-sentinel");
    let fixture = Fixture::at(&sentinel.url(), &sentinel.url(), 2);
    let case = Case::start("the master killed, among sentinels", &fixture);
    case.run(
        |number, _| revoke(&fixture, &case.victims[number].1),
        || {
            runtime.block_on(wait_for_replication(&sentinel.servers[0], &sentinel.servers[1]));
            let elected = runtime.block_on(sentinel.kill_master(0));
            println!("    (another was elected {:.0} ms after)", millis(elected));
            Some(Instant::now())
        },
    );
}

/// The slots of half of the sessions move while all are asked for.
fn in_a_cluster() {
    let runtime = runtime();
    let cluster = runtime.block_on(RedisCluster::start()).expect("redis-server");
    let fixture = Fixture::at(&cluster.url(), &cluster.url(), 2);
    let case = Case::start("slots of a cluster moved", &fixture);
    case.run(
        |number, _| revoke(&fixture, &case.victims[number].1),
        || {
            for (_, id) in &case.victims[VICTIMS / 2..] {
                runtime.block_on(migrate_slot_of(&cluster, &key_in_cluster(id)));
            }
            Some(Instant::now())
        },
    );
}

/// One of them: the load runs, and a prober at each gate asks for all of the sessions in turn.
struct Case<'s> {
    name: &'static str,
    fixture: &'s Fixture,
    /// Tokens and ids of those that end; the last one's lives on.
    victims: Vec<(String, String)>,
}

impl<'s> Case<'s> {
    fn start(name: &'static str, fixture: &'s Fixture) -> Self {
        let victims = (0..=VICTIMS).map(|_| fixture.log_in()).collect();
        Self { name, fixture, victims }
    }

    /// `end` ends one session after the other and says when that was acknowledged; after half of them comes the `fault`,
    /// which says when it was over.
    fn run(
        &self,
        mut end: impl FnMut(usize, &Fixture) -> Instant,
        fault: impl FnOnce() -> Option<Instant>,
    ) {
        let fixture = self.fixture;
        let others: Vec<_> = (0..OTHERS).map(|_| question(&fixture.log_in().0)).collect();
        let others = Arc::new(others);
        let questions: Arc<Vec<_>> =
            Arc::new(self.victims.iter().map(|(token, _)| question(token)).collect());
        fixture.warm(&others);
        fixture.warm(&questions);
        let load = Load::start(&fixture.addresses(), number("CONNECTIONS", 16), &others);
        let probers: Vec<_> = fixture
            .addresses()
            .into_iter()
            .map(|gate| Prober::start(gate, &questions, Duration::ZERO))
            .collect();
        let (started, mut fault, mut over) = (Instant::now(), Some(fault), None);
        let mut ended = Vec::new();
        for which in 0..VICTIMS {
            if which == VICTIMS / 2 {
                over = fault.take().and_then(|fault| fault());
            }
            std::thread::sleep(APART);
            ended.push(end(which, fixture));
        }
        std::thread::sleep(BOUND + Duration::from_millis(700));
        let (counts, seconds) = (load.counts(), started.elapsed().as_secs_f64());
        drop(load);
        let answers: Vec<Answer> = probers.into_iter().flat_map(Prober::stop).collect();
        println!(
            "{}: {:.0} requests/s, of them 503: {} of the load and {} of the probers",
            self.name,
            (counts.all() as usize + answers.len()) as f64 / seconds,
            counts.unavailable,
            answers.iter().filter(|answer| answer.status == 503).count(),
        );
        report(&ended, &answers, over);
        assert_eq!(counts.no, 0, "a session that lives was refused");
    }
}

fn report(ended: &[Instant], answers: &[Answer], over: Option<Instant>) {
    let last_yes = |which: usize| {
        let yes = answers.iter().filter(|answer| answer.which == which && answer.status == 200);
        let last = yes.map(|answer| answer.sent).max().unwrap();
        last.saturating_duration_since(ended[which])
    };
    let last = Percentiles::of((0..ended.len()).map(last_yes));
    println!(
        "    from the end of a session to the last yes: p50 {:.2} ms, max {:.2} ms; later than the bound of {} s: {}",
        millis(last.per_mille(500)),
        millis(last.max()),
        BOUND.as_secs(),
        if last.max() < BOUND { "none" } else { "SOME" }
    );
    let slowest = Percentiles::of(answers.iter().map(|answer| answer.took));
    println!("    answers of the probers: {}", slowest.line());
    if let Some(over) = over {
        let bad = answers.iter().filter(|answer| answer.status == 503);
        let after =
            Percentiles::of(bad.filter_map(|answer| answer.sent.checked_duration_since(over)));
        println!(
            "    {} of the probers' 503 came after the fault was over: half of them within {:.0} ms, the last after {:.0} ms",
            after.len(),
            millis(after.per_mille(500)),
            millis(after.max())
        );
    }
    for (which, ended) in ended.iter().enumerate() {
        let end = answers.iter().rev().find(|answer| answer.which == which).unwrap();
        assert!(end.sent > *ended + BOUND && end.status == 401, "not refused at the end: {end:?}");
    }
    assert!(last.max() < BOUND, "a yes later than the bound");
}

/// Through the issuer, again and again until it is acknowledged: one that was not may have had its effect all the same.
fn revoke(fixture: &Fixture, id: &str) -> Instant {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let status = Connection::open(fixture.issuer.internal).ask(&fixture.revocation(id));
        let answered = Instant::now();
        match status {
            200 | 404 => return answered,
            503 => assert!(answered < deadline, "it cannot be revoked"),
            other => panic!("{other} for a revocation"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn delete(fixture: &Fixture, id: &str) -> Instant {
    let key = format!("portcullis:session:{id}");
    let deleted: i64 = redis::cmd("DEL").arg(key).query(&mut fixture.redis()).unwrap();
    assert_eq!(deleted, 1);
    Instant::now()
}
