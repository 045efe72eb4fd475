//! A head as bytes, before anybody parsed it: what is the same in the next one of its kind.

use std::sync::LazyLock;

use ascii::AsciiStr;
use memchr::memchr;
use memchr::memmem::Finder;

use super::known_fields::KnownField;

/// The most bytes of a head that is looked at as a whole.
const MAX_BYTES: usize = 4 << 10;
const END: &[u8] = b"\r\n\r\n";
/// The name of the field with the request's id, in whatever case.
const ID_NAME: &[u8] = KnownField::REQUEST_ID.name().as_bytes();
/// A part of the name that few fields have, and its place; it is written so wherever the name is not all in capitals.
const ID_PART: &[u8] = b"equest-";
const ID_PART_AT: usize = 3;

/// Bytes that may be one head: a parser decides whether they are. Each of them is in one of the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholeHead<'b> {
    /// All bytes before the first id of a request; without one, all.
    pub before_id: &'b [u8],
    /// That id: what is between the colon and space behind the name, and the end of the line.
    pub id: Option<&'b str>,
    /// All bytes behind it.
    pub after_id: &'b [u8],
}

impl<'b> WholeHead<'b> {
    /// Returns whether this may be a head: it begins as usual methods do, ends as heads do, and has 4 KiB at most.
    pub fn may_be(bytes: &[u8]) -> bool {
        let begins = bytes.first().is_some_and(u8::is_ascii_uppercase);
        begins && bytes.len() <= MAX_BYTES && bytes.ends_with(END)
    }

    /// These bytes, where they may be a head.
    pub fn of(bytes: &'b [u8]) -> Option<Self> {
        let nothing = Self { before_id: bytes, id: None, after_id: &[] };
        Self::may_be(bytes).then(|| with_id(bytes).unwrap_or(nothing))
    }
}

fn with_id(bytes: &[u8]) -> Option<WholeHead<'_>> {
    static PART: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(ID_PART));
    let start = PART.find_iter(bytes).find_map(|at| {
        let line = at.checked_sub(ID_PART_AT + 2)?;
        let (end_before, rest) = bytes[line..].split_at_checked(2)?;
        let (name, rest) = rest.split_at_checked(ID_NAME.len())?;
        let is_id = end_before == b"\r\n" && name.eq_ignore_ascii_case(ID_NAME);
        (is_id && rest.starts_with(b": ")).then_some(line + 2 + ID_NAME.len() + 2)
    })?;
    let (before_id, rest) = bytes.split_at(start);
    let (id, after_id) = rest.split_at(memchr(b'\r', rest)?);
    let id = AsciiStr::from_ascii(id).ok()?.as_str();
    Some(WholeHead { before_id, id: Some(id), after_id })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id_in(head: &str) -> Option<&str> {
        WholeHead::of(head.as_bytes()).expect("a head").id
    }

    #[test]
    fn the_first_id_of_a_request_is_found_however_its_name_is_written() {
        for name in ["X-Request-Id", "x-request-id", "X-Request-ID", "X-request-iD"] {
            let head = format!(
                "GET / HTTP/1.1\r\nX-Request-Start: 1\r\n{name}: one\r\n{name}: two\r\n\r\n"
            );
            assert_eq!(id_in(&head), Some("one"), "{name}");
        }
        for line in [
            "X-REQUEST-ID: one",
            "X-Request-Id:one",
            "X-Request-Id : one",
            "X-Request-Ids: one",
            "AX-Request-Id: one",
            "A: b\nX-Request-Id: one",
            "equest-",
        ] {
            assert_eq!(id_in(&format!("GET / HTTP/1.1\r\n{line}\r\n\r\n")), None, "{line}");
        }
        assert_eq!(id_in("Gequest-\r\nx-request-id: \r\n\r\n"), Some(""));
        let at_the_end = ["", "x", "x-request", "x-request-id", "x-request-id:"];
        for line in at_the_end {
            assert_eq!(id_in(&format!("GET /\r\n{line}\r\n\r\n")), None, "{line}");
        }
    }

    #[test]
    fn what_does_not_end_as_a_head_or_is_too_long_is_none() {
        let of_length = |length: usize| {
            let mut bytes = vec![b'A'; length - END.len()];
            bytes.extend_from_slice(END);
            bytes
        };
        assert!(WholeHead::of(&of_length(MAX_BYTES)).is_some());
        assert_eq!(WholeHead::of(&of_length(MAX_BYTES + 1)), None);
        for bytes in [
            &b""[..],
            b"\r\n",
            b"\r\n\r\n",
            b"\r\nG\r\n\r\n",
            b"get\r\n\r\n",
            b"GET / HTTP/1.1\r\n",
            b"GET / HTTP/1.1\n\n",
            b"\r\n\r\nG",
        ] {
            assert_eq!(WholeHead::of(bytes), None);
        }
    }

    proptest! {
        #[test]
        fn no_byte_is_lost(
            lines in prop::collection::vec("(x-request-id: |X-Request-|equest-|[a-z:\r\n]){0,4}", 0..6),
        ) {
            let bytes = [b"G", lines.join("\r\n").as_bytes(), END].concat();
            let WholeHead { before_id, id, after_id } = WholeHead::of(&bytes).expect("a head");
            prop_assert_eq!([before_id, id.unwrap_or_default().as_bytes(), after_id].concat(), bytes.clone());
            if id.is_some() {
                prop_assert!(before_id.to_ascii_lowercase().ends_with(b"\r\nx-request-id: "));
                prop_assert!(after_id.starts_with(b"\r"));
            }
        }
    }
}
