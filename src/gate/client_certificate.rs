//! The certificate that a client showed the gateway: found in the one form in which that kind of
//! gateway hands it over.
//!
//! Nothing but its thumbprint is of use here. Whether it is good, and whether the client has its key,
//! was decided by the gateway in the handshake.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderName;
use percent_encoding::percent_decode_str;

use super::denial::DenialCode;
use crate::policy::Certificates;
use crate::token::Thumbprint;
use crate::wire::fields::Fields;

/// Base64 with or without padding: gateways write it, RFC 9440 lets it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// The first byte of a certificate in DER.
const SEQUENCE: u8 = 0x30;

/// The certificates behind a question, as far as whoever asks has proved to be a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldCertificates {
    /// True where the gateway itself proved to be one by a certificate.
    pub is_gateway_certified: bool,
    /// The client's certificate, or the reason why what the gateway told is none.
    pub client: Result<Option<Thumbprint>, DenialCode>,
}

impl Default for ToldCertificates {
    fn default() -> Self {
        Self { is_gateway_certified: false, client: Ok(None) }
    }
}

impl ToldCertificates {
    /// The facts for a policy; a certificate that cannot be read is none.
    pub(super) fn facts(&self) -> Certificates {
        let client = self.client.ok().flatten();
        Certificates { is_gateway_certified: self.is_gateway_certified, client }
    }
}

/// The form in which a kind of gateway hands a certificate over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateForm {
    /// PEM with escapes: `$ssl_client_escaped_cert` of nginx, also in ingress-nginx.
    EscapedPem,
    /// Base64 of DER, with or without the colons of RFC 9440: what HAProxy and Caddy can write.
    Der,
    /// Base64 of DER, then those of the issuers behind commas: Traefik's `passTLSClientCert`.
    DerChain,
    /// `x-forwarded-client-cert` of Envoy, with one certificate.
    Xfcc,
}

impl CertificateForm {
    /// The certificate in this header; `None` where the client showed none.
    ///
    /// # Errors
    /// [`DenialCode::BadClientCertificate`] where there are two values, or none that can be read.
    pub fn read(
        self,
        headers: Fields<'_>,
        name: &HeaderName,
    ) -> Result<Option<Thumbprint>, DenialCode> {
        let bad = DenialCode::BadClientCertificate;
        let Some(line) = headers.one(name.as_str()).map_err(|_| bad)? else { return Ok(None) };
        self.parse(line.to_str().ok_or(bad)?)
    }

    /// The certificate in a text; `None` where it is empty. Caddy writes two colons where there is none.
    ///
    /// # Errors
    /// [`DenialCode::BadClientCertificate`] where it is none, or holds two.
    pub fn parse(self, text: &str) -> Result<Option<Thumbprint>, DenialCode> {
        if text.is_empty() || (self == Self::Der && text == "::") {
            return Ok(None);
        }
        let found = match self {
            Self::EscapedPem => of_escaped_pem(text),
            Self::Der => of_der(without_colons(text)),
            Self::DerChain => of_chain(text),
            Self::Xfcc => of_xfcc(text),
        };
        found.map(Some).ok_or(DenialCode::BadClientCertificate)
    }
}

fn of_escaped_pem(text: &str) -> Option<Thumbprint> {
    let pem: Vec<u8> = percent_decode_str(text).collect();
    let blocks = pem::parse_many(pem).ok()?;
    let [block] = &blocks[..] else { return None };
    (block.tag() == "CERTIFICATE").then(|| thumbprint(block.contents()))?
}

fn of_der(text: &str) -> Option<Thumbprint> {
    thumbprint(&BASE64.decode(text).ok()?)
}

fn thumbprint(der: &[u8]) -> Option<Thumbprint> {
    (der.first() == Some(&SEQUENCE)).then(|| Thumbprint::of(der))
}

/// A byte sequence of structured fields stands between colons (RFC 8941, section 3.3.5).
fn without_colons(text: &str) -> &str {
    text.strip_prefix(':').and_then(|text| text.strip_suffix(':')).unwrap_or(text)
}

/// The first of a chain is the client's own; all must be certificates.
fn of_chain(text: &str) -> Option<Thumbprint> {
    let mut chain = text.split(',').map(of_der);
    let first = chain.next()??;
    chain.all(|issuer| issuer.is_some()).then_some(first)
}

/// The `Hash` of the one element. Two elements are refused, although the last one would be our
/// gateway's: what a client writes before it may open a quotation that ends in it.
fn of_xfcc(text: &str) -> Option<Thumbprint> {
    let (mut hash, mut rest) = (None, text);
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => {
                let end = end_of_quotation(quoted)?;
                (&quoted[..end], &quoted[end + 1..])
            }
            None => after.split_at(after.find([';', ',', '"']).unwrap_or(after.len())),
        };
        if key.eq_ignore_ascii_case("hash") && hash.replace(Thumbprint::from_hex(value)?).is_some()
        {
            return None;
        }
        if after.is_empty() {
            return hash;
        }
        rest = after.strip_prefix(';')?;
    }
}

/// The place of the quotation mark that ends a value.
fn end_of_quotation(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })
}

#[cfg(test)]
mod tests;
