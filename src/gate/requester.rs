//! Whoever a request came from: by this, and nothing else, is decided whose credential is verified next.

use std::net::IpAddr;

use crate::wire::budget::customer;
use crate::wire::fields::Fields;
use crate::wire::networks::Networks;

/// An owner of work, who has his turn among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Requester {
    /// A client, by its address; of IPv6 by the network that one customer has.
    Client(IpAddr),
    /// All who come over one connection, where the client is not known.
    Connection(u64),
}

/// The way that a request came. Its client is looked for only where somebody asks for it.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'r> {
    connection: u64,
    client: Client<'r>,
}

#[derive(Clone, Copy, Debug)]
enum Client<'r> {
    Unknown,
    Known(IpAddr),
    /// Named by the gateway, if it is believed (see [`Networks::client_of_gateway`]).
    Told {
        gateways: &'r Networks,
        gateway: Option<IpAddr>,
        headers: Fields<'r>,
    },
}

impl<'r> Origin<'r> {
    /// A request of which the connection alone is known.
    pub fn of_connection(connection: u64) -> Self {
        Self { connection, client: Client::Unknown }
    }

    /// A request of this client.
    pub fn of_client(client: IpAddr) -> Self {
        Self { connection: 0, client: Client::Known(client) }
    }

    /// A request that a gateway asks about, whose client is the one that the headers name. Only one of
    /// `gateways` is believed; `None` is one that proved itself otherwise.
    pub(super) fn told_by(
        self,
        gateways: &'r Networks,
        gateway: Option<IpAddr>,
        headers: Fields<'r>,
    ) -> Self {
        Self { client: Client::Told { gateways, gateway, headers }, ..self }
    }

    /// The client, where it is known.
    pub(super) fn client(&self) -> Option<IpAddr> {
        match self.client {
            Client::Unknown => None,
            Client::Known(client) => Some(client),
            Client::Told { gateways, gateway, headers } => {
                gateways.client_of_gateway(gateway, headers)
            }
        }
    }

    /// The requester.
    pub(super) fn requester(&self) -> Requester {
        self.client()
            .map_or(Requester::Connection(self.connection), |it| Requester::Client(customer(it)))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn a_client_is_known_by_what_a_believed_gateway_says_and_else_by_the_connection() {
        let gateways = Networks::parse(&["192.0.2.0/24".to_owned()]).unwrap();
        let (gateway, stranger) = ("192.0.2.1".parse().ok(), "198.51.100.1".parse().ok());
        let of = |gateway, forwarded: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", forwarded.parse().unwrap());
            Origin::of_connection(7).told_by(&gateways, gateway, (&headers).into()).requester()
        };
        let client = |address: &str| Requester::Client(address.parse().unwrap());
        assert_eq!(of(gateway, "203.0.113.7"), client("203.0.113.7"));
        assert_eq!(of(None, "203.0.113.7"), client("203.0.113.7"), "it proved itself otherwise");
        assert_eq!(of(gateway, "2001:db8:1:2:3::4"), client("2001:db8:1:2::"), "one customer");
        assert_eq!(of(gateway, "nobody"), Requester::Connection(7));
        assert_eq!(of(stranger, "203.0.113.7"), Requester::Connection(7), "anybody may say so");
        assert_eq!(Origin::of_connection(8).requester(), Requester::Connection(8));
        let known = Origin::of_client("203.0.113.7".parse().unwrap());
        assert_eq!(known.requester(), client("203.0.113.7"));
    }
}
