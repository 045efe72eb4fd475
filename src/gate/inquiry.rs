//! The question of a gateway, the same for every gateway.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::USER_AGENT;

use super::client_certificate::ToldCertificates;
use super::denial::DenialCode;
use super::requester::Origin;
use crate::policy::Requirement;
use crate::policy::canonical::headers::{Family, ORIGINAL};
use crate::policy::canonical::{Refusal, Told};
use crate::session::ShownClient;
use crate::wire::fields::{FieldValue, Fields};
use crate::wire::known_fields::KnownField;

/// The most bytes of a path, a host or a user's name that are logged.
pub(crate) const MAX_LOGGED_BYTES: usize = 512;

const HOST: KnownField = KnownField::of("host");

/// One question: the client's request, as the gateway told it.
#[derive(Debug)]
pub struct Inquiry<'r> {
    /// The client's headers; the credentials are in them.
    pub headers: Fields<'r>,
    /// The operator's demands here, or the reason why they could not be read.
    pub requirement: Result<Requirement, DenialCode>,
    /// The headers in which this kind of gateway describes the client's request, if it does. A policy
    /// judges by them; without one they are for the log alone.
    pub family: Option<&'static Family>,
    /// The parts that the gateway tells in its own request, and the client's address, as far as it
    /// is known for certain.
    pub line: Told<'r>,
    /// The gateway's own address; `None` is one on a unix socket.
    pub gateway: Option<IpAddr>,
    /// The way that the request came.
    pub origin: Origin<'r>,
    /// The certificates of the gateway and of the client. By default none was shown.
    pub certificates: ToldCertificates,
}

impl<'r> Inquiry<'r> {
    /// A question about credentials alone, of which no gateway describes a request.
    pub(super) fn plain(headers: &'r HeaderMap, origin: Origin<'r>) -> Self {
        let headers = Fields::Map(headers);
        let (requirement, line) = (Ok(Requirement::default()), Told::default());
        let certificates = ToldCertificates::default();
        Self { headers, requirement, family: None, line, gateway: None, origin, certificates }
    }

    /// The address whose tries are counted: the client's, or the gateway's where the client is not
    /// known. So the clients of one gateway never pay for those of another.
    pub(super) fn counted_address(&self) -> Option<IpAddr> {
        self.line.client.or(self.gateway)
    }

    /// The client as the request shows it. Two lines of a `User-Agent` say nothing.
    pub(super) fn shown_client(&self) -> ShownClient<'r> {
        let user_agent = self.headers.one(USER_AGENT.as_str()).ok().flatten();
        let user_agent = user_agent.and_then(FieldValue::to_str);
        ShownClient { user_agent, address: self.line.client }
    }

    /// The parts of the client's request, as the gateway told them.
    ///
    /// # Errors
    /// The reason why they do not say one thing.
    pub fn told(&self) -> Result<Told<'r>, Refusal> {
        let family = self.family.ok_or(Refusal::MissingTarget)?;
        family.read(self.headers, &self.line)
    }

    /// The client's method, as much of it as a log line takes.
    pub fn method(&self) -> Option<&'r str> {
        self.said(self.family?.method, self.line.method).map(truncated)
    }

    /// The host that the client asked for, as much of it as a log line takes.
    pub fn host(&self) -> Option<&'r str> {
        let family = self.family?;
        // nginx sends the client's own Host where it is configured so, and nothing else of it.
        let own = || self.text(HOST).filter(|_| *family == ORIGINAL);
        self.said(family.host, self.line.host).or_else(own).map(truncated)
    }

    /// The path without its query, which may hold credentials and so stays out of logs; as much of
    /// it as a log line takes.
    pub fn path(&self) -> Option<&'r str> {
        let uri = self.said(self.family?.target, self.line.target)?;
        Some(truncated(uri.split(['?', '#']).next().unwrap_or(uri)))
    }

    /// The text of the header that tells a part, or of the gateway's own request.
    fn said(&self, header: Option<KnownField>, line: Option<&'r str>) -> Option<&'r str> {
        header.map_or(line, |header| self.text(header))
    }

    /// A header's text, in UTF-8, as many gateways write paths; none where it has characters that
    /// could move a cursor.
    fn text(&self, header: KnownField) -> Option<&'r str> {
        let text = std::str::from_utf8(self.headers.known(header)?.as_bytes()).ok()?;
        (!text.chars().any(char::is_control)).then_some(text)
    }
}

/// Truncates a client's text to the length that a log line takes.
pub(super) fn truncated(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_LOGGED_BYTES)]
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_path_for_the_log_has_no_query_and_is_cut_and_moves_no_cursor() {
        let long = "/é".repeat(900);
        let cut = "/é".repeat(170) + "/";
        for (uri, path) in [
            (&b"/a?token=x"[..], Some("/a")),
            (b"/a#b?c", Some("/a")),
            (b"?x", Some("")),
            (b"/", Some("/")),
            (long.as_bytes(), Some(&*cut)),
            (b"/\xff", None),
            ("/\u{9b}2J".as_bytes(), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-original-uri", HeaderValue::from_bytes(uri).unwrap());
            let requirement = Ok(Requirement::default());
            let inquiry = Inquiry {
                headers: Fields::Map(&headers),
                requirement,
                family: Some(&ORIGINAL),
                line: Told::default(),
                gateway: None,
                origin: Origin::of_connection(0),
                certificates: ToldCertificates::default(),
            };
            assert_eq!((inquiry.path(), inquiry.method()), (path, None));
        }
    }
}
