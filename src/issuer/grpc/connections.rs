//! Connections as tonic's server is given them: so many at most, none that never says anything,
//! and all of them aborted where the drain takes too long.

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

use crate::wire::address_limit::{AddressLimit, AddressPermit};

/// How many connections are open at once; more wait for their turn in the kernel's queue.
pub(super) const MAX_CONNECTIONS: usize = 1024;
/// How long nothing is accepted after the system could not.
const PAUSE: Duration = Duration::from_millis(100);
/// The first bytes of HTTP/2 (RFC 9113, section 3.4). After them its own pings find silence.
const PREFACE_BYTES: usize = 24;

/// A connection that keeps its permits until it is closed.
#[derive(Debug)]
pub(super) struct Connection {
    io: TcpStream,
    peer: SocketAddr,
    preface: Option<PrefaceDeadline>,
    aborted: Pin<Box<WaitForCancellationFutureOwned>>,
    _held: (OwnedSemaphorePermit, AddressPermit),
}

/// Bytes that are still missing of the preface, and the deadline for them.
#[derive(Debug)]
struct PrefaceDeadline {
    missing: usize,
    until: Pin<Box<Sleep>>,
}

/// Accepts until the stream is dropped. A connection that has not begun to speak HTTP/2, or TLS,
/// `within` this time is closed, and so is one whose address has all of its permits; `aborted`
/// closes all of them.
///
/// tonic's own stream of connections would spin where the process may open no more files.
pub(super) fn accept(
    listener: TcpListener,
    within: Duration,
    address_limit: Arc<AddressLimit>,
    aborted: CancellationToken,
) -> ReceiverStream<io::Result<Connection>> {
    let (sender, accepted) = mpsc::channel(1);
    tokio::spawn(async move {
        let accepting = async {
            let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
            while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
                let (io, peer) = next(&listener).await;
                let Some(address_permit) = address_limit.acquire(Some(peer.ip())) else {
                    let client = tracing::field::display(peer.ip());
                    tracing::warn!(client, "closed a connection: MAX_CONNECTIONS_PER_ADDRESS");
                    continue;
                };
                let until = Box::pin(tokio::time::sleep(within));
                let preface = Some(PrefaceDeadline { missing: PREFACE_BYTES, until });
                let aborted = Box::pin(aborted.clone().cancelled_owned());
                let held = (permit, address_permit);
                let connection = Connection { io, peer, preface, aborted, _held: held };
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
        let Some(preface) = &mut self.preface else {
            return false;
        };
        preface.missing = preface.missing.saturating_sub(came);
        if preface.missing == 0 {
            self.preface = None;
            return false;
        }
        preface.until.as_mut().poll(context).is_ready()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.aborted.as_mut().poll(context).is_ready() {
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

    /// A connection as accepted, its other end, and what aborts it.
    async fn pair(within: Duration) -> (Connection, TcpStream, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let aborted = CancellationToken::new();
        let mut accepted = accept(listener, within, AddressLimit::unlimited(), aborted.clone());
        let client = TcpStream::connect(address).await.expect("a connection");
        let connection = accepted.next().await.expect("open").expect("accepted");
        assert_eq!(connection.connect_info().remote_addr, client.local_addr().ok());
        (connection, client, aborted)
    }

    #[tokio::test]
    async fn who_does_not_begin_in_time_is_aborted() {
        let (mut connection, mut client, _aborted) = pair(Duration::from_millis(20)).await;
        client.write_all(b"PRI * HTTP/2.0\r\n").await.expect("sent");
        let ended = connection.read_to_end(&mut Vec::new()).await;
        assert_eq!(ended.expect_err("late").kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_began_may_be_silent_until_all_are_aborted() {
        let (mut connection, mut client, aborted) = pair(HOUR).await;
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sent");
        let mut bytes = [0; PREFACE_BYTES];
        connection.read_exact(&mut bytes).await.expect("read");
        assert!(connection.preface.is_none());
        let reading = tokio::spawn(async move { connection.read_u8().await });
        aborted.cancel();
        let ended = reading.await.expect("no panic");
        assert_eq!(ended.expect_err("aborted").kind(), io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test]
    async fn nobody_listens_once_the_stream_is_dropped() {
        // Nobody else gets a port of this loopback address once it is closed.
        let listener = TcpListener::bind("127.2.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        drop(accept(listener, HOUR, AddressLimit::unlimited(), CancellationToken::new()));
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}
