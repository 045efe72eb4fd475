//! The app behind the gateway: it keeps the raw header lines that reached it, so that no library can tidy them up first.

use std::{
    io::{BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use super::http::{read_chunks, read_exactly, read_line};
use super::suite::requests::WEB_SOCKET_OPENED;

/// The target at which it opens a web socket to every request that gets there, and sends back what comes.
pub const WEB_SOCKET: &str = "/web-socket";

/// One request as it reached the app.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    /// `GET`, ...
    pub method: String,
    /// The request target, raw.
    pub target: String,
    /// Names and values as they were spelt.
    pub headers: Vec<(String, String)>,
    /// Decoded, when it came in chunks.
    pub body: Vec<u8>,
    /// The fields behind a body that came in chunks. Many an app merges them with its headers.
    pub trailers: Vec<(String, String)>,
}

/// A server on a thread for each connection, with keep-alive.
pub struct App {
    /// The address on which it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<ReceivedRequest>>>,
    stopped: Arc<AtomicBool>,
}

impl App {
    /// Starts it on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind(super::free_address()).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (seen, stopped) =
            (Arc::<Mutex<Vec<ReceivedRequest>>>::default(), Arc::<AtomicBool>::default());
        let (record, stop) = (Arc::clone(&seen), Arc::clone(&stopped));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let record = Arc::clone(&record);
                std::thread::spawn(move || serve(stream, &record));
            }
        });
        Self { address, seen, stopped }
    }

    /// The requests that came since the last call.
    pub fn take(&self) -> Vec<ReceivedRequest> {
        std::mem::take(&mut *self.seen.lock().expect("no panic under the lock"))
    }

    /// The one request that came since the last call.
    ///
    /// # Panics
    ///
    /// When it was none or more.
    pub fn take_one(&self) -> ReceivedRequest {
        let mut seen = self.take();
        assert_eq!(seen.len(), 1, "exactly one request should have reached the app: {seen:?}");
        seen.remove(0)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

impl ReceivedRequest {
    /// Every value under any name that some app would read as `name`: case, and all but letters and digits, count for nothing.
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .chain(&self.trailers)
            .filter(|(key, _)| alias(key) == alias(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The one value, or "" where the header is absent or empty.
    ///
    /// # Panics
    ///
    /// When there are two: then an app may pick the wrong one.
    pub fn value(&self, name: &str) -> &str {
        let values = self.values(name);
        assert!(values.len() <= 1, "{name} reached the app more than once: {:?}", self.headers);
        values.first().copied().unwrap_or_default()
    }
}

/// A header's name as CGI and its kin fold it.
fn alias(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect()
}

fn serve(stream: TcpStream, record: &Mutex<Vec<ReceivedRequest>>) {
    let mut stream = BufReader::new(stream);
    while let Some(seen) = read(&mut stream) {
        if seen.target.split('?').next() == Some(WEB_SOCKET) {
            record.lock().expect("no panic under the lock").push(seen);
            echo(stream);
            return;
        }
        let head = seen.method == "HEAD";
        let body = serde_json::json!({ "method": seen.method, "target": seen.target, "headers": seen.headers,
            "body": String::from_utf8_lossy(&seen.body) })
        .to_string();
        record.lock().expect("no panic under the lock").push(seen);
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{}",
            if head { "" } else { &body }
        );
        if stream.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Opens a web socket, and sends back what comes.
fn echo(mut stream: BufReader<TcpStream>) {
    let mut bytes = [0; 1_024];
    if stream.get_mut().write_all(WEB_SOCKET_OPENED).is_err() {
        return;
    }
    while let Ok(length @ 1..) = stream.read(&mut bytes) {
        if stream.get_mut().write_all(&bytes[..length]).is_err() {
            return;
        }
    }
}

fn read(stream: &mut BufReader<TcpStream>) -> Option<ReceivedRequest> {
    let line = read_line(stream)?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers: Vec<(String, String)> =
        std::iter::from_fn(|| read_line(stream).filter(|line| !line.is_empty()))
            .filter_map(|line| {
                line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            })
            .collect();
    let find = |name: &str| {
        headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let (body, trailers) = match (find("transfer-encoding"), find("content-length")) {
        (Some(_), _) => read_chunks(stream),
        (None, Some(length)) => (read_exactly(stream, length.parse().ok()?), Vec::new()),
        (None, None) => (Vec::new(), Vec::new()),
    };
    Some(ReceivedRequest { method, target, headers, body, trailers })
}
