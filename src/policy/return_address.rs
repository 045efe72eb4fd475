//! Return addresses: the page that a browser asked for, and to which the login page sends it back.
//!
//! A login page that redirects to whatever it is told leads users from a good site to a bad one
//! (CWE-601). Browsers repair addresses in many ways, so nothing is repaired here. An address is good
//! only in the one spelling that this crate itself writes, over https, and where its host is listed. A
//! signature says that all of this was checked before, so that a login page needs no list of its own.

mod host;

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use url::Url;

use super::canonical::{CanonicalRequest, Refusal, Scheme, Told, canonical};
use crate::clock::UnixTime;
use crate::secret::Secret;
pub use host::ReturnHost;

/// The time in which a signed address can be used: a login with a second factor takes a while.
const LIFETIME: Duration = Duration::from_secs(3_600);
/// The longest address, in bytes. Escaped it must still fit into a response header.
const MAX_BYTES: usize = 2_048;
/// The use of the key that is derived from the operator's secret.
const PURPOSE: &[u8] = b"portcullis return address v1";

/// The parameters of a login page's address.
const ADDRESS: &str = "rd";
const EXPIRES: &str = "rd_expires";
const SIGNATURE: &str = "rd_signature";

/// A return address, as it stands in the query of the login page's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnAddress {
    /// The address itself.
    pub url: String,
    /// Its end and its signature, where it is signed.
    pub signature: Option<ReturnSignature>,
}

/// The signature of a return address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnSignature {
    /// The end of the time in which the address can be used.
    pub expires: UnixTime,
    /// HMAC-SHA256 in base64url over `EXPIRES`, a line feed and the address.
    pub mac: String,
}

/// The reason why a browser is not sent to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReturnRefusal {
    /// The parameters are missing, or stand there more than once.
    #[error("the address is not given once")]
    Unreadable,
    /// It is too long.
    #[error("the address is longer than 2048 bytes")]
    TooLong,
    /// It is no address that can be read in one way only.
    #[error("the address is not clear: {0}")]
    Unclear(Refusal),
    /// It is spelled in another way than ours.
    #[error("the address is not in its one spelling")]
    OtherSpelling,
    /// It is not over https, nor on this host itself.
    #[error("the address is not https")]
    Insecure,
    /// Its host is not listed.
    #[error("the host of the address is not listed")]
    UnlistedHost,
    /// It is not signed, or by another key, or over another address.
    #[error("the address is not signed by us")]
    BadSignature,
    /// Its time is over.
    #[error("the time of the address is over")]
    Expired,
}

/// The addresses to which a browser may be sent back.
#[derive(Debug)]
pub struct ReturnAddresses {
    /// The hosts. Where there are none, a signature alone says that an address is good.
    hosts: Vec<ReturnHost>,
    key: Option<hmac::Key>,
}

impl ReturnAddresses {
    /// Addresses of these hosts, if any are listed, and signed by this secret, if there is one.
    /// `None` where there is neither, which would be every address. Without hosts none is offered:
    /// whoever asks a gateway chooses the host, and would get a signature for his own.
    pub fn new(hosts: Vec<ReturnHost>, secret: Option<&Secret>) -> Option<Self> {
        let key = secret.map(derived_key);
        (key.is_some() || !hosts.is_empty()).then_some(Self { hosts, key })
    }

    /// The return address of a request.
    ///
    /// # Errors
    /// The reason why it has none.
    pub fn offer(
        &self,
        request: &CanonicalRequest<'_>,
        now: UnixTime,
    ) -> Result<ReturnAddress, ReturnRefusal> {
        let url = request.url();
        self.check_url(&url)?;
        if self.hosts.is_empty() {
            return Err(ReturnRefusal::UnlistedHost);
        }
        let signature = self.key.as_ref().map(|key| {
            let expires = now.after(LIFETIME);
            let mac = hmac::sign(key, &signed_text(expires, &url));
            ReturnSignature { expires, mac: URL_SAFE_NO_PAD.encode(mac) }
        });
        Ok(ReturnAddress { url, signature })
    }

    /// Checks an address before a browser is sent to it.
    ///
    /// # Errors
    /// The reason why it must not be.
    pub fn check(&self, address: &ReturnAddress, now: UnixTime) -> Result<(), ReturnRefusal> {
        self.check_url(&address.url)?;
        let Some(key) = &self.key else { return Ok(()) };
        let signature = address.signature.as_ref().ok_or(ReturnRefusal::BadSignature)?;
        let mac = URL_SAFE_NO_PAD.decode(&signature.mac).unwrap_or_default();
        let signed = signed_text(signature.expires, &address.url);
        hmac::verify(key, &signed, &mac).map_err(|_| ReturnRefusal::BadSignature)?;
        if now < signature.expires { Ok(()) } else { Err(ReturnRefusal::Expired) }
    }

    fn check_url(&self, text: &str) -> Result<(), ReturnRefusal> {
        if text.len() > MAX_BYTES {
            return Err(ReturnRefusal::TooLong);
        }
        let told = Told { method: Some("GET"), target: Some(text), ..Told::default() };
        let request = canonical(&told).map_err(ReturnRefusal::Unclear)?;
        if request.url() != text || !is_read_alike_by_browsers(&request, text) {
            return Err(ReturnRefusal::OtherSpelling);
        }
        if request.scheme == Scheme::Http && !host::is_loopback(&request.authority.host) {
            return Err(ReturnRefusal::Insecure);
        }
        let is_listed =
            self.hosts.is_empty() || self.hosts.iter().any(|it| it.holds(&request.authority));
        if is_listed { Ok(()) } else { Err(ReturnRefusal::UnlistedHost) }
    }
}

/// Returns whether a browser (WHATWG URL) goes to the same host.
fn is_read_alike_by_browsers(request: &CanonicalRequest<'_>, text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        url.scheme() == request.scheme.as_str()
            && url.host_str() == Some(&*request.authority.host)
            && url.port() == request.authority.port
            && url.username().is_empty()
            && url.password().is_none()
    })
}

fn derived_key(secret: &Secret) -> hmac::Key {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
    hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&secret, PURPOSE).as_ref())
}

fn signed_text(expires: UnixTime, url: &str) -> Vec<u8> {
    format!("{}\n{url}", expires.as_secs()).into_bytes()
}

impl ReturnAddress {
    /// Adds the address to the query of a login page.
    pub fn append_to(&self, page: &mut Url) {
        let mut query = page.query_pairs_mut();
        query.append_pair(ADDRESS, &self.url);
        if let Some(ReturnSignature { expires, mac }) = &self.signature {
            query.append_pair(EXPIRES, &expires.as_secs().to_string());
            query.append_pair(SIGNATURE, mac);
        }
    }

    /// Reads the address from the query of a login page.
    ///
    /// # Errors
    /// [`ReturnRefusal::Unreadable`], also where a parameter stands there twice.
    pub fn from_query(query: &str) -> Result<Self, ReturnRefusal> {
        let one = |wanted: &str| {
            let mut found = form_urlencoded::parse(query.as_bytes())
                .filter(|(name, _)| name == wanted)
                .map(|(_, value)| value.into_owned());
            let first = found.next();
            if found.next().is_some() { Err(ReturnRefusal::Unreadable) } else { Ok(first) }
        };
        let url = one(ADDRESS)?.ok_or(ReturnRefusal::Unreadable)?;
        let signature = match (one(EXPIRES)?, one(SIGNATURE)?) {
            (None, None) => None,
            (Some(expires), Some(mac)) => {
                let expires = expires.parse().map_err(|_| ReturnRefusal::Unreadable)?;
                Some(ReturnSignature { expires: UnixTime::from_secs(expires), mac })
            }
            _ => return Err(ReturnRefusal::Unreadable),
        };
        Ok(Self { url, signature })
    }

    /// Returns whether a query has a parameter of a return address.
    pub(crate) fn is_in(query: &str) -> bool {
        form_urlencoded::parse(query.as_bytes())
            .any(|(name, _)| [ADDRESS, EXPIRES, SIGNATURE].contains(&&*name))
    }
}

#[cfg(test)]
mod tests;
