//! A connection's bytes, with TLS or without: the ones read ahead first, then the socket's; and a
//! close that does not tear the answer out of the client's hands.

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::connection_registry::ConnectionState;
use super::heads::{Frames, Http1Head};
use super::tls::Tls;

/// The beginning of every HTTP/2 connection with prior knowledge (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Room for the first read: most heads fit.
const FIRST_READ: usize = 4096;
/// The bytes of an unwanted body that are read away, and the time for that, so that the kernel does not
/// answer it with a reset that overtakes the response.
const DISCARD_BYTES: usize = 4 << 20;
const DISCARD_TIME: Duration = Duration::from_millis(500);

/// An accepted socket of either kind.
pub(super) type Socket = Either<TcpStream, UnixStream>;
/// The same, or TLS over it.
type Transport = Either<Socket, Box<TlsStream<Socket>>>;

/// The address that a connection comes from, or none that anybody has where it is gone; `None` on a
/// unix socket.
pub(super) fn peer(socket: &Socket) -> Option<IpAddr> {
    match socket {
        Either::Left(socket) => {
            Some(socket.peer_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |address| address.ip()))
        }
        Either::Right(_) => None,
    }
}

/// The protocol that a client opened with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// A socket under hyper.
#[derive(Debug)]
pub(super) struct Stream {
    socket: Transport,
    ahead: Bytes,
    state: Arc<ConnectionState>,
    reading: Reading,
    /// The largest list of fields in HTTP/2, in bytes.
    max_head_bytes: usize,
    discard: Discard,
}

/// The protocol that what is read belongs to.
#[derive(Debug)]
enum Reading {
    Http1(Http1Head),
    Http2(Frames),
}

#[derive(Debug)]
enum Discard {
    /// The write side is open.
    NotYet,
    /// The write side is shut, and nothing had come yet.
    Listening,
    /// Bytes came, or will: this many more are read until then.
    Reading { left: usize, until: Pin<Box<Sleep>> },
}

impl Stream {
    /// Does the TLS handshake, if this listener has TLS and the socket is of TCP. Then reads until the
    /// first bytes differ from HTTP/2's preface or hold all of it; they are read again by whoever
    /// comes next. `None` where the client closed before that.
    pub(super) async fn open(
        socket: Socket,
        tls: Option<Arc<Tls>>,
        state: Arc<ConnectionState>,
        max_head_bytes: usize,
    ) -> io::Result<Option<(Self, Protocol)>> {
        let mut socket = match tls {
            Some(tls) if matches!(socket, Either::Left(_)) => {
                let peer = peer(&socket);
                // Boxed, since it is larger than all that a connection without TLS needs.
                Either::Right(Box::new(Box::pin(tls.accept(socket, peer)).await?))
            }
            _ => Either::Left(socket),
        };
        let mut first = Vec::with_capacity(FIRST_READ);
        let protocol = loop {
            if socket.read_buf(&mut first).await? == 0 {
                return Ok(None);
            }
            let compared = first.len().min(PREFACE.len());
            if first[..compared] != PREFACE[..compared] {
                break Protocol::Http1;
            }
            if compared == PREFACE.len() {
                break Protocol::Http2;
            }
        };
        let reading = match protocol {
            Protocol::Http1 => Reading::Http1(Http1Head::default()),
            Protocol::Http2 => Reading::Http2(Frames::after(PREFACE.len())),
        };
        let (ahead, discard) = (first.into(), Discard::NotYet);
        Ok(Some((Self { socket, ahead, state, reading, max_head_bytes, discard }, protocol)))
    }

    /// Puts back what was read, for whoever reads next. It is counted again when it is read.
    pub(super) fn put_back(&mut self, bytes: Vec<u8>) {
        self.ahead = if self.ahead.is_empty() {
            bytes.into()
        } else {
            [&bytes, &*self.ahead].concat().into()
        };
        if let Reading::Http1(head) = &mut self.reading {
            *head = Http1Head::default();
        }
    }

    /// Takes note of what was read, and of the memory that an unfinished head takes with it.
    fn received(&mut self, bytes: &[u8]) -> io::Result<()> {
        let reserved = match &mut self.reading {
            Reading::Http1(head) => {
                let (started, ended) = self.state.requests();
                head.received(bytes.len(), started, ended)
            }
            Reading::Http2(frames) => {
                self.state.has_read(bytes.len());
                frames.received(bytes, self.max_head_bytes)
            }
        };
        self.state.reservation().resize(reserved).map_err(|_| {
            tracing::warn!("closed a connection: unfinished heads take all of their memory, or all of its address's");
            io::ErrorKind::OutOfMemory.into()
        })
    }

    /// Reads away what still comes, within bounds. Without a known unread body, only what is
    /// there already counts: most connections end here without waiting.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut room = [MaybeUninit::uninit(); 8192];
        loop {
            let mut buffer = ReadBuf::uninit(&mut room);
            match Pin::new(&mut self.socket).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let left = self.discard.left().saturating_sub(buffer.filled().len());
                    if left == 0 {
                        return Poll::Ready(());
                    }
                    self.discard.read_on(left);
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        if self.state.has_unread_body() {
            self.discard.read_on(self.discard.left());
        }
        match &mut self.discard {
            Discard::Reading { until, .. } => until.as_mut().poll(cx),
            Discard::NotYet | Discard::Listening => Poll::Ready(()),
        }
    }
}

impl Discard {
    fn left(&self) -> usize {
        match self {
            Self::Reading { left, .. } => *left,
            Self::NotYet | Self::Listening => DISCARD_BYTES,
        }
    }

    fn read_on(&mut self, now_left: usize) {
        match self {
            Self::Reading { left, .. } => *left = now_left,
            Self::NotYet | Self::Listening => {
                let until = Box::pin(tokio::time::sleep(DISCARD_TIME));
                *self = Self::Reading { left: now_left, until };
            }
        }
    }
}

/// The bytes of HTTP/1 that are read at once. hyper reads more and more ahead of the heads that it has
/// looked at, which would count for nobody.
const MAX_AT_ONCE: usize = 16 * 1024;

impl Stream {
    fn poll_socket(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = Pin::new(&mut self.socket);
        if !matches!(self.reading, Reading::Http1(..)) || buffer.remaining() <= MAX_AT_ONCE {
            return socket.poll_read(cx, buffer);
        }
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(MAX_AT_ONCE));
        ready!(socket.poll_read(cx, &mut part))?;
        let read = part.filled().len();
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if matches!(this.reading, Reading::Http2(_)) && !this.state.is_readable() {
            // The requests that came are looked at first.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        if this.ahead.is_empty() {
            ready!(this.poll_socket(cx, buffer))?;
        } else {
            let taken = this.ahead.len().min(buffer.remaining());
            buffer.put_slice(&this.ahead[..taken]);
            this.ahead.advance(taken);
            if this.ahead.is_empty() {
                // Gives the buffer back rather than keeping it for the connection's life.
                this.ahead = Bytes::new();
            }
        }
        Poll::Ready(this.received(&buffer.filled()[before..]))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// Shuts the write side, so that the client knows the answer to be whole, then discards.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Discard::NotYet = self.discard {
            ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
            self.discard = Discard::Listening;
        }
        self.poll_discard(cx).map(Ok)
    }
}
