//! A raw HTTP/1.1 client: the very bytes of a test go out, and what comes back is read as a strict gateway would.

use std::{
    io::{BufRead as _, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
};

use super::PATIENCE;

/// One connection.
pub struct Client<S = TcpStream> {
    stream: BufReader<S>,
}

/// One answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// Of the status line.
    pub status: u16,
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// Names in lower case, in the order of the wire.
    pub headers: Vec<(String, String)>,
    /// Decoded, when it came in chunks.
    pub body: Vec<u8>,
}

impl Client {
    /// Connects, with a time limit on every read and write.
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap_or_else(|error| panic!("connect {address}: {error}"))
    }

    /// The same, where a refusal is an answer too.
    pub fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket option");
        stream.set_nodelay(true).expect("a socket option");
        Ok(Self { stream: BufReader::new(stream) })
    }
}

impl Client<UnixStream> {
    /// Connects to a unix socket.
    pub fn connect_unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path)
            .unwrap_or_else(|error| panic!("connect {}: {error}", path.display()));
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        Self { stream: BufReader::new(stream) }
    }
}

impl<S: Read> Client<S> {
    /// A client on a connection that is open.
    pub fn over(stream: S) -> Self {
        Self { stream: BufReader::new(stream) }
    }
}

impl<S: Read + Write> Client<S> {
    /// Sends these bytes and no others.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).expect("the peer reads");
    }

    /// Sends, then reads the answer to a request that is not HEAD.
    pub fn exchange(&mut self, bytes: impl AsRef<[u8]>) -> Response {
        self.send(bytes);
        self.read()
    }

    /// Sends, then reads the answer; `None` where the connection ends before its first byte.
    pub fn try_exchange(&mut self, bytes: impl AsRef<[u8]>) -> Option<Response> {
        self.stream.get_mut().write_all(bytes.as_ref()).ok()?;
        self.stream.fill_buf().ok().filter(|bytes| !bytes.is_empty())?;
        Some(self.read())
    }

    /// Sends a HEAD request and reads an answer that has no body whatever its Content-Length says.
    pub fn exchange_head(&mut self, bytes: impl AsRef<[u8]>) -> Response {
        self.send(bytes);
        self.read_head().expect("an answer")
    }

    /// The next bytes, as many as these, of what is HTTP no more.
    pub fn read_bytes(&mut self, length: usize) -> Vec<u8> {
        read_exactly(&mut self.stream, length)
    }

    /// The next answer.
    pub fn read(&mut self) -> Response {
        let mut response = self.read_head().expect("an answer, not the end of the connection");
        response.body =
            match (response.header("transfer-encoding"), response.header("content-length")) {
                (Some(_), _) => read_chunks(&mut self.stream).0,
                (None, Some(length)) => {
                    read_exactly(&mut self.stream, length.parse().expect("a length"))
                }
                (None, None) if matches!(response.status, 204 | 304) => Vec::new(),
                (None, None) => read_rest(&mut self.stream),
            };
        response
    }

    /// True when the peer closes and nothing more comes; waiting in vain for either is no close.
    pub fn is_closed(&mut self) -> bool {
        match self.stream.fill_buf() {
            Ok(rest) => rest.is_empty(),
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }

    fn read_head(&mut self) -> Option<Response> {
        loop {
            if let Err(error) = self.stream.fill_buf() {
                let is_late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(!is_late, "no answer within {PATIENCE:?}");
            }
            let line = read_line(&mut self.stream)?;
            let (version, rest) =
                line.split_once(' ').unwrap_or_else(|| panic!("a status line: {line:?}"));
            assert!(version.starts_with("HTTP/1."), "a status line: {line:?}");
            let status = rest.get(..3).and_then(|code| code.parse().ok()).expect("three digits");
            let headers = read_headers(&mut self.stream);
            if status != 100 {
                return Some(Response {
                    status,
                    version: version.to_owned(),
                    headers,
                    body: Vec::new(),
                });
            }
        }
    }
}

impl Response {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// True if it is the last of its connection.
    pub fn says_close(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// The number of times that a header came.
    pub fn count(&self, name: &str) -> usize {
        self.headers.iter().filter(|(key, _)| key == name).count()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }
}

/// One request on a connection of its own. `lines` are header lines without their line ends.
pub fn get(address: SocketAddr, path: &str, lines: &[&str]) -> Response {
    Client::connect(address).exchange(request("GET", path, lines, b""))
}

/// The bytes of a request with `Host: gate.test` unless a line brings its own; a body brings its Content-Length.
pub fn request(method: &str, path: &str, lines: &[&str], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\n");
    if !lines.iter().any(|line| line.to_ascii_lowercase().starts_with("host:")) {
        head.push_str("Host: gate.test\r\n");
    }
    for line in lines {
        head.push_str(line);
        head.push_str("\r\n");
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// The line that carries a token.
pub fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

/// One line without its end; `None` at the end of the stream.
pub fn read_line(stream: &mut BufReader<impl Read>) -> Option<String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).ok()?;
    (!line.is_empty())
        .then(|| String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
}

/// Header lines up to the empty one, with names in lower case.
fn read_headers(stream: &mut BufReader<impl Read>) -> Vec<(String, String)> {
    std::iter::from_fn(|| read_line(stream).filter(|line| !line.is_empty()))
        .map(|line| {
            let (name, value) =
                line.split_once(':').unwrap_or_else(|| panic!("a header line: {line:?}"));
            (name.to_ascii_lowercase(), value.trim().to_owned())
        })
        .collect()
}

/// A chunked body, decoded, and the fields of its trailer.
pub fn read_chunks(stream: &mut BufReader<impl Read>) -> (Vec<u8>, Vec<(String, String)>) {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream).expect("a chunk's size");
        let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
            .expect("a chunk's size");
        if size == 0 {
            return (body, read_headers(stream));
        }
        body.extend(read_exactly(stream, size));
        read_line(stream);
    }
}

/// As many bytes as were announced.
pub fn read_exactly(stream: &mut BufReader<impl Read>, length: usize) -> Vec<u8> {
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("as many bytes as announced");
    body
}

fn read_rest(stream: &mut BufReader<impl Read>) -> Vec<u8> {
    let mut body = Vec::new();
    stream.read_to_end(&mut body).expect("a body up to the end of the connection");
    body
}
