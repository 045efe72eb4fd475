//! The client: each case on a connection of its own, many at once.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::cases::{Case, Field};
use super::recorder::CASE;
use crate::support::h2c::{
    ACK, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame,
    header_block,
};

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

/// Written by hand: no library sends what half of the cases hold.
async fn send_http2(address: SocketAddr, number: usize, fields: &[Field]) -> std::io::Result<()> {
    let number = (CASE.to_lowercase().into_bytes(), number.to_string().into_bytes());
    let block = header_block(&[fields, &[number]].concat());
    let mut stream = TcpStream::connect(address).await?;
    let settings = frame(SETTINGS, 0, 0, &[]);
    let headers = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block);
    stream.write_all(&[PREFACE, &settings, &headers].concat()).await?;
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
