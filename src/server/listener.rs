//! The listening sockets, from `bind` to the last connection of their backlog.

use std::fs;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net as unix;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll};

use socket2::{Domain, SockAddr, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::accept_error::{EXHAUSTED_BACKOFF, is_connection_error};
use super::stream::Socket;
use super::tls::Tls;
use super::{Address, Limits};

/// Connections that the kernel keeps for us; it caps this at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// The number of times that a drain waits for descriptors to accept the rest of a backlog.
const EXHAUSTED_TRIES: usize = 10;

/// Bound sockets, not yet served.
#[derive(Debug)]
pub struct Listeners {
    all: Vec<Listener>,
    /// The socket with which the next round begins, so that a busy one does not starve the others.
    next: usize,
    limits: Limits,
    tls: Option<Arc<Tls>>,
}

impl Listeners {
    /// Opens every address, or none of them. Must be called within a tokio runtime.
    pub fn bind(addresses: &[Address], limits: &Limits) -> Result<Self, BindError> {
        let bind = |address: &Address| {
            Listener::bind(address, limits.socket_mode)
                .map_err(|cause| BindError { address: address.clone(), cause })
        };
        let all = addresses.iter().map(bind).collect::<Result<_, _>>()?;
        Ok(Self { all, next: 0, limits: limits.clone(), tls: None })
    }

    /// The same, with TLS on those of TCP. Who may use a unix socket is up to the file system.
    pub fn with_tls(self, tls: Option<Arc<Tls>>) -> Self {
        Self { tls, ..self }
    }

    /// The addresses that clients reach them by: with real ports where port 0 was asked for.
    pub fn addresses(&self) -> Vec<Address> {
        self.all.iter().map(|listener| listener.address.clone()).collect()
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.clone()
    }

    /// The next connection of any listener.
    pub(super) async fn accept(&mut self) -> io::Result<Socket> {
        poll_fn(|cx| {
            for _ in 0..self.all.len() {
                self.next = (self.next + 1) % self.all.len();
                if let Poll::Ready(accepted) = self.all[self.next].inner.poll_accept(cx) {
                    return Poll::Ready(accepted);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Hands over what the kernel has already accepted, then closes: clients in the backlog have
    /// sent their requests and would see a reset.
    pub(super) async fn accept_backlog(self, spawn: impl Fn(Socket)) {
        for listener in self.all {
            let address = listener.address.clone();
            if let Err(error) = listener.accept_backlog(&spawn).await {
                tracing::warn!(%address, %error, "connections of the backlog were lost");
            }
        }
    }
}

/// An address cannot be opened; says why, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}")]
pub struct BindError {
    address: Address,
    cause: Cause,
}

/// The system's error, or our own words where they say more.
#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("{0}")]
    Explained(&'static str),
    #[error("{0}")]
    System(io::Error),
}

const IN_USE: Cause =
    Cause::Explained("another process listens there; stop it or choose another address");
const NOT_OURS: Cause = Cause::Explained(
    "this host has no such address; use one of its own, or 0.0.0.0 or [::] for every interface",
);
const DENIED: Cause = Cause::Explained(
    "permission denied; ports below 1024 need CAP_NET_BIND_SERVICE, and a unix socket a folder \
     that this user may write to",
);
const NO_FOLDER: Cause = Cause::Explained("its folder does not exist; create it first");
const NOT_A_SOCKET: Cause =
    Cause::Explained("the file exists and is no socket; move it away or choose another path");

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => IN_USE,
            io::ErrorKind::AddrNotAvailable => NOT_OURS,
            io::ErrorKind::PermissionDenied => DENIED,
            io::ErrorKind::NotFound => NO_FOLDER,
            _ => Self::System(error),
        }
    }
}

#[derive(Debug)]
struct Listener {
    address: Address,
    inner: Inner,
    /// Falls with the listener, and takes the file along.
    file: Option<SocketFile>,
}

#[derive(Debug)]
enum Inner {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn bind(address: &Address, mode: u32) -> Result<Self, Cause> {
        match address {
            Address::Tcp(address) => {
                let inner = bind_tcp(*address)?;
                let address = Address::Tcp(inner.local_addr()?);
                Ok(Self { address, inner: Inner::Tcp(inner), file: None })
            }
            Address::Unix(path) => {
                let (inner, file) = bind_unix(path, mode)?;
                Ok(Self { address: address.clone(), inner: Inner::Unix(inner), file: Some(file) })
            }
        }
    }

    async fn accept_backlog(self, spawn: impl Fn(Socket)) -> io::Result<()> {
        // A unix socket is unreachable from here on; its backlog only shrinks.
        drop(self.file);
        let inner = self.inner.into_blocking_api()?;
        let mut tries = EXHAUSTED_TRIES;
        // Bounded, since a flood could fill the backlog as fast as it is emptied.
        for _ in 0..2 * BACKLOG {
            match inner.accept() {
                Ok(socket) => spawn(socket),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if is_connection_error(&error) => {}
                Err(error) if tries == 0 => return Err(error),
                Err(_) => {
                    tries -= 1;
                    tokio::time::sleep(EXHAUSTED_BACKOFF).await;
                }
            }
        }
        Ok(())
    }
}

impl Inner {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Socket>> {
        match self {
            Self::Tcp(listener) => listener.poll_accept(cx).map_ok(|(socket, _peer)| tcp(socket)),
            Self::Unix(listener) => {
                listener.poll_accept(cx).map_ok(|(socket, _peer)| Socket::Right(socket))
            }
        }
    }

    /// The same socket without tokio, whose `accept` asks the kernel every time, while tokio's
    /// believes what it last heard of it.
    fn into_blocking_api(self) -> io::Result<Backlog> {
        Ok(match self {
            Self::Tcp(listener) => Backlog::Tcp(listener.into_std()?),
            Self::Unix(listener) => Backlog::Unix(listener.into_std()?),
        })
    }
}

/// A listening socket at its end. Still non-blocking.
#[derive(Debug)]
enum Backlog {
    Tcp(std::net::TcpListener),
    Unix(unix::UnixListener),
}

impl Backlog {
    fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => {
                let (socket, _peer) = listener.accept()?;
                socket.set_nonblocking(true)?;
                TcpStream::from_std(socket).map(tcp)
            }
            Self::Unix(listener) => {
                let (socket, _peer) = listener.accept()?;
                socket.set_nonblocking(true)?;
                UnixStream::from_std(socket).map(Socket::Right)
            }
        }
    }
}

fn tcp(socket: TcpStream) -> Socket {
    // Fails only where the client is gone already, which the first read tells.
    let _ = socket.set_nodelay(true);
    Socket::Left(socket)
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restart need not wait for the connections of its predecessor to leave TIME-WAIT.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// The mode is set between `bind` and `listen`: until then the kernel refuses everyone, so that
/// there is no moment at which the umask decides who may connect.
fn bind_unix(path: &Path, mode: u32) -> Result<(UnixListener, SocketFile), Cause> {
    remove_stale(path)?;
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::at(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok((UnixListener::from_std(socket.into())?, file))
}

/// Removes a socket that nobody listens on any more, as a killed process leaves it.
fn remove_stale(path: &Path) -> Result<(), Cause> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !metadata.file_type().is_socket() {
        return Err(NOT_A_SOCKET);
    }
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A living socket with a full backlog would block.
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Ok(fs::remove_file(path)?)
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(DENIED),
        Ok(()) | Err(_) => Err(IN_USE),
    }
}

/// The file of a unix socket; removed when dropped, unless another has taken its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), identity: (metadata.dev(), metadata.ino()) })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let identity = fs::symlink_metadata(&self.path).map(|found| (found.dev(), found.ino()));
        if identity.is_ok_and(|identity| identity == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the socket's file stays behind");
        }
    }
}
