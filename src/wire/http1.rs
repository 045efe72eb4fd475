//! Answers in HTTP/1.1, in the bytes that hyper would write (RFC 9112, section 4): for the loop in front of it.

use std::cell::RefCell;
use std::io::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Response};
use http_body_util::Full;
use httpdate::HttpDate;

/// Appends a whole answer, made in this second since 1970. Answers to HEAD have no body.
pub fn append_response(
    response: Response<Full<Bytes>>,
    is_head: bool,
    second: u64,
    out: &mut Vec<u8>,
) {
    let (parts, body) = response.into_parts();
    let body = body.into_inner().unwrap_or_default();
    let (status, reason) = (parts.status.as_str(), parts.status.canonical_reason());
    for part in ["HTTP/1.1 ", status, " ", reason.unwrap_or("<none>"), "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(&lines(&parts.headers));
    let is_untold = is_head && body.is_empty();
    if !is_untold && !parts.headers.contains_key(CONTENT_LENGTH) {
        // Writing to a vector cannot fail.
        let _ = write!(out, "content-length: {}\r\n", body.len());
    }
    append_date(second, out);
    if !is_head {
        out.extend_from_slice(&body);
    }
}

/// The lines of these fields, each with its end.
pub fn lines(headers: &HeaderMap) -> Vec<u8> {
    let mut lines = Vec::with_capacity(256);
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            lines.extend_from_slice(part);
        }
    }
    lines
}

/// Appends a 200 without a body, made in this second since 1970: `lines` are its header lines, each with its end, and `request_id` is
/// the value of one more.
pub fn append_empty(lines: &[u8], request_id: Option<&str>, second: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    out.extend_from_slice(lines);
    if let Some(id) = request_id {
        for part in [&b"x-request-id: "[..], id.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"content-length: 0\r\n");
    append_date(second, out);
}

thread_local! {
    /// The second, and the end of a head in it.
    static DATE: RefCell<(u64, Vec<u8>)> = const { RefCell::new((u64::MAX, Vec::new())) };
}

/// Appends the date and the end of the head. It is rendered once a second.
fn append_date(second: u64, out: &mut Vec<u8>) {
    DATE.with_borrow_mut(|(rendered, line)| {
        if *rendered != second {
            let date = HttpDate::from(UNIX_EPOCH + Duration::from_secs(second));
            line.clear();
            // Writing to a vector cannot fail.
            let _ = write!(line, "date: {date}\r\n\r\n");
            *rendered = second;
        }
        out.extend_from_slice(line);
    });
}
