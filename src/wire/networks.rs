//! Networks that the operator lists: those of gateways, which are trusted more than others.

use std::net::IpAddr;

use super::fields::Fields;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// A list of networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Reads a list of networks and addresses.
    ///
    /// # Errors
    /// The first that is no network.
    pub fn parse(list: &[String]) -> Result<Self, String> {
        let network = |text: &String| {
            let single = || text.parse::<IpAddr>().map(IpNet::from);
            let network = text.parse::<IpNet>().or_else(|_| single());
            network
                .map_err(|_| format!("{text:?} is no network such as 10.0.0.0/8, and no address"))
        };
        list.iter().map(network).collect::<Result<_, _>>().map(Self)
    }

    /// All addresses that there are.
    pub fn everybody() -> Self {
        let all = [IpAddr::from([0; 4]), IpAddr::from([0; 16])];
        Self(all.map(|address| IpNet::new_assert(address, 0)).into())
    }

    /// These networks and `others`.
    #[must_use]
    pub fn and(&self, others: &Self) -> Self {
        Self([self.0.as_slice(), &others.0].concat())
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether this host alone is in them, or nobody.
    pub fn are_loopback(&self) -> bool {
        self.0.iter().all(|network| network.addr().is_loopback())
    }

    /// Returns whether they are the whole Internet, in one network or in several.
    pub fn hold_everybody(&self) -> bool {
        IpNet::aggregate(&self.0).iter().any(|network| network.prefix_len() == 0)
    }

    /// Returns whether an address is in one of them.
    pub fn holds(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Returns whether every address of `others` is in one of these, network by network.
    pub fn hold_all(&self, others: &Self) -> bool {
        let is_held = |other: &IpNet| self.0.iter().any(|network| network.contains(other));
        others.0.iter().all(is_held)
    }

    /// The client of a request that `peer` sent, where these are the networks of trusted gateways;
    /// `None` is a peer on a unix socket, which is this host. In `X-Forwarded-For` the last address
    /// counts that is no gateway's: a client could have written all that stands before it.
    pub fn client<'h>(
        &self,
        peer: Option<IpAddr>,
        headers: impl Into<Fields<'h>>,
    ) -> Option<IpAddr> {
        match peer {
            Some(peer) if !self.holds(peer) => Some(peer.to_canonical()),
            peer => self.forwarded(headers.into()).or(peer),
        }
    }

    /// The client of a request whose gateway had it from `source`: that is the client itself, or a
    /// proxy among these, which names him. None where such a proxy sent a list that cannot be read.
    pub fn client_of_source<'h>(
        &self,
        source: Option<IpAddr>,
        headers: impl Into<Fields<'h>>,
    ) -> Option<IpAddr> {
        let headers = headers.into();
        match source {
            Some(source) if !self.holds(source) => Some(source.to_canonical()),
            _ if headers.contains(FORWARDED_FOR) => self.forwarded(headers),
            source => source.map(|source| source.to_canonical()),
        }
    }

    /// The client whom a gateway names that asks about his request. A gateway that is none of these
    /// is not believed, and is itself never the client; `None` is one that proved itself otherwise.
    pub fn client_of_gateway<'h>(
        &self,
        gateway: Option<IpAddr>,
        headers: impl Into<Fields<'h>>,
    ) -> Option<IpAddr> {
        gateway.is_none_or(|gateway| self.holds(gateway)).then(|| self.forwarded(headers.into()))?
    }

    fn forwarded(&self, headers: Fields<'_>) -> Option<IpAddr> {
        let mut farthest = None;
        for line in headers.get_all(FORWARDED_FOR).rev() {
            for text in line.to_str()?.rsplit(',') {
                let address = address(text.trim())?;
                if !self.holds(address) {
                    return Some(address);
                }
                farthest = Some(address);
            }
        }
        farthest
    }
}

/// An address, also with a port, as some proxies write it.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim_start_matches('[');
    let plain = text.split(']').next().unwrap_or_default();
    plain
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.rsplit_once(':').and_then(|(host, _)| host.parse().ok()))
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn networks_are_joined_and_everybody_is_everybody() {
        let networks = |text: &str| Networks::parse(&[text.to_owned()]).expect("a network");
        let both = networks("10.0.0.0/8").and(&networks("2001:db8::/32"));
        let here = networks("127.0.0.0/8").and(&networks("::1"));
        assert!(here.are_loopback() && Networks::default().are_loopback());
        assert!(!here.and(&both).are_loopback());
        for (text, is_held) in [("10.1.2.3", true), ("2001:db8::1", true), ("192.0.2.1", false)] {
            let address = text.parse().expect("an address");
            assert_eq!(both.holds(address), is_held, "{text}");
            assert!(Networks::everybody().holds(address), "{text}");
        }
        assert!(Networks::everybody().hold_everybody() && !both.hold_everybody());
    }

    #[test]
    fn the_whole_internet_in_two_halves_is_everybody() {
        for (list, expected) in [
            (&["0.0.0.0/0"][..], true),
            (&["::/0"], true),
            (&["0.0.0.0/1", "128.0.0.0/1"], true),
            (&["::/1", "10.0.0.0/8", "8000::/1"], true),
            (&["0.0.0.0/1", "10.0.0.0/8"], false),
            (&[], false),
        ] {
            let list: Vec<_> = list.iter().map(ToString::to_string).collect();
            let networks = Networks::parse(&list).expect("networks");
            assert_eq!(networks.hold_everybody(), expected, "{list:?}");
        }
    }

    #[test]
    fn a_gateway_names_the_client_and_is_never_the_client() {
        let trusted = Networks::parse(&["10.0.0.0/8".to_owned()]).expect("networks");
        for (gateway, forwarded, of_gateway, of_source) in [
            (Some("10.0.0.5"), Some("192.0.2.1"), Some("192.0.2.1"), Some("192.0.2.1")),
            (Some("10.0.0.5"), None, None, Some("10.0.0.5")),
            (Some("10.0.0.5"), Some("rubbish, 10.1.2.3"), None, None),
            (Some("192.168.0.5"), Some("10.1.1.1"), None, Some("192.168.0.5")),
            (None, Some("192.0.2.1"), Some("192.0.2.1"), Some("192.0.2.1")),
            (None, None, None, None),
        ] {
            let address = |text: &str| text.parse::<IpAddr>().expect("an address");
            let lines = forwarded.map(|line| {
                (http::HeaderName::from_static(FORWARDED_FOR), line.parse().expect("a header"))
            });
            let headers: HeaderMap = lines.into_iter().collect();
            let gateway = gateway.map(address);
            let told = trusted.client_of_gateway(gateway, &headers);
            assert_eq!(told, of_gateway.map(address), "{gateway:?} {forwarded:?}");
            let source = trusted.client_of_source(gateway, &headers);
            assert_eq!(source, of_source.map(address), "{gateway:?} {forwarded:?}");
        }
    }

    #[test]
    fn the_client_is_the_last_that_no_listed_gateway_is() {
        let trusted = ["127.0.0.0/8", "::1", "10.0.0.0/8"].map(str::to_owned);
        let trusted = Networks::parse(&trusted).expect("networks");
        for (peer, forwarded, expected) in [
            (Some("192.0.2.1"), &["198.51.100.1"][..], Some("192.0.2.1")),
            (Some("127.0.0.1"), &["198.51.100.1"], Some("198.51.100.1")),
            (Some("127.0.0.1"), &["203.0.113.9, 198.51.100.1"], Some("198.51.100.1")),
            (Some("127.0.0.1"), &["203.0.113.9, 198.51.100.1, 10.1.1.1"], Some("198.51.100.1")),
            (Some("127.0.0.1"), &["203.0.113.9", "198.51.100.1"], Some("198.51.100.1")),
            (Some("127.0.0.1"), &["10.2.2.2, 10.1.1.1"], Some("10.2.2.2")),
            (Some("127.0.0.1"), &["rubbish"], Some("127.0.0.1")),
            (Some("127.0.0.1"), &["1.2.3.4, rubbish"], Some("127.0.0.1")),
            (Some("127.0.0.1"), &[], Some("127.0.0.1")),
            (Some("::ffff:127.0.0.1"), &["198.51.100.1:4711"], Some("198.51.100.1")),
            (Some("::1"), &["[2001:db8::1]:80"], Some("2001:db8::1")),
            (None, &["198.51.100.1"], Some("198.51.100.1")),
            (None, &[], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in forwarded {
                headers.append("x-forwarded-for", line.parse().expect("a header"));
            }
            let address = |text: &str| text.parse::<IpAddr>().expect("an address");
            let client = trusted.client(peer.map(address), &headers);
            assert_eq!(client, expected.map(address), "{peer:?} {forwarded:?}");
        }
    }
}
