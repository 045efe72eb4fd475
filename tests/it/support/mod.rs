//! Support for the integration tests: real programs on free ports of 127.0.0.1, a raw HTTP client, tokens good and bad.
//!
//! Everything started here is ended by its own process id when its value is dropped, also when a test fails.

#![allow(dead_code, reason = "each module uses its own part of the support")]

pub mod app;
pub mod authnzerver;
pub mod caddy;
pub mod canned_response;
pub mod certificates;
pub mod demo;
pub mod envoy;
pub mod faulty_store;
pub mod gate;
pub mod grpc_app;
pub mod h2c;
pub mod haproxy;
pub mod http;
pub mod https;
pub mod ingress;
pub mod issuance;
pub mod issuer;
pub mod mail_server;
pub mod memcached;
pub mod nginx;
pub mod page;
pub mod pgbouncer;
pub mod postgres;
pub mod prober;
pub mod process;
pub mod proxy;
pub mod realm;
pub mod redis;
pub mod redis_cluster;
pub mod redis_sentinel;
pub mod relay;
pub mod script;
pub mod scripted_server;
pub mod stores;
pub mod suite;
pub mod tokens;
pub mod topology;
pub mod traefik;
pub mod yaml;

use std::{
    collections::HashSet,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex},
    time::{Duration, Instant},
};

/// The time that anything local may take before a test calls it broken: generous, since a busy machine may
/// stand still for its disk longer than for its processors.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Options for a file whose writers queue on a machine that has much else to do.
pub fn patient_sqlite() -> portcullis::store::sqlite::Options {
    // A thousand writes, each on the disk before the next, while other tests write too.
    portcullis::store::sqlite::Options { busy_timeout: PATIENCE * 5, ..Default::default() }
}

/// The path of the program, or `None` after a visible word that the test is skipped.
///
/// # Panics
///
/// With `PORTCULLIS_TEST_REQUIRE=1` in the environment: there a missing program is a failure.
pub fn require(program: &str) -> Option<PathBuf> {
    let found = places().into_iter().map(|dir| dir.join(program)).find(|path| path.is_file());
    found_or_skipped(program, found)
}

/// `found`, where `None` comes after a visible word that the test is skipped.
///
/// # Panics
///
/// As [`require`] does.
pub fn found_or_skipped<T>(what: &str, found: Option<T>) -> Option<T> {
    if found.is_none() {
        assert!(
            std::env::var_os("PORTCULLIS_TEST_REQUIRE").is_none_or(|value| value != "1"),
            "{what} not found, and PORTCULLIS_TEST_REQUIRE=1 makes that a failure"
        );
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        say(&format!("SKIPPED {test}: {what} not found"));
    }
    found
}

/// Prints a line that is seen whether the test fails or not: straight to the file descriptor, since the test harness
/// captures `eprintln!`.
pub fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("stderr is open");
}

fn places() -> Vec<PathBuf> {
    let venv = std::env::var_os("PORTCULLIS_TEST_VENV").map(|venv| PathBuf::from(venv).join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    venv.into_iter()
        .chain(std::env::split_paths(&path))
        .chain(["/usr/sbin".into(), "/usr/bin".into()])
        .collect()
}

/// An address that nobody listens on, handed out once in the life of this process.
///
/// Below the range from which the kernel takes ports for outgoing connections, so that none of those is in the way later.
pub fn free_address() -> SocketAddr {
    static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);
    let mut given = GIVEN.lock().expect("no test panics while it holds the ports");
    let start = 12_000 + u16::try_from(std::process::id() % 200).expect("below 200") * 100;
    let port = (start..32_000)
        .chain(12_000..start)
        .find(|port| !given.contains(port) && can_be_bound(*port))
        .expect("a free port on loopback");
    given.insert(port);
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Tries it without listening: a program that another thread starts holds a copy of the socket for a
/// moment, and one that listens would keep the port.
fn can_be_bound(port: u16) -> bool {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("an option of sockets");
    socket.bind((Ipv4Addr::LOCALHOST, port).into()).is_ok()
}

/// Asks again and again until there is an answer; the time that it took comes along.
///
/// # Panics
///
/// When there is none within `limit`.
pub fn poll<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> (T, Duration) {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return (answer, start.elapsed());
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// True if tests are to write generated files instead of failing where they differ.
pub fn is_regenerating() -> bool {
    std::env::var_os("PORTCULLIS_REGENERATE").is_some_and(|value| value == "1")
}

/// A file of the repository.
pub fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of an example with each `(from, to)` carried out.
///
/// # Panics
///
/// When a `from` does not stand in the text exactly `times` times: the example has changed, and the test must see that.
pub fn substituted(example: &str, edits: &[(usize, &str, &str)]) -> String {
    let path = in_repository(example);
    let mut text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for (times, from, to) in edits {
        assert_eq!(
            text.matches(from).count(),
            *times,
            "{example} should hold {from:?} {times} times"
        );
        text = text.replace(from, to);
    }
    text
}
