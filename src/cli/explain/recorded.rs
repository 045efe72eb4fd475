//! A request that was recorded somewhere: the parts that a gateway tells, and the client's headers.

use std::net::IpAddr;

use anyhow::Context as _;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::gate::Dialect;
use crate::policy::canonical::Told;

/// Headers of the connection, which no gateway hands on.
const OF_CONNECTION: [&str; 8] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade-insecure-requests",
];
/// The beginnings of headers that a gateway writes anew, whatever its client sent.
const OF_GATEWAY: [&str; 5] =
    ["forwarded", "x-forwarded-", "x-original-", "x-real-ip", "x-portcullis-gateway"];

/// A recorded request.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    pub(super) method: String,
    pub(super) scheme: String,
    pub(super) host: String,
    pub(super) target: String,
    /// The client's headers, as far as a gateway hands them on.
    pub(super) headers: HeaderMap,
    pub(super) client: Option<IpAddr>,
    /// The gateway that asked, where that was recorded.
    pub(super) dialect: Option<Dialect>,
    /// Notes on what was not recorded, and on what is left out.
    pub(super) notes: Vec<String>,
}

impl Recorded {
    /// A request of which nobody told more than that it is one.
    pub(super) fn unknown() -> Self {
        Self { target: "/".to_owned(), ..Self::default() }
    }

    /// A request to an address, without headers. The path stays as it is spelled: that is judged.
    pub(super) fn of_url(method: &str, url: &str) -> anyhow::Result<Self> {
        let told = Told::of_url(method, url).context("begin the URL with https:// or http://")?;
        let own = |part: Option<&str>| part.unwrap_or_default().to_owned();
        Ok(Self {
            method: own(told.method),
            scheme: own(told.scheme),
            host: own(told.host),
            target: own(told.target),
            ..Self::default()
        })
    }

    /// The parts that a gateway tells. The client's address is not among its headers.
    pub(super) fn told(&self) -> Told<'_> {
        Told {
            method: known(&self.method),
            scheme: known(&self.scheme),
            host: known(&self.host),
            target: known(&self.target),
            client: None,
        }
    }

    /// Takes a header that the client sent. `Host` is the host that the gateway tells; what a
    /// gateway writes itself is left out. No message holds the value.
    pub(super) fn take_header(&mut self, name: &str, value: &str) -> anyhow::Result<()> {
        let name: HeaderName = name.parse().context("that is no name of a header")?;
        let value = HeaderValue::from_str(value)
            .with_context(|| format!("the value of {name} cannot stand in a request"))?;
        let is_of = |list: &[&str]| list.iter().any(|own| name.as_str().starts_with(own));
        if name == HOST {
            value.to_str().context("Host is not readable")?.clone_into(&mut self.host);
        } else if is_of(&OF_GATEWAY) {
            self.notes.push(format!("{name} is left out: a gateway writes its own"));
        } else if !OF_CONNECTION.contains(&name.as_str()) {
            self.headers.append(name, value);
        }
        Ok(())
    }
}

fn known(part: &str) -> Option<&str> {
    Some(part).filter(|part| !part.is_empty())
}
