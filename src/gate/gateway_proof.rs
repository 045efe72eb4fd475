//! The proof that whoever asks is a gateway. What he tells about a request of a client decides which
//! route it takes, so nobody else may tell it.

use std::net::IpAddr;

use crate::secret::Secret;
use crate::wire::connection::Connection;
use crate::wire::fields::Fields;
use crate::wire::networks::Networks;

/// The header with the shared secret.
const SECRET: &str = "x-portcullis-gateway";

/// Whoever sent a request to one of our listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The address; `None` is a peer on a unix socket.
    pub address: Option<IpAddr>,
    /// True where the listener demanded a certificate, and so has seen a good one.
    pub is_certified: bool,
    /// The number of its connection.
    pub connection: u64,
}

impl Peer {
    /// The peer of a connection to a listener that demands certificates, or does not.
    pub fn new(connection: Connection, is_certified: bool) -> Self {
        Self { address: connection.peer, is_certified, connection: connection.id }
    }
}

/// The proofs that the operator accepts. The default accepts everybody.
#[derive(Clone, Debug, Default)]
pub struct GatewayProof {
    /// Values of `X-Portcullis-Gateway`; several while one replaces another.
    pub secrets: Vec<Secret>,
    /// Networks in which there are gateways alone.
    pub networks: Networks,
    /// True where the gate's own listener demands certificates.
    pub by_certificate: bool,
}

impl GatewayProof {
    /// Returns whether a proof is demanded: the operator configured one.
    pub fn is_demanded(&self) -> bool {
        self.by_certificate || !self.secrets.is_empty() || !self.networks.is_empty()
    }

    /// Returns whether a peer has one of the proofs, also where none is demanded. Without one nothing is
    /// believed of what he tells about a client's certificate. Who may connect to a unix socket is
    /// decided by its permissions.
    pub fn proves<'h>(&self, peer: Peer, headers: impl Into<Fields<'h>>) -> bool {
        let is_in_network = || peer.address.is_some_and(|address| self.networks.holds(address));
        peer.is_certified
            || peer.address.is_none()
            || is_in_network()
            || self.knows_secret(headers.into())
    }

    fn knows_secret(&self, headers: Fields<'_>) -> bool {
        if self.secrets.is_empty() {
            return false;
        }
        let Ok(Some(line)) = headers.one(SECRET) else { return false };
        let given = Secret::new(line.as_bytes());
        // All are compared, so that the time tells nothing of which one it was.
        self.secrets.iter().filter(|secret| **secret == given).count() > 0
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn proof(secrets: &[&str], networks: &[&str], by_certificate: bool) -> GatewayProof {
        let networks: Vec<_> = networks.iter().map(|network| (*network).to_owned()).collect();
        GatewayProof {
            secrets: secrets.iter().map(|secret| Secret::new(*secret)).collect(),
            networks: Networks::parse(&networks).unwrap(),
            by_certificate,
        }
    }

    #[test]
    fn one_proof_is_enough_and_without_any_nobody_is_heard() {
        let all = proof(&["one", "two"], &["10.0.0.0/8"], true);
        let none = proof(&[], &[], false);
        for (address, is_certified, secrets, is_accepted) in [
            (Some("192.0.2.1"), false, &[][..], false),
            (Some("192.0.2.1"), false, &["one"], true),
            (Some("192.0.2.1"), false, &["two"], true),
            (Some("192.0.2.1"), false, &["three"], false),
            (Some("192.0.2.1"), false, &["on"], false),
            (Some("192.0.2.1"), false, &[""], false),
            (Some("192.0.2.1"), false, &["one", "one"], false),
            (Some("192.0.2.1"), false, &["one, one"], false),
            (Some("192.0.2.1"), true, &[], true),
            (Some("10.1.2.3"), false, &[], true),
            (Some("::ffff:10.1.2.3"), false, &["three"], true),
            (None, false, &[], true),
        ] {
            let mut headers = HeaderMap::new();
            for secret in secrets {
                headers.append(SECRET, secret.parse().unwrap());
            }
            let address = address.map(|address| address.parse().unwrap());
            let peer = Peer::new(Connection::accepted(address), is_certified);
            assert_eq!(all.proves(peer, &headers), is_accepted, "{peer:?} {secrets:?}");
            let is_proof = is_certified || peer.address.is_none();
            assert_eq!(none.proves(peer, &headers), is_proof, "{peer:?}");
        }
        assert!(!none.is_demanded());
        assert!(proof(&["x"], &[], false).is_demanded());
        assert!(proof(&[], &["10.0.0.0/8"], false).is_demanded());
        assert!(proof(&[], &[], true).is_demanded());
    }
}
