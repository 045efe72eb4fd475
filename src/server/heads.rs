//! The memory of heads: how much of it unfinished ones may take, all connections together.
//!
//! A head that never ends costs its sender a trickle. So whatever is received of one beyond what
//! every connection has anyway is taken from one budget for all of them, of which an address has a
//! share, and given back when its request was answered; where there is no more, the connection is
//! closed.

/// The bytes of a head that every connection has without a reservation: most heads are smaller.
const FREE_BYTES: usize = 8 << 10;
/// The memory that a byte of a header block can take in HTTP/2: an indexed field is one byte long.
const MEMORY_OF_BYTE: usize = 128;
/// The memory that a field takes beside its name and value.
const MEMORY_OF_FIELD: usize = 128;

/// The head that an HTTP/1 connection is in.
#[derive(Debug, Default)]
pub(super) struct Http1Head {
    /// The number of its request on the connection.
    number: u32,
    bytes: usize,
}

impl Http1Head {
    /// Bytes came after so many requests had started and ended. Yields the bytes to reserve: the
    /// head that is not finished yet, or that of the request which is being answered.
    pub(super) fn received(&mut self, bytes: usize, started: u32, ended: u32) -> usize {
        let is_answered = started == ended;
        if is_answered && self.number != started {
            *self = Self { number: started, bytes: 0 };
        }
        if is_answered {
            self.bytes += bytes;
        }
        self.bytes.saturating_sub(FREE_BYTES)
    }
}

/// The frames of an HTTP/2 connection (RFC 9113, section 4.1), as far as it takes to know how large
/// a header block is that is not finished.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Of the preface, and of a frame's payload: what is still to come.
    skipped: usize,
    /// Of a frame's own head: what has come.
    head: [u8; 9],
    has_come: usize,
    /// True where the payload is a part of a header block that is not finished.
    is_of_block: bool,
    /// Bytes of such payloads that have come. What a frame announces costs nobody anything yet.
    block: usize,
}

/// The types of frames that make up a header block, and the flag of its last.
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

impl Frames {
    /// The frames that follow on a preface of so many bytes.
    pub(super) fn after(preface: usize) -> Self {
        Self { skipped: preface, ..Self::default() }
    }

    /// Reads on. Says what the header block that is not finished may take in memory, at most what
    /// a list of `most` bytes can.
    pub(super) fn received(&mut self, mut bytes: &[u8], most: usize) -> usize {
        loop {
            let skipped = self.skipped.min(bytes.len());
            self.skipped -= skipped;
            if self.is_of_block {
                self.block += skipped;
            }
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return self.block.saturating_mul(MEMORY_OF_BYTE).min(most.saturating_mul(5));
            }
            let taken = (self.head.len() - self.has_come).min(bytes.len());
            self.head[self.has_come..][..taken].copy_from_slice(&bytes[..taken]);
            self.has_come += taken;
            bytes = &bytes[taken..];
            if self.has_come == self.head.len() {
                self.begin_frame();
            }
        }
    }

    fn begin_frame(&mut self) {
        let [a, b, c, kind, flags, ..] = self.head;
        self.skipped = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.has_come = 0;
        let is_of_head = matches!(kind, HEADERS | CONTINUATION);
        self.is_of_block = is_of_head && flags & END_HEADERS == 0;
        if is_of_head && !self.is_of_block {
            self.block = 0;
        }
    }
}

/// The memory that the head of a request takes, about.
pub(super) fn memory_of(headers: &http::HeaderMap) -> usize {
    let of_field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        MEMORY_OF_FIELD + name.as_str().len() + value.len()
    };
    headers.iter().map(of_field).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_http1_head_is_reserved_until_its_request_was_answered() {
        let mut head = Http1Head::default();
        assert_eq!(head.received(8_000, 0, 0), 0);
        assert_eq!(head.received(10_192, 0, 0), 10_000);
        assert_eq!(head.received(5_000, 1, 0), 10_000, "this is its body");
        assert_eq!(head.received(100, 1, 1), 0, "this is the next head");
        assert_eq!(head.received(8_192, 1, 1), 100);
    }

    fn frame(length: usize, kind: u8, flags: u8) -> Vec<u8> {
        let [.., a, b, c] = length.to_be_bytes();
        [&[a, b, c, kind, flags, 0, 0, 0, 1][..], &vec![0x82; length]].concat()
    }

    #[test]
    fn an_unfinished_header_block_is_counted_by_what_it_can_take_however_it_comes() {
        const MOST: usize = 1 << 20;
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let settings = frame(18, 4, 0);
        let whole = frame(300, HEADERS, END_HEADERS);
        let begun = [frame(300, HEADERS, 0), frame(700, CONTINUATION, 0)].concat();
        let ended = frame(10, CONTINUATION, END_HEADERS);
        let data = frame(16_384, 0, 1);
        for chunk in [1, 7, 9, 10, 100, 100_000] {
            let mut frames = Frames::after(preface.len());
            let mut read = |bytes: &[u8]| {
                bytes.chunks(chunk).map(|chunk| frames.received(chunk, MOST)).last().unwrap_or(0)
            };
            assert_eq!(read(preface), 0);
            assert_eq!(read(&settings), 0);
            assert_eq!(read(&whole), 0);
            assert_eq!(read(&begun), 1_000 * MEMORY_OF_BYTE, "{chunk}");
            assert_eq!(read(&ended), 0);
            assert_eq!(read(&data), 0);
            let many = frame(16_384, HEADERS, 0);
            assert_eq!(read(&many[..9]), 0, "what is announced has not come");
            assert_eq!(read(&many[9..]), 16_384 * MEMORY_OF_BYTE);
            let more = frame(16_384, CONTINUATION, 0).repeat(20);
            assert_eq!(read(&more), 5 * MOST, "no more than a list of its size can take");
        }
    }
}
