//! Two servers of one service, one with the hot loop and one with hyper alone, and what both answer.

use std::path::{Path, PathBuf};

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use portcullis::server::{Address, HeadService, Limits, Listeners, Shutdown};
use portcullis::wire::connection::Connection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::yield_now;

/// The turns of the runtime in which nothing comes and nothing is decided, until a server counts as waiting. It takes four
/// from a connection to the first answer, and one from a piece to the next.
const QUIET_TURNS: u32 = 8;

pub struct Pair {
    sockets: [PathBuf; 2],
    /// Returns whether other threads have something to do, which no turn of the runtime shows.
    is_deciding: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Pair {
    /// Starts both servers on sockets of this name.
    pub fn start<S, A, F, B>(name: &str, heads: S, answer: A) -> Self
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
        Self { sockets, is_deciding: Box::new(|| false) }
    }

    /// The same, which waits while `is_deciding`.
    pub fn waiting_while(self, is_deciding: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { is_deciding: Box::new(is_deciding), ..self }
    }

    /// All that each server answers to these pieces: twice with the hot loop, and without.
    pub async fn answers(&self, pieces: &[&[u8]]) -> [Vec<u8>; 3] {
        let [hot, plain] = &self.sockets;
        let [first, again] =
            [self.answers_of(hot, pieces).await, self.answers_of(hot, pieces).await];
        [first, again, self.answers_of(plain, pieces).await]
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
                _ if (self.is_deciding)() => quiet = 0,
                _ => quiet += 1,
            }
        }
    }
}

fn without_dates(bytes: &[u8]) -> Vec<u8> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines.filter(|line| !line.starts_with(b"date: ")).flatten().copied().collect()
}
