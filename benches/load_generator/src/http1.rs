//! One question at a time over HTTP/1.1: as much of a parser as answers of known servers need.

use std::time::Instant;

use memchr::memmem;

use crate::requests::Request;
use crate::tally::Tally;

/// One connection's state.
#[derive(Debug, Default)]
pub struct Http1 {
    asked: Option<Instant>,
    /// The part of an answer that came so far, where it did not come at once.
    partial: Vec<u8>,
}

impl Http1 {
    pub fn outstanding(&self) -> usize {
        usize::from(self.asked.is_some())
    }

    pub fn ask(&mut self, request: Request<'_>, now: Instant, out: &mut Vec<u8>) {
        out.extend_from_slice(request.head);
        self.asked = Some(now);
    }

    pub fn receive(&mut self, bytes: &[u8], tally: &mut Tally) -> Result<(), &'static str> {
        if !self.partial.is_empty() {
            self.partial.extend_from_slice(bytes);
            let partial = std::mem::take(&mut self.partial);
            return self.complete(&partial, tally);
        }
        self.complete(bytes, tally)
    }

    fn complete(&mut self, bytes: &[u8], tally: &mut Tally) -> Result<(), &'static str> {
        match length(bytes)? {
            Some(length) if length < bytes.len() => Err("more bytes than the answer has"),
            Some(length) if length == bytes.len() => {
                let asked = self.asked.take().ok_or("an answer that nobody asked for")?;
                tally.answered(status(bytes), asked);
                Ok(())
            }
            _ => {
                self.partial.extend_from_slice(bytes);
                Ok(())
            }
        }
    }
}

fn status(bytes: &[u8]) -> u16 {
    let digits = bytes.get(9..12).and_then(|it| std::str::from_utf8(it).ok());
    digits.and_then(|it| it.parse().ok()).unwrap_or(0)
}

/// The length of the whole answer, once its head is there.
fn length(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let body = match status(bytes) {
        100..=199 => return Err("an interim answer"),
        204 | 304 => 0,
        _ => content_length(&bytes[..end]).ok_or("an answer without Content-Length")?,
    };
    Ok(Some(end + 4 + body))
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"\r\ncontent-length:";
    let mut ends = memchr::memchr_iter(b'\r', head);
    let line = ends.find_map(|at| {
        let line = &head[at..];
        (line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME)).then_some(line)
    })?;
    let value = &line[NAME.len()..];
    let value = &value[..memchr::memchr(b'\r', value).unwrap_or(value.len())];
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_with_its_body() {
        let head = b"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 5\r\n\r\n";
        let whole = [&head[..], b"hello"].concat();
        assert_eq!(length(&whole), Ok(Some(whole.len())));
        assert_eq!(length(&head[..30]), Ok(None));
        assert_eq!(status(&whole), 200);
        assert!(length(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert_eq!(length(b"HTTP/1.1 204 No Content\r\n\r\n"), Ok(Some(27)));
    }

    #[test]
    fn an_answer_in_pieces_counts_once() {
        let mut tally = Tally::new(200);
        let (mut http1, mut out) = (Http1::default(), Vec::new());
        http1.ask(Request { head: b"GET", body: b"" }, Instant::now(), &mut out);
        for byte in b"HTTP/1.1 401 X\r\ncontent-length: 1\r\n\r\nx" {
            http1.receive(&[*byte], &mut tally).expect("well-formed");
        }
        assert_eq!((http1.outstanding(), tally.failed), (0, 1));
    }
}
