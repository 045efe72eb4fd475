//! HTTP/2 without TLS, begun with prior knowledge, as Envoy and its kin speak to a service.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::topology::runtime;

/// One request on a connection of its own: the status and the headers of the answer.
pub fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> (u16, http::HeaderMap) {
    let mut request = http::Request::get(format!("http://gate.test{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::<Bytes>::new()).expect("a request");
    runtime().block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
        let handshake =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.expect("HTTP/2");
        tokio::spawn(connection);
        let response = tokio::time::timeout(super::PATIENCE, sender.send_request(request)).await;
        let (parts, _) = response.expect("an answer in time").expect("an answer").into_parts();
        (parts.status.as_u16(), parts.headers)
    })
}

/// The first bytes of a client.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames, and their flags (RFC 9113, section 6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const GOAWAY: u8 = 7;
pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields of any bytes: literals that enter no table, by a new name, without Huffman's code (RFC 7541, section 6.2.2).
pub fn header_block(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "a longer text has a length of several bytes");
            block.push(u8::try_from(text.len()).expect("less than 127"));
            block.extend(text);
        }
    }
    block
}

/// The body of the answer to a request that no library would send; empty where the stream or the connection is ended.
pub fn body_of(address: SocketAddr, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let bytes =
        |(name, value): &(&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let block = header_block(&fields.iter().map(bytes).collect::<Vec<_>>());
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(super::PATIENCE)).expect("a socket option");
    let request = [
        PREFACE,
        &frame(SETTINGS, 0, 0, &[]),
        &frame(HEADERS, END_HEADERS, 1, &block),
        &frame(DATA, END_STREAM, 1, body),
    ];
    stream.write_all(&request.concat()).expect("the peer reads");
    let (mut answer, mut head) = (Vec::new(), [0; 9]);
    while stream.read_exact(&mut head).is_ok() {
        let [a, b, c, kind, flags, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).expect("a whole frame");
        match kind {
            DATA => answer.extend(payload),
            RST_STREAM | GOAWAY => break,
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            break;
        }
    }
    answer
}
