//! Restarts that do not show.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::http::Request;
use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::{Instant, timeout};

use super::{
    Address, DrainReport, HoldSignals, Limits, Listeners, Server, Shutdown, TIMEOUT, service,
};
use crate::server::signals;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HOLD: &str = "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_request_in_flight_is_answered_and_its_connection_closed() {
    let server = Server::start();
    let mut client = server.connect().await;
    client.send(HOLD).await;
    server.hold.started.notified().await;
    server.shutdown.begin();
    let probes = until_refused(&server).await;
    server.hold.release.notify_one();
    let answer = client.rest().await;
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("held"), "{answer}");
    let finished = probes + 1;
    assert_eq!(server.report().await, DrainReport { finished, aborted: 0 });
}

#[tokio::test]
async fn an_idle_connection_is_answered_once_more_then_closed() {
    let server = Server::start();
    let mut used = server.connect().await;
    used.send(GET).await;
    used.answer().await;
    let (mut fresh, mut idle) = (server.connect().await, server.connect().await);
    idle.send(GET).await;
    idle.answer().await;
    server.shutdown.begin();
    let probes = until_refused(&server).await;
    for client in [&mut used, &mut fresh] {
        client.send(GET).await;
        let answer = client.rest().await;
        assert!(answer.contains("connection: close\r\n") && answer.ends_with("hello"), "{answer}");
    }
    assert_eq!(idle.rest().await, "");
    let finished = probes + 3;
    assert_eq!(server.report().await, DrainReport { finished, aborted: 0 });
}

#[tokio::test]
async fn the_backlog_is_answered() {
    // Nobody accepts before the drain begins: whatever is answered comes from the backlog.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.sock");
    let addresses = ["127.0.0.1:0".parse().unwrap(), Address::Unix(path.clone())];
    let limits = Limits { max_connections: 1, ..Limits::default() };
    let listeners = Listeners::bind(&addresses, &limits).unwrap();
    let Address::Tcp(tcp) = listeners.addresses()[0] else { panic!("TCP comes first") };
    let exchange = |mut socket: Box<dyn ReadWrite>| {
        std::thread::spawn(move || {
            socket.write_all(GET.as_bytes()).unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).unwrap();
            answer
        })
    };
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(exchange(Box::new(std::net::TcpStream::connect(tcp).unwrap())));
        let unix = std::os::unix::net::UnixStream::connect(&path).unwrap();
        clients.push(exchange(Box::new(unix)));
    }
    let shutdown = Shutdown::new(TIMEOUT);
    shutdown.begin();
    let report = listeners.serve(service(Arc::new(HoldSignals::default())), &shutdown).await;
    assert_eq!(report, DrainReport { finished: 200, aborted: 0 });
    for client in clients {
        let answer = client.join().unwrap();
        assert!(answer.contains("connection: close\r\n") && answer.ends_with("hello"), "{answer}");
    }
}

trait ReadWrite: std::io::Read + std::io::Write + Send {}
impl<T: std::io::Read + std::io::Write + Send> ReadWrite for T {}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_sent_in_good_faith_is_lost() {
    let server = Server::start();
    let answered = Arc::new(AtomicUsize::new(0));
    let mut clients = Vec::new();
    for _ in 0..16 {
        let mut client = server.connect().await;
        let answered = Arc::clone(&answered);
        clients.push(tokio::spawn(async move {
            // A client that asks until it is told to go, and expects an answer every time.
            loop {
                client.send(GET).await;
                let answer = client.answer().await;
                assert!(answer.ends_with("hello"), "{answer}");
                answered.fetch_add(1, Ordering::Relaxed);
                if answer.contains("connection: close") {
                    return;
                }
            }
        }));
    }
    while answered.load(Ordering::Relaxed) < 500 {
        tokio::task::yield_now().await;
    }
    server.shutdown.begin();
    for client in clients {
        timeout(TIMEOUT, client).await.unwrap().unwrap();
    }
    assert_eq!(server.report().await.aborted, 0);
}

#[tokio::test]
async fn http_2_streams_in_flight_are_answered() {
    let server = Server::start();
    let io = TokioIo::new(server.connect().await.0);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("http://a/hold").body(Empty::<Bytes>::new()).unwrap();
    let answer = tokio::spawn(sender.send_request(request));
    server.hold.started.notified().await;
    server.shutdown.begin();
    let probes = until_refused(&server).await;
    server.hold.release.notify_one();
    assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    timeout(TIMEOUT, connection).await.unwrap().unwrap().unwrap();
    let finished = probes + 1;
    assert_eq!(server.report().await, DrainReport { finished, aborted: 0 });
}

#[tokio::test]
async fn what_is_open_at_the_deadline_is_aborted() {
    let grace = Duration::from_millis(200);
    let server = Server::with(&Limits::default(), grace);
    let mut client = server.connect().await;
    client.send(HOLD).await;
    server.hold.started.notified().await;
    let started = Instant::now();
    server.shutdown.begin();
    client.assert_aborted().await;
    assert!(started.elapsed() >= grace);
    assert_eq!(server.report().await, DrainReport { finished: 0, aborted: 1 });
}

#[tokio::test]
async fn an_abort_ends_at_once() {
    let server = Server::with(&Limits::default(), TIMEOUT * 100);
    let mut client = server.connect().await;
    client.send(HOLD).await;
    server.hold.started.notified().await;
    server.shutdown.begin();
    let probes = until_refused(&server).await;
    server.shutdown.abort();
    client.assert_aborted().await;
    assert_eq!(server.report().await, DrainReport { finished: probes, aborted: 1 });
}

#[tokio::test]
async fn a_dropped_server_leaves_no_connection_behind() {
    let server = Server::start();
    let mut client = server.connect().await;
    client.send(HOLD).await;
    server.hold.started.notified().await;
    server.task.abort();
    client.assert_aborted().await;
}

#[tokio::test]
async fn one_signal_drains_and_a_second_ends() {
    // Installed before, so that no signal finds the default action.
    let kind = tokio::signal::unix::SignalKind::terminate();
    let mut seen = tokio::signal::unix::signal(kind).unwrap();
    let shutdown = Shutdown::new(TIMEOUT);
    let task = tokio::spawn(signals(shutdown.clone()));
    tokio::task::yield_now().await;
    let kill = || {
        let id = std::process::id().to_string();
        std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap()
    };
    assert!(kill().success());
    timeout(TIMEOUT, shutdown.begun()).await.unwrap();
    seen.recv().await;
    assert!(shutdown.has_begun() && !task.is_finished());
    assert!(kill().success());
    timeout(TIMEOUT, shutdown.aborted()).await.unwrap();
    task.await.unwrap().unwrap();
}

/// Waits until the listener is closed, by which time the drain has begun. Tells how many
/// connections it took to see it: the drain counts those as well.
async fn until_refused(server: &Server) -> usize {
    let mut probes = 0;
    let refused = async {
        while tokio::net::TcpStream::connect(server.address).await.is_ok() {
            probes += 1;
            tokio::task::yield_now().await;
        }
    };
    timeout(TIMEOUT, refused).await.expect("the listener is still open");
    probes
}
