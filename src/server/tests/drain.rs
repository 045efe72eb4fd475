//! Restarts that do not show.

use std::sync::Arc;
use std::time::Duration;

use ::http::Request;
use bytes::Bytes;
use http_body_util::Empty;
use tokio::time::{Instant, timeout};

use super::{
    Address, DrainReport, GET, HoldSignals, Limits, Listeners, Server, Shutdown, TIMEOUT, service,
};

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

#[tokio::test]
async fn http_2_streams_in_flight_are_answered() {
    let server = Server::start();
    let mut sender = server.connect_http2().await;
    let request = Request::get("http://a/hold").body(Empty::<Bytes>::new()).unwrap();
    let answer = tokio::spawn(sender.send_request(request));
    server.hold.started.notified().await;
    server.shutdown.begin();
    let probes = until_refused(&server).await;
    server.hold.release.notify_one();
    assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    let finished = probes + 1;
    assert_eq!(server.report().await, DrainReport { finished, aborted: 0 });
}

#[tokio::test]
async fn what_is_open_at_the_deadline_is_aborted() {
    let grace = Duration::from_millis(200);
    let server = Server::with(&Limits::default(), grace);
    let mut client = server.hold().await;
    let started = Instant::now();
    server.shutdown.begin();
    client.assert_aborted().await;
    assert!(started.elapsed() >= grace);
    assert_eq!(server.report().await, DrainReport { finished: 0, aborted: 1 });
}

#[tokio::test]
async fn an_abort_ends_at_once() {
    let server = Server::with(&Limits::default(), TIMEOUT * 100);
    let mut client = server.hold().await;
    server.shutdown.begin();
    let probes = until_refused(&server).await;
    server.shutdown.abort();
    client.assert_aborted().await;
    assert_eq!(server.report().await, DrainReport { finished: probes, aborted: 1 });
}

#[tokio::test]
async fn a_dropped_server_leaves_no_connection_behind() {
    let server = Server::start();
    let mut client = server.hold().await;
    server.task.abort();
    client.assert_aborted().await;
}

/// Waits until the listener is closed, by which time the drain has begun. Returns the number of
/// connections that it took to see it: the drain counts those as well.
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
