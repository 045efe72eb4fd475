//! Real sockets on free ports, a trivial service behind them.

mod bind;
mod drain;
mod hot_loop;
mod http;
mod idle_clients;
mod memory;
mod repeated_heads;
mod tls;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Address, DrainReport, Limits, Listeners, Shutdown, Tls};
use crate::wire::BodyRead;
use crate::wire::connection::Connection;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
/// A timeout far beyond what anything here takes, on any machine.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The signals between a test and the service under test.
#[derive(Debug, Default)]
struct HoldSignals {
    /// `/hold` was called.
    started: Notify,
    /// Lets one `/hold` go on.
    release: Notify,
}

/// A server on one free port of the loopback.
struct Server {
    address: SocketAddr,
    shutdown: Shutdown,
    hold: Arc<HoldSignals>,
    task: JoinHandle<DrainReport>,
}

impl Server {
    fn start() -> Self {
        Self::with(&Limits::default(), TIMEOUT)
    }

    fn with(limits: &Limits, grace: Duration) -> Self {
        Self::with_tls(limits, grace, None)
    }

    fn with_tls(limits: &Limits, grace: Duration, tls: Option<Arc<Tls>>) -> Self {
        // A loopback address for each server: nobody else gets its port once it is closed.
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let ip = [127, 1, 0, NEXT.fetch_add(1, Ordering::Relaxed)];
        let any = Address::Tcp((ip, 0).into());
        let listeners = Listeners::bind(&[any], limits).unwrap().with_tls(tls);
        let [Address::Tcp(address)] = listeners.addresses()[..] else { panic!("one TCP address") };
        let (shutdown, hold) = (Shutdown::new(grace), Arc::new(HoldSignals::default()));
        let (service, handle) = (service(Arc::clone(&hold)), shutdown.clone());
        let task = tokio::spawn(async move { listeners.serve(service, &handle).await });
        Self { address, shutdown, hold, task }
    }

    async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    async fn connect_http2<B>(&self) -> http2::SendRequest<B>
    where
        B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
    {
        let io = TokioIo::new(self.connect().await.0);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// A connection whose request is in flight until it is released.
    async fn hold(&self) -> Client {
        self.hold_with("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n").await
    }

    /// The same, of a request with this head.
    async fn hold_with(&self, head: &str) -> Client {
        let mut client = self.connect().await;
        client.send(head).await;
        self.hold.started.notified().await;
        client
    }

    async fn connect_from(&self, address: [u8; 4]) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((address, 0).into()).unwrap();
        Client(socket.connect(self.address).await.unwrap())
    }

    /// Sends `request` on a connection of its own and reads until the server closes it.
    async fn exchange(&self, request: &str) -> String {
        let mut client = self.connect().await;
        client.send(request).await;
        client.rest().await
    }

    /// Checks that a fresh connection is answered.
    async fn assert_alive(&self) {
        let answer = self.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }

    async fn report(self) -> DrainReport {
        timeout(TIMEOUT, self.task).await.unwrap().unwrap()
    }
}

/// A connection that is written to and read from byte by byte.
struct Client(TcpStream);

impl Client {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// One answer: its head, and a body as long as the head says.
    async fn answer(&mut self) -> String {
        timeout(TIMEOUT, async {
            let mut read = Vec::new();
            while !read.ends_with(b"\r\n\r\n") {
                read.push(self.0.read_u8().await.unwrap());
            }
            let head = String::from_utf8(read).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            self.0.read_exact(&mut body).await.unwrap();
            head + String::from_utf8(body).unwrap().as_str()
        })
        .await
        .unwrap()
    }

    /// Reads until the server closes the connection.
    async fn rest(&mut self) -> String {
        let mut rest = String::new();
        timeout(TIMEOUT, self.0.read_to_string(&mut rest)).await.unwrap().unwrap();
        rest
    }

    /// Checks that the server closes the connection without another byte, politely or not.
    async fn assert_aborted(&mut self) {
        let mut rest = Vec::new();
        let _ = timeout(TIMEOUT, self.0.read_to_end(&mut rest)).await.expect("still open");
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }
}

type Answering = Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>;

/// `/` answers "hello", `/read` how much body it read, `/headers` how many fields there were,
/// `/hold` when it is told to, `/panic` never.
fn service(
    hold: Arc<HoldSignals>,
) -> impl Fn(Connection, Request<Incoming>) -> Answering + Clone + Send + 'static {
    move |_peer, request| {
        let hold = Arc::clone(&hold);
        Box::pin(async move {
            let mut read = None;
            let text = match request.uri().path() {
                "/read" => {
                    read = Some(BodyRead);
                    let body = request.into_body().collect().await.unwrap();
                    format!("read {}", body.to_bytes().len())
                }
                "/headers" => {
                    let bytes: usize =
                        request.headers().values().map(::http::HeaderValue::len).sum();
                    format!("{} fields, {bytes} bytes", request.headers().len())
                }
                "/hold" => {
                    hold.started.notify_one();
                    hold.release.notified().await;
                    "held".to_owned()
                }
                "/panic" => panic!("a test asked for it"),
                _ => "hello".to_owned(),
            };
            let mut response = Response::new(Full::from(text));
            if let Some(read) = read {
                response.extensions_mut().insert(read);
            }
            response
        })
    }
}
