//! The question of `ext_authz`: a client's request as the gateway received it.
//!
//! The gateway tells the headers in one of two ways. As they came (`encode_raw_headers`) the path
//! among them has its true bytes, and a header that came twice is there twice. As texts, a byte
//! that is not UTF-8 is told as `!`, and values are joined by commas: then a path with `!` and a
//! list where one value belongs are refused.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::generated::auth::attribute_context::{HttpRequest, Peer};
use super::generated::auth::{AttributeContext, CheckRequest};
use super::generated::config::address::Address;
use crate::gate::client_certificate::{CertificateForm, ToldCertificates};
use crate::gate::denial::DenialCode;
use crate::gate::inquiry::Inquiry;
use crate::gate::requester::Origin;
use crate::gate::requirement;
use crate::policy::Requirement;
use crate::policy::canonical::headers::{ENVOY, Family};
use crate::policy::canonical::{Refusal, Told};
use crate::wire::fields::Fields;
use crate::wire::networks::Networks;

/// The pseudo-headers that say the same as fields (RFC 9113, section 8.3.1).
const METHOD: &str = ":method";
const AUTHORITY: &str = ":authority";
const PATH: &str = ":path";
/// The header with the addresses of clients, as proxies tell them.
const FORWARDED_FOR: &str = "x-forwarded-for";
/// The extension of a gateway's route that names the scopes that it demands.
const SCOPE: &str = "scope";

/// The headers as they came: nothing is lost of their bytes.
static RAW: Family = Family { is_lossy: false, ..ENVOY };

/// A client's request, in memory of its own.
pub(super) struct AskedRequest {
    /// The first reason why the question does not describe one request.
    refusal: Option<Refusal>,
    headers: HeaderMap,
    requirement: Result<Requirement, DenialCode>,
    family: &'static Family,
    method: String,
    host: String,
    target: String,
    source: Source,
    /// The certificate of the gateway's peer; empty where it showed none.
    certificate: String,
}

/// The peer of the gateway: the client, or the last proxy before the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// A host.
    Address(IpAddr),
    /// A unix socket, which is a proxy on the gateway's own host.
    Socket,
    /// The gateway told none that could be read.
    Unknown,
}

impl AskedRequest {
    /// Reads a question. All of it is read, also where something is refused: the answer and the log
    /// need what there is.
    pub(super) fn read(question: CheckRequest) -> Self {
        let attributes = question.attributes.unwrap_or_default();
        let AttributeContext { source, request, context_extensions } = attributes;
        let told = request.and_then(|request| request.http);
        let refusal = told.is_none().then_some(Refusal::MissingTarget);
        let http = told.unwrap_or_default();
        let HttpRequest { method, headers, path, host, query, fragment, header_map, .. } = http;
        let certificate = source.as_ref().map(|peer| peer.certificate.clone()).unwrap_or_default();
        let mut asked = Self {
            refusal,
            certificate,
            headers: HeaderMap::new(),
            requirement: demanded(context_extensions.iter()),
            family: &ENVOY,
            method,
            host,
            target: path,
            source: Source::of(source),
        };
        asked.refuse_if(!fragment.is_empty(), Refusal::Fragment);
        // Told apart from the path, a query would not be seen there.
        let is_told_twice = header_map.is_some() && !headers.is_empty();
        asked.refuse_if(!query.is_empty() || is_told_twice, Refusal::Disagreement);
        for (name, value) in headers {
            asked.add(&name, value.into());
        }
        for header in header_map.into_iter().flat_map(|raw| raw.headers) {
            let value = header.raw_value;
            asked.add_raw(&header.key, if value.is_empty() { header.value.into() } else { value });
        }
        if asked.source == Source::Unknown {
            // Nobody is known who could have told it.
            asked.headers.remove(FORWARDED_FOR);
        }
        asked
    }

    /// The reason why the question does not describe one request, if it does not.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    fn refuse_if(&mut self, is_refused: bool, refusal: Refusal) {
        self.refusal = self.refusal.or_else(|| is_refused.then_some(refusal));
    }

    /// Adds a header with its own bytes. The path says more so than its field does.
    fn add_raw(&mut self, name: &str, value: Bytes) {
        if name != PATH {
            return self.add(name, value);
        }
        // A byte that the field cannot tell is refused where the path is judged.
        self.refuse_if(value.is_ascii() && !says(&self.target, &value), Refusal::Disagreement);
        self.target = String::from_utf8_lossy(&value).into_owned();
        self.family = &RAW;
    }

    /// Adds a header. A pseudo-header must say what its field says.
    fn add(&mut self, name: &str, value: Bytes) {
        let field = match name {
            METHOD => &self.method,
            AUTHORITY => &self.host,
            PATH => &self.target,
            name if name.starts_with(':') => return,
            name => return self.append(name, value),
        };
        let agrees = says(field, &value);
        self.refuse_if(!agrees, Refusal::Disagreement);
    }

    fn append(&mut self, name: &str, value: Bytes) {
        let name = HeaderName::from_bytes(name.as_bytes());
        let (Ok(name), Ok(value)) = (name, HeaderValue::from_maybe_shared(value)) else {
            return self.refuse_if(true, Refusal::BadByte);
        };
        // There is a bound to how many there can be.
        let is_added = self.headers.try_append(name, value).is_ok();
        self.refuse_if(!is_added, Refusal::List);
    }

    /// The question about it. The client's address is known where the gateway told it, or where the
    /// proxies among `gateways` did.
    pub(super) fn inquiry(&self, gateways: &Networks) -> Inquiry<'_> {
        let client = match self.source {
            Source::Address(address) => gateways.client_of_source(Some(address), &self.headers),
            Source::Socket => gateways.client_of_source(None, &self.headers),
            Source::Unknown => None,
        };
        let line = Told {
            method: told(&self.method),
            host: told(&self.host),
            target: told(&self.target),
            client,
            ..Told::default()
        };
        Inquiry {
            headers: Fields::Map(&self.headers),
            requirement: self.requirement.clone(),
            family: Some(self.family),
            line,
            gateway: None,
            origin: Origin::of_connection(0),
            certificates: ToldCertificates::default(),
        }
    }

    /// The certificates that it tells of, where a gateway tells it.
    pub(super) fn certificates(&self, is_gateway_certified: bool) -> ToldCertificates {
        let client = CertificateForm::EscapedPem.parse(&self.certificate);
        ToldCertificates { is_gateway_certified, client }
    }

    /// The address of the gateway's peer, where it is a host.
    pub(super) fn peer(&self) -> Option<IpAddr> {
        match self.source {
            Source::Address(address) => Some(address),
            Source::Socket | Source::Unknown => None,
        }
    }
}

impl Source {
    fn of(peer: Option<Peer>) -> Self {
        match peer.and_then(|peer| peer.address).and_then(|address| address.address) {
            Some(Address::SocketAddress(socket)) => {
                socket.address.parse().map_or(Self::Unknown, Self::Address)
            }
            Some(Address::Pipe(_)) => Self::Socket,
            None => Self::Unknown,
        }
    }
}

/// Returns whether a field says what a pseudo-header says. An empty one says nothing.
fn says(field: &str, value: &[u8]) -> bool {
    field.is_empty() || field.as_bytes() == value
}

/// An empty text tells nothing.
fn told(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// Reads what the operator wrote into the gateway's route. No client can write there.
///
/// # Errors
/// [`DenialCode::UnknownRequirement`] for anything but `scope`: a misspelt one must not open the
/// route to everybody.
fn demanded<'e>(
    extensions: impl Iterator<Item = (&'e String, &'e String)>,
) -> Result<Requirement, DenialCode> {
    let mut demanded = Requirement::default();
    for (name, value) in extensions {
        if name != SCOPE {
            return Err(DenialCode::UnknownRequirement);
        }
        demanded = requirement::from_scopes(value)?;
    }
    Ok(demanded)
}

#[cfg(test)]
mod tests;
