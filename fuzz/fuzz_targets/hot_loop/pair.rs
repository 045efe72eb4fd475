//! Two servers of one service, one with the hot loop and one with hyper alone, and what both answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use portcullis::server::{Address, HeadService, Limits, Listeners, Shutdown};
use portcullis::wire::connection::Connection;
use portcullis::wire::request_head::RequestHead;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::yield_now;

/// The turns of the runtime in which nothing comes and no request waits for its answer, until a server counts as waiting.
/// It takes four from a connection to the first answer, and one from a piece to the next.
const QUIET_TURNS: u32 = 8;

pub struct Pair {
    sockets: [PathBuf; 2],
    in_flight: InFlight,
}

/// The requests that a service has not answered yet. Some wait for other threads, which no turn of the runtime shows.
#[derive(Clone, Default)]
struct InFlight(Arc<AtomicUsize>);

/// A request in flight, until this is dropped.
struct Entered(InFlight);

impl InFlight {
    fn enter(&self) -> Entered {
        self.0.fetch_add(1, Ordering::Relaxed);
        Entered(self.clone())
    }

    fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A service whose requests are counted.
#[derive(Clone)]
struct Counted<S> {
    service: S,
    in_flight: InFlight,
}

impl<S: HeadService> HeadService for Counted<S> {
    async fn answer(
        &self,
        connection: Connection,
        head: &RequestHead<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        let _entered = self.in_flight.enter();
        self.service.answer(connection, head, out).await
    }
}

impl Pair {
    /// Starts both servers on sockets of this name.
    pub fn start<S, A, F, B>(name: &str, service: S, answer: A) -> Self
    where
        S: HeadService,
        A: Fn(Connection, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body + Default + Send + 'static,
        B::Data: Send,
        B::Error: std::error::Error + Send + Sync,
    {
        let folder = std::env::temp_dir().join(format!("portcullis-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for sockets");
        let in_flight = InFlight::default();
        let heads = Counted { service, in_flight: in_flight.clone() };
        let entered = in_flight.clone();
        let answer = move |connection, request| {
            let entered = entered.enter();
            let answered = answer(connection, request);
            async move {
                let _entered = entered;
                answered.await
            }
        };
        let sockets = [true, false].map(|hot_loop| {
            let socket = folder.join(format!("{name}-{hot_loop}"));
            let limits = Limits { hot_loop, ..Limits::default() };
            let addresses = [Address::Unix(socket.clone())];
            let listeners = Listeners::bind(&addresses, &limits).expect("a socket");
            let (heads, answer) = (heads.clone(), answer.clone());
            tokio::spawn(async move {
                let shutdown = Shutdown::new(std::time::Duration::ZERO);
                listeners.serve_with(Some(heads), answer, &shutdown).await
            });
            socket
        });
        Self { sockets, in_flight }
    }

    /// All that each server answers to these pieces: with the hot loop, and without.
    pub async fn answers(&self, pieces: &[&[u8]]) -> [Vec<u8>; 2] {
        let [hot, plain] = &self.sockets;
        [self.answers_of(hot, pieces).await, self.answers_of(plain, pieces).await]
    }

    /// All that a server answers, without the lines of dates.
    async fn answers_of(&self, socket: &Path, pieces: &[&[u8]]) -> Vec<u8> {
        let mut client = UnixStream::connect(socket).await.expect("a server");
        let mut read = Vec::new();
        self.settle(&client, &mut read).await;
        for piece in pieces {
            // A server that has closed already reads no more.
            if client.write_all(piece).await.is_err() {
                break;
            }
            self.settle(&client, &mut read).await;
        }
        // Whoever waits for the rest of a request learns that there is none.
        let _ = client.shutdown().await;
        let _ = client.read_to_end(&mut read).await;
        without_dates(&read)
    }

    /// Lets the server go on until it waits for more, and reads what it answers meanwhile.
    async fn settle(&self, client: &UnixStream, read: &mut Vec<u8>) {
        let mut quiet = 0;
        while quiet < QUIET_TURNS {
            yield_now().await;
            match client.try_read_buf(read) {
                Ok(bytes) if bytes > 0 => quiet = 0,
                _ if !self.in_flight.is_empty() => quiet = 0,
                _ => quiet += 1,
            }
        }
    }
}

fn without_dates(bytes: &[u8]) -> Vec<u8> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines.filter(|line| !line.starts_with(b"date: ")).flatten().copied().collect()
}
