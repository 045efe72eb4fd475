//! The client: each case on a connection of its own, many at once.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::cases::{Case, Field};
use super::recorder::CASE;

/// The number of cases that a gateway is asked at once.
const AT_ONCE: usize = 16;

/// The time after which an answer is no longer waited for. No gateway takes it: each answers or closes.
const PATIENCE: Duration = Duration::from_secs(30);

/// The addresses of a gateway.
#[derive(Clone, Copy)]
pub struct Addresses {
    /// For HTTP/1.1.
    pub http1: SocketAddr,
    /// For HTTP/2 without TLS.
    pub http2: SocketAddr,
}

/// Sends all cases, each with its number; returns how many got no answer and no end of the connection in time.
pub async fn send_all(addresses: Addresses, cases: &[Case]) -> usize {
    let sent = cases.iter().enumerate().map(|(number, case)| async move {
        tokio::time::timeout(PATIENCE, send(addresses, number, case)).await.is_err()
    });
    let late = futures_util::stream::iter(sent).buffer_unordered(AT_ONCE);
    late.filter(|is_late| std::future::ready(*is_late)).count().await
}

/// Sends one, and waits until an answer begins or the connection ends. Which of them is all one: a case is judged by
/// what arrived at the servers.
async fn send(addresses: Addresses, number: usize, case: &Case) {
    // A gateway may close the connection while it is written to: that is its answer then.
    let _: std::io::Result<()> = match case {
        Case::Http1(bytes) => send_http1(addresses.http1, number, bytes).await,
        Case::Http2(fields) => send_http2(addresses.http2, number, fields).await,
    };
}

async fn send_http1(address: SocketAddr, number: usize, head: &[u8]) -> std::io::Result<()> {
    let mut bytes = head.to_vec();
    bytes.extend(format!("{CASE}: {number}\r\n").bytes());
    if !head.windows(13).any(|text| text == b"\r\nConnection:") {
        bytes.extend(b"Connection: close\r\n");
    }
    bytes.extend(b"\r\n");
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&bytes).await?;
    stream.read_u8().await?;
    Ok(())
}

/// Types of frames, and their flags (RFC 9113, section 6).
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM_AND_HEADERS: u8 = 5;

/// Written by hand: no library sends what half of the cases hold.
async fn send_http2(address: SocketAddr, number: usize, fields: &[Field]) -> std::io::Result<()> {
    let mut block = Vec::new();
    let number = (CASE.to_lowercase().into_bytes(), number.to_string().into_bytes());
    for (name, value) in fields.iter().chain([&number]) {
        // A literal that enters no table, by a new name, without Huffman's code (RFC 7541, section 6.2.2).
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "a longer text has a length of several bytes");
            block.push(u8::try_from(text.len()).expect("less than 127"));
            block.extend(text);
        }
    }
    let mut stream = TcpStream::connect(address).await?;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes.extend(frame(HEADERS, END_STREAM_AND_HEADERS, 1, &block));
    stream.write_all(&bytes).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).await?;
        match kind {
            HEADERS | RST_STREAM | GOAWAY => return Ok(()),
            SETTINGS if flags & ACK == 0 => stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await?,
            _ => {}
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
