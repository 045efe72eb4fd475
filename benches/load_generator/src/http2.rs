//! Many questions at once over one HTTP/2 connection (RFC 9113), with header blocks that were encoded
//! before, without the dynamic table: a client need not decode what it does not read.
//!
//! Of an answer it reads the status, which every encoder writes first, and of gRPC's the message.

use std::collections::HashMap;
use std::time::Instant;

use crate::requests::Request;
use crate::tally::Tally;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const WINDOW: u32 = 0x7fff_0000;
/// The received bytes after which the connection's window is opened again.
const TOP_UP: u32 = 1 << 24;

/// One connection's state.
#[derive(Debug)]
pub struct Http2 {
    next_id: u32,
    streams: HashMap<u32, Stream>,
    partial: Vec<u8>,
    received: u32,
    /// Frames that are due to the server.
    due: Vec<u8>,
}

#[derive(Debug)]
struct Stream {
    asked: Instant,
    status: u16,
}

impl Http2 {
    /// Its preface is due at once.
    pub fn new() -> Self {
        let mut due = PREFACE.to_vec();
        // No dynamic table, no pushes, a window that needs no second look.
        let settings: [(u16, u32); 3] = [(1, 0), (2, 0), (4, WINDOW)];
        let settings: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        frame(&mut due, SETTINGS, 0, 0, &settings);
        frame(&mut due, WINDOW_UPDATE, 0, 0, &(WINDOW - 65_535).to_be_bytes());
        Self { next_id: 1, streams: HashMap::new(), partial: Vec::new(), received: 0, due }
    }

    pub fn outstanding(&self) -> usize {
        self.streams.len()
    }

    pub fn ask(&mut self, request: Request<'_>, now: Instant, out: &mut Vec<u8>) {
        out.append(&mut self.due);
        let id = self.next_id;
        self.next_id += 2;
        let last = if request.body.is_empty() { END_STREAM } else { 0 };
        frame(out, HEADERS, END_HEADERS | last, id, request.head);
        if !request.body.is_empty() {
            frame(out, DATA, END_STREAM, id, request.body);
        }
        self.streams.insert(id, Stream { asked: now, status: 0 });
    }

    /// Appends what is due to the server, such as acknowledgements.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.due);
    }

    pub fn receive(&mut self, bytes: &[u8], tally: &mut Tally) -> Result<(), &'static str> {
        self.partial.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.partial);
        let mut at = 0;
        while let Some(length) = frame_length(&bytes[at..]) {
            let frame = &bytes[at..at + length];
            self.frame(frame[3], frame[4], frame, tally)?;
            at += length;
        }
        self.partial.extend_from_slice(&bytes[at..]);
        self.top_up();
        Ok(())
    }

    fn frame(
        &mut self,
        kind: u8,
        flags: u8,
        whole: &[u8],
        tally: &mut Tally,
    ) -> Result<(), &'static str> {
        let id = u32::from_be_bytes([whole[5] & 0x7f, whole[6], whole[7], whole[8]]);
        let payload = &whole[FRAME_HEAD..];
        match kind {
            HEADERS => self.headers(id, payload),
            DATA => {
                self.received += u32::try_from(payload.len()).unwrap_or(0);
                if let Some(stream) = self.streams.get_mut(&id)
                    && is_denied(payload)
                {
                    stream.status = 403;
                }
            }
            SETTINGS if flags & ACK == 0 => frame(&mut self.due, SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => frame(&mut self.due, PING, ACK, 0, payload),
            RESET => return Err("the server reset a stream"),
            GO_AWAY => return Err("the server goes away"),
            _ => {}
        }
        if matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
            let stream = self.streams.remove(&id).ok_or("an answer that nobody asked for")?;
            tally.answered(stream.status, stream.asked);
        }
        Ok(())
    }

    /// The first block of a stream opens with the status; what follows are trailers.
    fn headers(&mut self, id: u32, block: &[u8]) {
        let Some(stream) = self.streams.get_mut(&id).filter(|it| it.status == 0) else { return };
        // An encoder may say first that its table shrank (001xxxxx).
        let block = &block[block.iter().position(|byte| byte & 0xe0 != 0x20).unwrap_or(0)..];
        stream.status = match block.first() {
            Some(0x88) => 200,
            Some(0x89) => 204,
            Some(0x8c) => 400,
            Some(0x8d) => 404,
            Some(0x8e) => 500,
            _ => 1,
        };
    }

    fn top_up(&mut self) {
        if self.received > TOP_UP {
            let received = std::mem::take(&mut self.received);
            frame(&mut self.due, WINDOW_UPDATE, 0, 0, &received.to_be_bytes());
        }
    }
}

/// Says that a message of gRPC is a `CheckResponse` with a denial (field 2), by a walk over its fields.
fn is_denied(data: &[u8]) -> bool {
    let mut message = data.get(5..).unwrap_or_default();
    while let [key, length, rest @ ..] = message {
        if *key == 0x12 {
            return true;
        }
        let (mut length, mut rest) = (usize::from(*length), rest);
        if let (true, [high, after @ ..]) = (length & 0x80 != 0, rest) {
            (length, rest) = (length & 0x7f | usize::from(*high) << 7, after);
        }
        message = rest.get(length..).unwrap_or_default();
    }
    false
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, id: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(payload);
}

/// The length of the frame that stands first, where all of it is there.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    let [a, b, c, ..] = bytes else { return None };
    let length = FRAME_HEAD + u32::from_be_bytes([0, *a, *b, *c]) as usize;
    (bytes.len() >= length).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> (Http2, Tally) {
        let mut http2 = Http2::new();
        let mut out = Vec::new();
        http2.ask(Request { head: b"\x82", body: b"" }, Instant::now(), &mut out);
        assert!(out.starts_with(PREFACE));
        (http2, Tally::new(200))
    }

    #[test]
    fn an_answer_in_pieces_counts_once_with_its_status() {
        let (mut http2, mut tally) = asked();
        let mut answer = Vec::new();
        frame(&mut answer, HEADERS, END_HEADERS, 1, b"\x20\x88");
        frame(&mut answer, DATA, END_STREAM, 1, b"body");
        for byte in answer {
            http2.receive(&[byte], &mut tally).expect("well-formed");
        }
        assert_eq!((http2.outstanding(), tally.failed, tally.latencies.total()), (0, 0, 1));
    }

    #[test]
    fn a_denial_by_grpc_is_no_good_answer() {
        let (mut http2, mut tally) = asked();
        let mut answer = Vec::new();
        frame(&mut answer, HEADERS, END_HEADERS, 1, b"\x88");
        frame(&mut answer, DATA, 0, 1, b"\0\0\0\0\x06\x0a\x02\x08\x07\x12\0");
        frame(&mut answer, HEADERS, END_HEADERS | END_STREAM, 1, b"\x00");
        http2.receive(&answer, &mut tally).expect("well-formed");
        assert_eq!((http2.outstanding(), tally.failed), (0, 1));
    }
}
