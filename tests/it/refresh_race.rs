//! One refresh token, a thousand who show it at the same moment, two processes that know of each other by the store alone.
//!
//! Without a grace one of them gets tokens, and the family ends, since all others look like thieves. With a grace all of
//! them get one and the same answer. Who is told that the token is being refreshed comes again.

use std::{
    collections::BTreeMap,
    io::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Barrier,
    task::JoinSet,
};

use crate::support::{
    http::request,
    issuer::{ALICE, Issuer, SCOPES},
    memcached::MemcachedServer,
    realm::Realm,
    redis::{RedisServer, Transport},
};

/// The number of clients that show the token, half of them to each process.
const RACERS: usize = 1_000;
/// The time that the slowest may wait for its answer on a machine that does other things too.
const LONGEST_RACE: Duration = Duration::from_secs(900);
/// One race at a time: two would only make each other slow.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The answer to one of the clients.
#[derive(Clone, Debug, PartialEq)]
struct RaceResult {
    /// The process that it asked.
    process: usize,
    status: u16,
    body: Value,
    sent: Instant,
    answered: Instant,
    /// It was answered 503 before: what it asked for may have been done all the same.
    was_unavailable: bool,
}

impl RaceResult {
    fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.body))
    }
}

/// Two processes of one realm, and the refresh token that alice got from the first of them.
struct TwoIssuers {
    issuers: [Issuer; 2],
    realm: Realm,
    refresh: String,
}

impl TwoIssuers {
    fn start(realm: Realm) -> Self {
        realm.add_user(ALICE.0, ALICE.1, &SCOPES);
        let first = Issuer::start(&realm);
        let (second, realm) = Issuer::beside(realm);
        let login = first.log_in();
        let token = |name: &str| login[name].as_str().expect(name).to_owned();
        let (access, refresh) = (token("access_token"), token("refresh_token"));
        let issuers = Self { issuers: [first, second], realm, refresh };
        assert_eq!(issuers.gates_say(&access), [200, 200], "nothing is wrong before the race");
        issuers
    }

    fn gates_say(&self, access: &str) -> [u16; 2] {
        self.issuers.each_ref().map(|issuer| issuer.check(access))
    }

    /// Shows a refresh token to each process in turn: the statuses and the errors.
    fn issuers_say(&self, refresh: &str) -> [(u16, Value); 2] {
        self.issuers.each_ref().map(|issuer| {
            let fields = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
            let answer = issuer.form("/token", &fields, &[]);
            (answer.status, answer.json()["error"].clone())
        })
    }

    /// Everybody shows the token at once.
    fn race(&self) -> Vec<RaceResult> {
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let addresses = self.issuers.each_ref().map(|issuer| issuer.public);
        runtime.expect("a runtime").block_on(race(addresses, &self.refresh))
    }

    /// The number of each event in the audit log that the two processes share, those among them that were left out for
    /// coming too often; the processes are stopped before, so that nothing is missing.
    fn audited(mut self) -> BTreeMap<String, usize> {
        for issuer in &mut self.issuers {
            assert!(issuer.gate.stop().success(), "{}", issuer.gate.log());
        }
        let mut events = BTreeMap::new();
        for line in self.realm.events() {
            let left_out = line["left_out"].as_u64().and_then(|n| usize::try_from(n).ok());
            let event = line["event"].as_str().expect("event").to_owned();
            *events.entry(event).or_insert(0) += 1 + left_out.unwrap_or_default();
        }
        events
    }
}

async fn race(addresses: [SocketAddr; 2], refresh: &str) -> Vec<RaceResult> {
    let form = format!("grant_type=refresh_token&refresh_token={refresh}");
    let lines = ["Content-Type: application/x-www-form-urlencoded", "Connection: close"];
    let bytes: Arc<[u8]> = request("POST", "/token", &lines, form.as_bytes()).into();
    let start = Arc::new(Barrier::new(RACERS));
    let mut racers = JoinSet::new();
    for racer in 0..RACERS {
        let (bytes, start, process) = (Arc::clone(&bytes), Arc::clone(&start), racer % 2);
        let address = addresses[process];
        racers.spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            start.wait().await;
            let (sent, mut was_unavailable) = (Instant::now(), false);
            loop {
                stream.write_all(&bytes).await.expect("the issuer reads");
                let mut answer = Vec::new();
                let left = LONGEST_RACE.saturating_sub(sent.elapsed());
                let read = tokio::time::timeout(left, stream.read_to_end(&mut answer));
                read.await.expect("an answer in time").expect("a whole answer");
                let (status, body) = parsed(&answer);
                if status != 503 {
                    let answered = Instant::now();
                    return RaceResult { process, status, body, sent, answered, was_unavailable };
                }
                was_unavailable = true;
                // As Retry-After asks.
                tokio::time::sleep(Duration::from_secs(1)).await;
                stream = TcpStream::connect(address).await.expect("a connection");
            }
        });
    }
    racers.join_all().await
}

fn parsed(answer: &[u8]) -> (u16, Value) {
    let answer = std::str::from_utf8(answer).expect("UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}")))
}

/// Prints the result, past the capture of the harness: these are the figures of the documentation.
fn report(what: &str, results: &[RaceResult]) {
    let start = results.iter().map(|result| result.sent).min().expect("somebody");
    let at = |times: &mut dyn Iterator<Item = Instant>| times.map(|time| time - start).max();
    let sent = at(&mut results.iter().map(|result| result.sent)).expect("somebody");
    let ended = at(&mut results.iter().map(|result| result.answered)).expect("somebody");
    let first = results.iter().map(|result| result.answered - start).min().expect("somebody");
    let winner =
        results.iter().find(|result| result.status == 200).map(|result| result.process + 1);
    writeln!(
        std::io::stderr(),
        "{what}: {RACERS} refreshes of one token over two processes: all sent after {} ms, first answer after {} ms, \
         last after {} ms; a 200 from process {winner:?}",
        sent.as_millis(),
        first.as_millis(),
        ended.as_millis(),
    )
    .expect("stderr is open");
}

fn one_wins_and_the_family_ends(store: &str, realm: Realm) {
    let issuers = TwoIssuers::start(realm);
    let results = issuers.race();
    report(store, &results);
    let (won, lost): (Vec<&RaceResult>, Vec<&RaceResult>) =
        results.iter().partition(|result| result.status == 200);
    let odd =
        lost.iter().find(|result| (result.status, result.text("error")) != (400, "invalid_grant"));
    assert!(odd.is_none(), "{store}: {odd:?}");
    // Nobody wins where the store kept the winner waiting too long for what it did: told to come again, he is late.
    let may_be_none = results.iter().any(|result| result.was_unavailable);
    assert!(won.len() == 1 || (won.is_empty() && may_be_none), "{store}: {} won", won.len());
    for process in 0..2 {
        let asked = results.iter().filter(|result| result.process == process).count();
        assert_eq!(asked, RACERS / 2, "{store}: both processes were asked");
    }
    let refused = (400, Value::from("invalid_grant"));
    let both = [refused.clone(), refused];
    for winner in &won {
        let (access, refresh) = (winner.text("access_token"), winner.text("refresh_token"));
        assert_ne!(refresh, issuers.refresh, "{store}");
        assert_eq!(issuers.gates_say(access), [401, 401], "{store}: the winner's access token");
        assert_eq!(issuers.issuers_say(refresh), both, "{store}: the winner's refresh token");
    }
    // Long enough that each process writes a line again, which tells how many it left out.
    for _ in 0..60 {
        assert_eq!(issuers.issuers_say(&issuers.refresh), both, "{store}: the old refresh token");
    }
    let events = issuers.audited();
    let count = |event: &str| events.get(event).copied().unwrap_or_default();
    // Again by whoever had no answer from the store when he ended the family.
    assert!(count("refresh_reuse") >= 1, "{store}: {events:?}");
    assert_eq!(count("refresh"), won.len(), "{store}: {events:?}");
    // Those of the race, and who came after it; a store that was too busy to answer in time is a refusal too.
    assert!(count("refresh_refused") >= RACERS - 1, "{store}: {events:?}");
}

fn all_get_one_answer(store: &str, realm: Realm) {
    // As long as there may be: on a busy machine the last one comes late.
    let issuers = TwoIssuers::start(realm.with("REFRESH_GRACE_SECONDS", "300"));
    let results = issuers.race();
    report(&format!("{store}, with a grace"), &results);
    let (access, refresh) = (results[0].text("access_token"), results[0].text("refresh_token"));
    for result in &results {
        let got = (result.status, result.text("access_token"), result.text("refresh_token"));
        assert_eq!(got, (200, access, refresh), "{store}: one and the same pair for all");
    }
    assert_eq!(issuers.gates_say(access), [200, 200], "{store}: the family lives");
    let next = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    let next = issuers.issuers[1].form("/token", &next, &[]);
    assert_eq!(next.status, 200, "{store}: {}", next.text());
    let events = issuers.audited();
    let count = |event: &str| events.get(event).copied().unwrap_or_default();
    assert_eq!(count("refresh_reuse"), 0, "{store}: {events:?}");
    assert_eq!(count("refresh"), RACERS + 1, "{store}: {events:?}");
}

#[test]
fn of_a_thousand_who_show_one_token_over_sqlite_one_wins_and_the_family_ends() {
    one_wins_and_the_family_ends("SQLite", Realm::issuing());
}

#[test]
fn of_a_thousand_who_show_one_token_over_redis_one_wins_and_the_family_ends() {
    let Some(server) = RedisServer::start_with(Transport::Tcp, &[]) else { return };
    one_wins_and_the_family_ends("Redis", Realm::issuing().with("DB_URL", &server.url()));
}

#[test]
fn within_the_grace_a_thousand_get_one_and_the_same_answer_over_sqlite() {
    all_get_one_answer("SQLite", Realm::issuing());
}

#[test]
fn within_the_grace_a_thousand_get_one_and_the_same_answer_over_redis() {
    let Some(server) = RedisServer::start_with(Transport::Tcp, &[]) else { return };
    all_get_one_answer("Redis", Realm::issuing().with("DB_URL", &server.url()));
}

#[test]
fn of_a_thousand_who_show_one_token_over_memcached_one_wins_and_the_family_ends() {
    let Some(server) = MemcachedServer::start() else { return };
    one_wins_and_the_family_ends("memcached", Realm::issuing().with("DB_URL", &server.url()));
}

#[test]
fn within_the_grace_a_thousand_get_one_and_the_same_answer_over_memcached() {
    let Some(server) = MemcachedServer::start() else { return };
    all_get_one_answer("memcached", Realm::issuing().with("DB_URL", &server.url()));
}
