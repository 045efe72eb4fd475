//! The bounds of an API key beside its times: who made it, and for what service, path and address.
//!
//! A bound that a request does not meet, or of which the request does not say enough, refuses it.
//! Only comparisons stand here; where the facts of a request come from is the gate's business.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// The bounds of an API key; by default there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyBounds {
    /// The name of the issuer whose accounts its user is in.
    pub issuer: Option<String>,
    /// The service that it is for: a name of the gate's own, or the host of the request.
    pub audience: Option<String>,
    /// The id of its user, or the path of all requests that it is for; a path begins with a slash.
    pub subject: Option<String>,
    /// The addresses that it may be used from.
    pub address: Option<AddressRange>,
}

/// The facts of one request that bounds are compared with. `None` is what nobody knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyUse<'r> {
    /// The host that the client asked for, in lower case.
    pub host: Option<&'r str>,
    /// Its port.
    pub port: Option<u16>,
    /// The path, decoded once.
    pub path: Option<&'r str>,
    /// The address of the client.
    pub client: Option<IpAddr>,
}

/// The bound that a request does not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnmetBound {
    /// The key was made by another issuer.
    #[error("the API key is of another issuer")]
    Issuer,
    /// The key is for another service.
    #[error("the API key is for another service")]
    Audience,
    /// The key is for other paths, or for another user.
    #[error("the API key is for other paths, or for another user")]
    Subject,
    /// The key is for other addresses.
    #[error("the API key may not be used from this address")]
    Address,
}

impl KeyBounds {
    /// Checks what is the same for all requests: the issuer, and the user where the subject is one.
    ///
    /// # Errors
    /// The first bound that is not met.
    pub fn check_owner(&self, issuer: &str, user: &str) -> Result<(), UnmetBound> {
        if self.issuer.as_deref().is_some_and(|named| named != issuer) {
            return Err(UnmetBound::Issuer);
        }
        let of_user = self.subject.as_deref().filter(|subject| !is_path(subject));
        if of_user.is_some_and(|subject| subject != user) {
            Err(UnmetBound::Subject)
        } else {
            Ok(())
        }
    }

    /// Checks what differs from request to request. `audiences` are the gate's own names.
    ///
    /// # Errors
    /// The first bound that is not met, or that cannot be compared.
    pub fn check_use(&self, audiences: &[String], used: &KeyUse<'_>) -> Result<(), UnmetBound> {
        let is_for = |audience: &str| is_named(audiences, audience) || is_host(audience, used);
        if !self.audience.as_deref().is_none_or(is_for) {
            return Err(UnmetBound::Audience);
        }
        let is_below = |prefix: &str| used.path.is_some_and(|path| is_at_or_below(path, prefix));
        if !self.path().is_none_or(is_below) {
            return Err(UnmetBound::Subject);
        }
        let is_from = |range: &AddressRange| used.client.is_some_and(|client| range.holds(client));
        if self.address.as_ref().is_none_or(is_from) { Ok(()) } else { Err(UnmetBound::Address) }
    }

    /// Returns whether [`check_use`](Self::check_use) depends on the host or the path of a request.
    pub fn needs_request(&self, audiences: &[String]) -> bool {
        let by_host = |audience: &String| !is_named(audiences, audience);
        self.audience.as_ref().is_some_and(by_host) || self.path().is_some()
    }

    /// The bytes of its texts.
    pub fn text_bytes(&self) -> usize {
        let texts = [&self.issuer, &self.audience, &self.subject];
        texts.into_iter().flatten().map(String::len).sum()
    }

    /// Returns whether a bound depends on the request that the key is used in. No token carries such
    /// a bound, so none may be issued for the key.
    pub fn depend_on_request(&self) -> bool {
        self.audience.is_some() || self.path().is_some() || self.address.is_some()
    }

    /// The path, where the subject is one.
    fn path(&self) -> Option<&str> {
        self.subject.as_deref().filter(|subject| is_path(subject))
    }
}

/// Returns whether a subject is a path; else it is a user's id.
pub fn is_path(subject: &str) -> bool {
    subject.starts_with('/')
}

fn is_named(audiences: &[String], audience: &str) -> bool {
    audiences.iter().any(|own| own == audience)
}

/// Returns whether an audience is the host of the request, with or without its port.
fn is_host(audience: &str, used: &KeyUse<'_>) -> bool {
    let Some(host) = used.host else { return false };
    let is = |text: &str| text.eq_ignore_ascii_case(host);
    is(audience)
        || used.port.is_some_and(|port| {
            let named = audience.rsplit_once(':').filter(|(host, _)| is(host));
            named.is_some_and(|(_, text)| text == port.to_string())
        })
}

/// Returns whether a path is the prefix, or below it by whole segments.
fn is_at_or_below(path: &str, prefix: &str) -> bool {
    let below = path.strip_prefix(prefix.trim_end_matches('/'));
    path == prefix || below.is_some_and(|rest| rest.starts_with('/'))
}

/// An address, or a network of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange(IpNet);

/// The text is no address and no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write an address such as 192.0.2.7, or a network such as 192.0.2.0/24")]
pub struct NoAddress;

impl AddressRange {
    /// Returns whether an address is in it; an IPv4 address also where it is written as one of IPv6.
    pub fn holds(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for AddressRange {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let single = || text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
        let network = text.parse::<IpNet>().or_else(|_| single()).map_err(|_| NoAddress)?;
        // Clients have IPv4 addresses in their own form, so nobody would be in such a network.
        let is_mapped = network.addr() != network.addr().to_canonical();
        if is_mapped { Err(NoAddress) } else { Ok(Self(network.trunc())) }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            write!(f, "{}", self.0.addr())
        } else {
            write!(f, "{}", self.0)
        }
    }
}

#[cfg(test)]
mod tests;
