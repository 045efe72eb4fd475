//! Requests as bytes, made before the measurement, and asked in turn. Each is different from all before it in those bytes of its
//! head where a counter stands.

use std::fs;
use std::io::{self, Write as _};
use std::ops::Range;

use memchr::memmem;

/// The bytes in the place of a counter, which is written in so many hexadecimal digits.
const COUNTER: &[u8] = b"################";

/// One request: of HTTP/1.1 the whole text in `head`; of HTTP/2 the block of header fields and the body.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    pub head: &'r [u8],
    pub body: &'r [u8],
}

/// All requests of a file, in which each is two byte strings behind their lengths (32 bits, little-endian).
#[derive(Debug)]
pub struct Requests {
    bytes: Vec<u8>,
    parts: Vec<Parts>,
    next: usize,
    asked: u64,
}

#[derive(Debug)]
struct Parts {
    head: Range<usize>,
    body: Range<usize>,
    /// The places of counters in the head.
    counters: Vec<usize>,
}

impl Requests {
    pub fn read(path: &str) -> io::Result<Self> {
        Self::parse(fs::read(path)?)
            .ok_or_else(|| io::Error::other(format!("{path}: cut short, or empty")))
    }

    fn parse(bytes: Vec<u8>) -> Option<Self> {
        let (mut parts, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let head = part(&bytes, at)?;
            let body = part(&bytes, head.end)?;
            at = body.end;
            let found = memmem::find_iter(&bytes[head.clone()], COUNTER);
            let counters = found.map(|at| head.start + at).collect();
            parts.push(Parts { head, body, counters });
        }
        (!parts.is_empty()).then_some(Self { bytes, parts, next: 0, asked: 0 })
    }

    /// The next one in turn.
    pub fn next(&mut self) -> Request<'_> {
        let Parts { head, body, counters } = &self.parts[self.next];
        self.next = (self.next + 1) % self.parts.len();
        self.asked += 1;
        for place in counters {
            let mut digits = &mut self.bytes[*place..][..COUNTER.len()];
            write!(digits, "{:0width$x}", self.asked, width = COUNTER.len())
                .expect("a u64 has 16 digits at most");
        }
        Request { head: &self.bytes[head.clone()], body: &self.bytes[body.clone()] }
    }
}

fn part(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let length = bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)?;
    let range = at + 4..at + 4 + length as usize;
    bytes.get(range.clone())?;
    Some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_in_turn_and_a_file_cut_short_is_refused() {
        let file = b"\x02\0\0\0ab\0\0\0\0\x01\0\0\0c\x01\0\0\0d".to_vec();
        let mut requests = Requests::parse(file.clone()).expect("whole");
        let heads: Vec<_> = (0..3).map(|_| requests.next().head.to_vec()).collect();
        assert_eq!(heads, [&b"ab"[..], b"c", b"ab"]);
        assert!(Requests::parse(file[..file.len() - 1].to_vec()).is_none());
        assert!(Requests::parse(Vec::new()).is_none());
    }

    #[test]
    fn no_request_with_a_counter_is_asked_twice() {
        let head = [b"a", COUNTER, b"b", COUNTER].concat();
        let length = u32::try_from(head.len()).expect("short").to_le_bytes();
        let file = [&length[..], &head, &[0; 4]].concat();
        let mut requests = Requests::parse(file).expect("whole");
        for digits in ["0000000000000001", "0000000000000002"] {
            assert_eq!(requests.next().head, format!("a{digits}b{digits}").as_bytes());
        }
        assert_eq!((3..0x1f).map(|_| requests.next().head[16]).last(), Some(b'e'));
    }
}
