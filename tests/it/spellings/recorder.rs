//! The judge and the applications: servers that keep what they were sent, to the byte, and answer 200 to everything.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::routes;
use crate::support::suite::IDENTITY;

/// The header that carries the number of a case, through the gateway and to the judge: every gateway hands it on.
pub const CASE: &str = "Authorization";

/// A request as it arrived.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The first word of the request line.
    pub method: Vec<u8>,
    /// All between the first and the last space of that line.
    pub target: Vec<u8>,
    /// Names in small letters, and values.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What arrived of one case.
#[derive(Clone, Debug, Default)]
pub struct Arrived {
    /// The gateway's questions.
    pub asked: Vec<Message>,
    /// The requests that reached an application, and the route that leads to it.
    pub forwarded: Vec<(&'static str, Message)>,
}

type Seen = Arc<Mutex<HashMap<usize, Arrived>>>;

/// The servers, and what they have seen.
pub struct Recorder {
    /// The judge.
    pub judge: SocketAddr,
    /// The application of each route.
    pub applications: HashMap<&'static str, SocketAddr>,
    seen: Seen,
}

impl Recorder {
    /// Starts a judge, and an application for each route.
    pub async fn start() -> Self {
        let seen = Seen::default();
        let judge = listen(None, &seen).await;
        let mut applications = HashMap::new();
        for name in routes::names() {
            applications.insert(name, listen(Some(name), &seen).await);
        }
        Self { judge, applications, seen }
    }

    /// All that arrived, by the numbers of cases.
    pub fn take(&self) -> HashMap<usize, Arrived> {
        std::mem::take(&mut *self.seen.lock().expect("no panic under the lock"))
    }
}

/// Starts the application of a route; without one, the judge.
async fn listen(route: Option<&'static str>, seen: &Seen) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let seen = Arc::clone(seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, route, Arc::clone(&seen)));
        }
    });
    address
}

async fn serve(stream: TcpStream, route: Option<&'static str>, seen: Seen) {
    let mut stream = BufReader::new(stream);
    // HAProxy's script takes no 200 for a yes that lacks one of them.
    let identity: String = IDENTITY.iter().map(|name| format!("{name}: \r\n")).collect();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{identity}\r\n");
    while let Some(message) = read(&mut stream).await {
        keep(message, route, &seen);
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn keep(message: Message, route: Option<&'static str>, seen: &Mutex<HashMap<usize, Arrived>>) {
    let number = message.header(CASE).and_then(|text| str::from_utf8(text).ok()?.parse().ok());
    let Some(number) = number else { return };
    let mut seen = seen.lock().expect("no panic under the lock");
    let arrived = seen.entry(number).or_default();
    match route {
        None => arrived.asked.push(message),
        Some(route) => arrived.forwarded.push((route, message)),
    }
}

/// Reads a request with its body; `None` at the end of the connection.
async fn read(stream: &mut BufReader<TcpStream>) -> Option<Message> {
    let line = read_line(stream).await?;
    let (start, end) =
        (line.iter().position(|b| *b == b' ')?, line.iter().rposition(|b| *b == b' ')?);
    let target = line.get(start + 1..end).unwrap_or_default().to_vec();
    let mut message = Message { method: line[..start].to_vec(), target, headers: Vec::new() };
    loop {
        let line = read_line(stream).await?;
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|b| *b == b':')?;
        let value = line[colon + 1..].trim_ascii().to_vec();
        message.headers.push((line[..colon].to_ascii_lowercase(), value));
    }
    let length =
        message.header("content-length").and_then(|text| str::from_utf8(text).ok()?.parse().ok());
    let mut body = vec![0; length.unwrap_or_default()];
    stream.read_exact(&mut body).await.ok()?;
    Some(message)
}

/// A line without its end, which is CR and LF: a bare one of them belongs to the line.
async fn read_line(stream: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    loop {
        let read = stream.read_until(b'\n', &mut line).await.ok()?;
        if read == 0 {
            return None;
        }
        if let Some(rest) = line.strip_suffix(b"\r\n") {
            return Some(rest.to_vec());
        }
    }
}

impl Message {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let is_it = |own: &[u8]| own.eq_ignore_ascii_case(name.as_bytes());
        self.headers.iter().find(|(own, _)| is_it(own)).map(|(_, value)| value.as_slice())
    }
}
