//! The requests that the loop answers: pure.

use std::mem::MaybeUninit;

use httparse::{Header, Request, Status};

use crate::wire::fields::{FieldList, Fields, MAX_FIELDS, Repeated};
use crate::wire::known_fields::{KnownField, KnownFields};
use crate::wire::request_head::RequestHead;

/// The bytes of a target; more are hyper's.
const MAX_TARGET: usize = 8 << 10;

/// Room for the fields of one head; more are hyper's.
pub(super) struct FieldBuffer<'b>([MaybeUninit<Header<'b>>; MAX_FIELDS]);

impl Default for FieldBuffer<'_> {
    fn default() -> Self {
        Self([const { MaybeUninit::uninit() }; MAX_FIELDS])
    }
}

/// The beginning of what came.
pub(super) enum Next<'b> {
    /// No whole head, as far as it goes.
    Partial,
    /// Something that is hyper's, be it good or not.
    Unusual,
    /// The head of a request without a body.
    Head(Head<'b>),
}

/// A head of HTTP/1.1.
pub(super) struct Head<'b> {
    pub(super) method: &'b str,
    pub(super) target: &'b str,
    pub(super) fields: FieldList<'b>,
    /// The bytes of the head, with the empty line.
    pub(super) length: usize,
}

impl Head<'_> {
    /// The same, as services look at it.
    pub(super) fn request(&self) -> RequestHead<'_> {
        RequestHead::new(self.method, self.target, Fields::List(&self.fields))
    }
}

/// Reads the head at the beginning of these bytes.
pub(super) fn read<'b>(bytes: &'b [u8], fields: &'b mut FieldBuffer<'b>) -> Next<'b> {
    let mut request = Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, &mut fields.0) {
        Ok(Status::Partial) => Next::Partial,
        Err(_) => Next::Unusual,
        Ok(Status::Complete(length)) => {
            let (Some(method), Some(target), Some(1)) =
                (request.method, request.path, request.version)
            else {
                return Next::Unusual;
            };
            let Some(fields) = FieldList::new(request.headers) else { return Next::Unusual };
            let is_bodiless = have_no_body(Fields::List(&fields));
            if method == "CONNECT" || !is_plain_target(target) || !is_bodiless {
                return Next::Unusual;
            }
            Next::Head(Head { method, target, fields, length })
        }
    }
}

/// Returns whether a target is a path with perhaps a query, of characters that every parser of URLs takes.
fn is_plain_target(target: &str) -> bool {
    let are_plain =
        |bytes: &[u8]| bytes.iter().fold(true, |are, byte| are & IS_PLAIN[usize::from(*byte)]);
    // By eight, so that a compiler makes no loop of them.
    let (eights, rest) = target.as_bytes().as_chunks::<8>();
    target.starts_with('/')
        && target.len() <= MAX_TARGET
        && are_plain(rest)
        && eights.iter().all(|eight| are_plain(eight))
}

const IS_PLAIN: [bool; 256] = {
    let (signs, mut is_plain) = (b"/-._~%?=&+,:;@!$'()*", [false; 256]);
    let mut byte = 0_u8;
    while byte.is_ascii() {
        is_plain[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < signs.len() {
        is_plain[signs[at] as usize] = true;
        at += 1;
    }
    is_plain
};

/// The fields that say something of a body or of another protocol, if they are there.
const UNUSUAL: KnownFields = KnownFields::of(&[
    KnownField::of("transfer-encoding"),
    KnownField::of("te"),
    KnownField::of("trailer"),
    KnownField::of("expect"),
    KnownField::of("upgrade"),
]);
const CONNECTION: KnownField = KnownField::of("connection");
const CONTENT_LENGTH: KnownField = KnownField::of("content-length");

/// Returns whether nothing is said of a body, of the connection or of another protocol, but for what says nothing: a
/// `Content-Length: 0` and a `Connection: keep-alive` (RFC 9112, sections 6 and 9).
fn have_no_body(fields: Fields<'_>) -> bool {
    let says = |field, is_nothing: fn(&[u8]) -> bool| match fields.known_once(field) {
        Ok(value) => !value.is_none_or(|value| is_nothing(value.as_bytes())),
        Err(Repeated) => true,
    };
    !fields.has_any(UNUSUAL)
        && !says(CONNECTION, |value| value.eq_ignore_ascii_case(b"keep-alive"))
        && !says(CONTENT_LENGTH, |value| value == b"0")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::whole_head::WholeHead;

    const ID: KnownField = KnownField::REQUEST_ID;

    /// The head and its only id, if these bytes are one head.
    fn parsed(bytes: &[u8]) -> Option<(String, Option<Vec<u8>>)> {
        let mut fields = FieldBuffer::default();
        let Next::Head(head) = read(bytes, &mut fields) else { return None };
        let fields = Fields::List(&head.fields);
        let id = fields.known_once(ID).ok()?.map(|id| id.as_bytes().to_vec());
        let others = fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case(ID.name()));
        let others: Vec<_> = others.map(|(name, value)| (name, value.as_bytes())).collect();
        let text = format!("{} {} {others:?}", head.method, head.target);
        (head.length == bytes.len()).then_some((text, id))
    }

    proptest! {
        /// The id that is left out before the parser is the one that the parser finds, and another one changes nothing else.
        #[test]
        fn the_id_of_a_head_is_the_same_before_and_after_it_is_parsed(
            lines in prop::collection::vec(
                "(Host: a|X-Request-I[dD]: [a-z0-9]{0,3}|x-request-id: [ a-z]{0,2}|X-REQUEST-ID: b|X_Request_Id: c|\
                 X-Request-Id:d|A: x\n?X-Request-Id: e|\r|B: [ -~]{0,4}){1,2}",
                0..5,
            ),
            other in "[a-zA-Z0-9._~-]{1,9}",
        ) {
            let bytes = format!("GET /a HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n"));
            let whole = WholeHead::of(bytes.as_bytes()).expect("it may be a head");
            if let (Some((text, Some(id))), Some(found)) = (parsed(bytes.as_bytes()), whole.id) {
                // A good id has no white space around it, and only good ones are left out.
                prop_assert_eq!(id, found.trim_matches(['\t', ' ']).as_bytes());
                let replaced = [whole.before_id, other.as_bytes(), whole.after_id].concat();
                prop_assert_eq!(parsed(&replaced), Some((text, Some(other.into_bytes()))));
            }
        }
    }
}
