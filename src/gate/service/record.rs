//! The record of an answer: it is counted, logged where the operator wants it, and carries the request's id.

use std::borrow::Cow;
use std::net::IpAddr;

use http::{HeaderValue, StatusCode};
use tracing::error;

use super::answers::Answer;
use super::{GateService, REQUEST_ID};
use crate::gate::access_log::{AccessLine, AccessLog};
use crate::gate::inquiry::Inquiry;
use crate::gate::metrics::EntryPoint;
use crate::gate::verdict::Verdict;
use crate::wire::fields::FieldValue;
use crate::wire::known_fields::KnownField;

impl GateService {
    /// Records an answer, and gives it the request's id.
    pub(super) fn recorded(
        &self,
        entry_point: EntryPoint,
        peer: Option<IpAddr>,
        inquiry: &Inquiry<'_>,
        verdict: &Verdict,
        mut response: Answer,
    ) -> Answer {
        let id = self.record(entry_point, peer, inquiry, verdict, response.status());
        if let Some(id) = id.and_then(|id| HeaderValue::from_str(&id).ok()) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }

    /// Records an answer: counts it, and writes it to the log where it belongs. Returns the request's
    /// id.
    pub(super) fn record<'r>(
        &self,
        entry_point: EntryPoint,
        peer: Option<IpAddr>,
        inquiry: &Inquiry<'r>,
        verdict: &Verdict,
        status: StatusCode,
    ) -> Option<Cow<'r, str>> {
        self.metrics.verdict(entry_point, verdict.denied());
        let is_logged = match (self.config.access_log, verdict) {
            (AccessLog::All, _) | (AccessLog::Denied, Verdict::Deny(_)) => true,
            (AccessLog::Off, _) | (AccessLog::Denied, Verdict::Allow(_)) => false,
        };
        let id = self.request_id(inquiry, is_logged || verdict.denied().is_some());
        if is_logged {
            let told = || self.config.gateways.client(peer, inquiry.headers);
            let client = inquiry.line.client.or_else(|| inquiry.origin.client()).or_else(told);
            let (id, pseudonyms) = (id.as_deref(), &self.config.pseudonyms);
            AccessLine { entry_point, client, inquiry, status, id, pseudonyms }.write(verdict);
        }
        id
    }

    /// The id that the gateway gave the request, if it is one; else a new one where it is needed.
    fn request_id<'r>(&self, inquiry: &Inquiry<'r>, is_needed: bool) -> Option<Cow<'r, str>> {
        let given = inquiry.headers.known(KnownField::REQUEST_ID).and_then(FieldValue::to_ascii);
        let given = given.filter(|id| is_request_id(id));
        if given.is_some() || !is_needed {
            return given.map(Cow::Borrowed);
        }
        let mut bytes = [0; 16];
        let filled = self.random.fill(&mut bytes);
        filled.inspect_err(|error| error!(%error, "a request has no id")).ok()?;
        Some(Cow::Owned(format!("{:032x}", u128::from_be_bytes(bytes))))
    }
}

/// Letters, digits, and the signs that are no sign to anybody (RFC 3986, section 2.3), 128 at most.
pub(super) fn is_request_id(id: &str) -> bool {
    let is_in_id =
        |byte| matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~');
    // It sums up instead of searching: a compiler makes of that a few steps for many bytes.
    (1..=128).contains(&id.len()) && id.bytes().fold(true, |are, byte| are & is_in_id(byte))
}
