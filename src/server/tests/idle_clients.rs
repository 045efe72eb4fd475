//! Clients that stop, and what they cost the others: nothing.

use std::time::Duration;

use super::{GET, Limits, Server, TIMEOUT};

const SHORT: Duration = Duration::from_millis(200);

fn short() -> Limits {
    Limits { idle_timeout: SHORT, ..Limits::default() }
}

#[tokio::test]
async fn silent_connections_are_closed() {
    let server = Server::with(&short(), TIMEOUT);
    let never = ["", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nHost: a\r\n"];
    for sent in never {
        let mut client = server.connect().await;
        client.send(sent).await;
        let started = tokio::time::Instant::now();
        client.assert_aborted().await;
        assert!(started.elapsed() >= SHORT / 2, "{sent:?} after {:?}", started.elapsed());
    }
    // The whole preface of HTTP/2 is answered with SETTINGS, then there is silence.
    let mut client = server.connect().await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let mut frames = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut client.0, &mut frames);
    let _ = tokio::time::timeout(TIMEOUT, read).await.expect("still open");
    assert_eq!(frames.get(3), Some(&4), "the first frame is SETTINGS: {frames:?}");
}

#[tokio::test]
async fn a_head_that_trickles_is_closed_all_the_same() {
    let server = Server::with(&short(), TIMEOUT);
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\n").await;
    let trickle = async {
        use tokio::io::AsyncWriteExt;
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        while client.0.write_all(b"X: y\r\n").await.is_ok() {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(TIMEOUT, trickle).await.expect("still open");
}

#[tokio::test]
async fn an_idle_keep_alive_connection_is_closed_but_a_used_one_is_not() {
    let server = Server::with(&short(), TIMEOUT);
    let (mut used, mut idle) = (server.connect().await, server.connect().await);
    idle.send(GET).await;
    idle.answer().await;
    let started = tokio::time::Instant::now();
    let mut ticks = tokio::time::interval(SHORT / 10);
    while started.elapsed() < SHORT * 3 {
        used.send(GET).await;
        assert!(used.answer().await.ends_with("hello"));
        ticks.tick().await;
    }
    idle.assert_aborted().await;
}

#[tokio::test]
async fn a_slow_answer_is_not_silence_until_the_request_timeout() {
    let limits = Limits { request_timeout: SHORT * 5, ..short() };
    let server = Server::with(&limits, TIMEOUT);
    let mut client = server.hold().await;
    // The silence of another that came later is noticed, so this one's would have been before.
    server.connect().await.assert_aborted().await;
    server.hold.release.notify_one();
    assert!(client.answer().await.ends_with("held"));
    // A body that never ends holds its request in flight; that has an end as well.
    let mut client = server.connect().await;
    client.send("POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc").await;
    client.assert_aborted().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let limits = Limits { max_connections: 2, ..Limits::default() };
    let server = Server::with(&limits, TIMEOUT);
    let (first, second) = (server.connect().await, server.connect().await);
    let mut third = server.connect().await;
    third.send(GET).await;
    let early = tokio::time::timeout(SHORT, third.0.readable()).await;
    assert!(early.is_err(), "a third connection was served beside two");
    drop(first);
    assert!(third.answer().await.ends_with("hello"));
    drop(second);
}

#[test]
fn only_errors_of_one_connection_are_tried_again_at_once() {
    let retried = |code| {
        let error = std::io::Error::from_raw_os_error(code);
        super::super::accept_error::is_connection_error(&error)
    };
    // ECONNABORTED, EINTR, EHOSTUNREACH; then EMFILE, ENFILE, ENOMEM, ENOBUFS, EBADF.
    assert!([103, 4, 113].map(retried).iter().all(|again| *again));
    assert!([24, 23, 12, 105, 9].map(retried).iter().all(|again| !again));
}
