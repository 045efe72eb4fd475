//! The question of `ext_authz`: a client's request as the gateway received it.
//!
//! The gateway tells the headers in one of two ways. As they came (`encode_raw_headers`) the path
//! among them has its true bytes, and a header that came twice is there twice. As texts, a byte
//! that is not UTF-8 is told as `!`, and values are joined by commas: then a path with `!` and a
//! list where one value belongs are refused.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::generated::auth::attribute_context::{HttpRequest, Peer};
use super::generated::auth::{AttributeContext, CheckRequest};
use super::generated::config::address::Address;
use crate::gate::client_certificate::{CertificateForm, ToldCertificates};
use crate::gate::denial::DenialCode;
use crate::gate::inquiry::Inquiry;
use crate::gate::requirement;
use crate::policy::Requirement;
use crate::policy::canonical::headers::{ENVOY, Family};
use crate::policy::canonical::{Refusal, Told};
use crate::wire::networks::Networks;

/// The pseudo-header with the target of the request line (RFC 9113, section 8.3.1).
const PATH: &str = ":path";
/// The extension of a gateway's route that names the scopes that it demands.
const SCOPE: &str = "scope";

/// The headers as they came: nothing is lost of their bytes.
static RAW: Family = Family { is_lossy: false, ..ENVOY };

/// A client's request, in memory of its own.
pub(super) struct AskedRequest {
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
    /// Reads a question.
    ///
    /// # Errors
    /// The reason why it does not describe one request.
    pub(super) fn read(question: CheckRequest) -> Result<Self, Refusal> {
        let attributes = question.attributes.ok_or(Refusal::MissingTarget)?;
        let AttributeContext { source, request, context_extensions } = attributes;
        let http = request.and_then(|request| request.http).ok_or(Refusal::MissingTarget)?;
        let HttpRequest { method, headers, path, host, query, fragment, header_map, .. } = http;
        if !fragment.is_empty() {
            return Err(Refusal::Fragment);
        }
        // Told apart from the path, it would not be seen there.
        if !query.is_empty() || (header_map.is_some() && !headers.is_empty()) {
            return Err(Refusal::Disagreement);
        }
        let certificate = source.as_ref().map(|peer| peer.certificate.clone()).unwrap_or_default();
        let mut asked = Self {
            certificate,
            headers: HeaderMap::new(),
            requirement: demanded(context_extensions.iter()),
            family: &ENVOY,
            method,
            host,
            target: path,
            source: Source::of(source),
        };
        match header_map {
            Some(raw) => {
                for header in raw.headers {
                    let value = header.raw_value;
                    let value = if value.is_empty() { header.value.into() } else { value };
                    asked.add(&header.key, value)?;
                }
            }
            None => {
                for (name, value) in headers {
                    asked.add_text(&name, value)?;
                }
            }
        }
        Ok(asked)
    }

    /// Adds a header that came so. Of the pseudo-headers only the path says more than the fields.
    fn add(&mut self, name: &str, value: Bytes) -> Result<(), Refusal> {
        if name == PATH {
            self.target = String::from_utf8_lossy(&value).into_owned();
            self.family = &RAW;
            return Ok(());
        }
        self.append(name, || HeaderValue::from_maybe_shared(value).ok())
    }

    /// Adds a header whose lines are joined.
    fn add_text(&mut self, name: &str, value: String) -> Result<(), Refusal> {
        self.append(name, || HeaderValue::try_from(value).ok())
    }

    fn append(
        &mut self,
        name: &str,
        value: impl FnOnce() -> Option<HeaderValue>,
    ) -> Result<(), Refusal> {
        if name.starts_with(':') {
            return Ok(());
        }
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Refusal::BadByte)?;
        let value = value().ok_or(Refusal::BadByte)?;
        // There is a bound to how many there can be.
        self.headers.try_append(name, value).map_err(|_| Refusal::List)?;
        Ok(())
    }

    /// The question about it. The client's address is known where the gateway told it, or where the
    /// proxies among `gateways` did.
    pub(super) fn inquiry(&self, gateways: &Networks) -> Inquiry<'_> {
        let client = match self.source {
            Source::Address(address) => gateways.proven_client(Some(address), &self.headers),
            Source::Socket => gateways.proven_client(None, &self.headers),
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
            headers: &self.headers,
            requirement: self.requirement.clone(),
            family: Some(self.family),
            line,
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

    /// Returns whether the client reads its answer from trailers: a client of gRPC does, and one of
    /// gRPC-Web, which has another content type, does not.
    pub(super) fn is_grpc(&self) -> bool {
        let kind = self.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        let rest = kind.strip_prefix(b"application/grpc");
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
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
