//! A concurrency limit for each client address, so that nobody takes all of something.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::networks::Networks;

/// A number of permits for each address; an IPv6 customer's address is all of its /64.
#[derive(Debug)]
pub struct AddressLimit {
    max: usize,
    /// The networks without a limit.
    exempt: Networks,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// A permit, given back when it is dropped.
#[derive(Debug)]
pub struct AddressPermit {
    address_limit: Arc<AddressLimit>,
    /// The address that holds it; `None` where it is not counted.
    of: Option<IpAddr>,
}

impl AddressLimit {
    /// A limit of so many for each address that is not in `exempt`.
    pub fn new(max: usize, exempt: Networks) -> Arc<Self> {
        Arc::new(Self { max, exempt, taken: Mutex::default() })
    }

    /// Takes a permit for `address`; `None`, a unix socket, is not counted. `None` where the
    /// address has all of its permits.
    pub fn acquire(self: &Arc<Self>, address: Option<IpAddr>) -> Option<AddressPermit> {
        let of = address.filter(|address| !self.exempt.holds(*address)).map(customer);
        if let Some(of) = of {
            let mut taken = self.lock();
            let his = taken.entry(of).or_default();
            if *his >= self.max {
                return None;
            }
            *his += 1;
        }
        Some(AddressPermit { address_limit: Arc::clone(self), of })
    }

    /// No limit at all.
    pub fn unlimited() -> Arc<Self> {
        Self::new(usize::MAX, Networks::default())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Nothing that can panic runs under the lock.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let Some(of) = self.of else { return };
        let mut taken = self.address_limit.lock();
        if let Some(his) = taken.get_mut(&of) {
            *his -= 1;
            if *his == 0 {
                taken.remove(&of);
            }
        }
    }
}

/// What one customer usually has: an IPv4 address, or 64 bits of IPv6.
fn customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_permits_and_listed_ones_and_sockets_have_all() {
        let gateways = Networks::parse(&["10.0.0.0/8".to_owned()]).expect("a network");
        let address_limit = AddressLimit::new(2, gateways);
        let acquire = |text: &str| address_limit.acquire(Some(text.parse().expect("an address")));
        let first = acquire("192.0.2.1").expect("a permit");
        let _second = acquire("::ffff:192.0.2.1").expect("a permit");
        assert!(acquire("192.0.2.1").is_none());
        assert!(acquire("192.0.2.2").is_some(), "another has his own");
        drop(first);
        assert!(acquire("192.0.2.1").is_some());
        let kept = [acquire("2001:db8::1"), acquire("2001:db8::2:1")];
        assert!(acquire("2001:db8::ffff").is_none(), "one customer");
        let all: Vec<_> =
            (0..9).map(|_| (acquire("10.1.2.3"), address_limit.acquire(None))).collect();
        assert!(all.iter().all(|(gateway, socket)| gateway.is_some() && socket.is_some()));
        drop(all);
        drop(kept);
        assert_eq!(address_limit.lock().len(), 1, "who has none is not remembered");
    }
}
