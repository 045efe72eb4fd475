//! Requests as bytes, made before the measurement, and asked in turn.

use std::fs;
use std::io;
use std::ops::Range;

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
    parts: Vec<(Range<usize>, Range<usize>)>,
    next: usize,
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
            parts.push((head, body));
        }
        (!parts.is_empty()).then_some(Self { bytes, parts, next: 0 })
    }

    /// The next one in turn.
    pub fn next(&mut self) -> Request<'_> {
        let (head, body) = self.parts[self.next].clone();
        self.next += 1;
        if self.next == self.parts.len() {
            self.next = 0;
        }
        Request { head: &self.bytes[head], body: &self.bytes[body] }
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
}
