//! Connections as tonic's server is given them: so many at most, none that never says anything,
//! and all of them cut where the drain takes too long.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::wire::places::{Place, Places};

/// How many connections are open at once; more wait for their turn in the kernel's queue.
pub(super) const MOST_CONNECTIONS: usize = 1024;
/// How long nothing is accepted after the system could not.
const PAUSE: Duration = Duration::from_millis(100);
/// The first bytes of HTTP/2 (RFC 9113, section 3.4). After them its own pings find silence.
const PREFACE_BYTES: usize = 24;

/// A connection that keeps its place among all of them until it is closed.
#[derive(Debug)]
pub(super) struct Connection {
    io: TcpStream,
    peer: SocketAddr,
    opening: Option<Opening>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _held: (OwnedSemaphorePermit, Place),
}

/// What has to come before when.
#[derive(Debug)]
struct Opening {
    missing: usize,
    until: Pin<Box<Sleep>>,
}

/// Accepts until the stream is dropped. A connection that has not begun to speak HTTP/2, or TLS,
/// `within` this time is closed, and so is one for whose address there is no place; `cut` closes all
/// of them.
///
/// tonic's own stream of connections would spin where the process may open no more files.
pub(super) fn accept(
    listener: TcpListener,
    within: Duration,
    places: Arc<Places>,
    cut: CancellationToken,
) -> ReceiverStream<io::Result<Connection>> {
    let (sender, accepted) = mpsc::channel(1);
    tokio::spawn(async move {
        let accepting = async {
            let permits = Arc::new(Semaphore::new(MOST_CONNECTIONS));
            while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
                let (io, peer) = next(&listener).await;
                let Some(place) = places.take(Some(peer.ip())) else {
                    let client = tracing::field::display(peer.ip());
                    tracing::warn!(client, "closed a connection: MAX_CONNECTIONS_PER_ADDRESS");
                    continue;
                };
                let until = Box::pin(tokio::time::sleep(within));
                let opening = Some(Opening { missing: PREFACE_BYTES, until });
                let cut = Box::pin(cut.clone().cancelled_owned());
                let held = (permit, place);
                let connection = Connection { io, peer, opening, cut, _held: held };
                if sender.send(Ok(connection)).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            () = sender.closed() => {}
        }
    });
    ReceiverStream::new(accepted)
}

async fn next(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((io, peer)) => {
                if let Err(error) = io.set_nodelay(true) {
                    tracing::debug!(%error, "a connection sends small answers late");
                }
                return (io, peer);
            }
            // Gone before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "no gRPC connection can be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        TcpConnectInfo { local_addr: self.io.local_addr().ok(), remote_addr: Some(self.peer) }
    }
}

impl Connection {
    /// Notes that so many bytes came; whether the connection is still to begin, and too late.
    fn is_late(&mut self, came: usize, context: &mut Context<'_>) -> bool {
        let Some(opening) = &mut self.opening else {
            return false;
        };
        opening.missing = opening.missing.saturating_sub(came);
        if opening.missing == 0 {
            self.opening = None;
            return false;
        }
        opening.until.as_mut().poll(context).is_ready()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = into.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, into);
        let came = into.filled().len() - before;
        if self.is_late(came, context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tonic::codegen::tokio_stream::StreamExt as _;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    /// A connection as accepted, its other end, and what cuts it.
    async fn pair(within: Duration) -> (Connection, TcpStream, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let cut = CancellationToken::new();
        let mut accepted = accept(listener, within, Places::unbounded(), cut.clone());
        let client = TcpStream::connect(address).await.expect("a connection");
        let connection = accepted.next().await.expect("open").expect("accepted");
        assert_eq!(connection.connect_info().remote_addr, client.local_addr().ok());
        (connection, client, cut)
    }

    #[tokio::test]
    async fn who_does_not_begin_in_time_is_cut_off() {
        let (mut connection, mut client, _cut) = pair(Duration::from_millis(20)).await;
        client.write_all(b"PRI * HTTP/2.0\r\n").await.expect("sent");
        let ended = connection.read_to_end(&mut Vec::new()).await;
        assert_eq!(ended.expect_err("late").kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_began_may_be_silent_until_all_are_cut_off() {
        let (mut connection, mut client, cut) = pair(HOUR).await;
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sent");
        let mut preface = [0; PREFACE_BYTES];
        connection.read_exact(&mut preface).await.expect("read");
        assert!(connection.opening.is_none());
        let reading = tokio::spawn(async move { connection.read_u8().await });
        cut.cancel();
        let ended = reading.await.expect("no panic");
        assert_eq!(ended.expect_err("cut").kind(), io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test]
    async fn nobody_listens_once_the_stream_is_dropped() {
        // Nobody else gets a port of this loopback address once it is closed.
        let listener = TcpListener::bind("127.2.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        drop(accept(listener, HOUR, Places::unbounded(), CancellationToken::new()));
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}
