//! How many of something there may be at once for each address, so that nobody takes all of it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::networks::Networks;

/// Places for each address; an IPv6 customer's is all of its /64.
#[derive(Debug)]
pub struct Places {
    most: usize,
    /// Those who have as many as they like.
    unbounded: Networks,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// A place, left when it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    /// Whose; `None` where it is not counted.
    of: Option<IpAddr>,
}

impl Places {
    /// At most so many for each address that is not in `unbounded`.
    pub fn new(most: usize, unbounded: Networks) -> Arc<Self> {
        Arc::new(Self { most, unbounded, taken: Mutex::default() })
    }

    /// Takes one for somebody at `address`; `None`, who is on a unix socket, is not counted. No
    /// place where he has all of his.
    pub fn take(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Place> {
        let of = address.filter(|address| !self.unbounded.holds(*address)).map(customer);
        if let Some(of) = of {
            let mut taken = self.lock();
            let his = taken.entry(of).or_default();
            if *his >= self.most {
                return None;
            }
            *his += 1;
        }
        Some(Place { places: Arc::clone(self), of })
    }

    /// As many as anybody likes.
    pub fn unbounded() -> Arc<Self> {
        Self::new(usize::MAX, Networks::default())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Nothing that can panic runs under the lock.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(of) = self.of else { return };
        let mut taken = self.places.lock();
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
    fn each_address_has_its_own_places_and_listed_ones_and_sockets_have_all() {
        let gateways = Networks::parse(&["10.0.0.0/8".to_owned()]).expect("a network");
        let places = Places::new(2, gateways);
        let take = |text: &str| places.take(Some(text.parse().expect("an address")));
        let first = take("192.0.2.1").expect("a place");
        let _second = take("::ffff:192.0.2.1").expect("a place");
        assert!(take("192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some(), "another has his own");
        drop(first);
        assert!(take("192.0.2.1").is_some());
        let kept = [take("2001:db8::1"), take("2001:db8::2:1")];
        assert!(take("2001:db8::ffff").is_none(), "one customer");
        let all: Vec<_> = (0..9).map(|_| (take("10.1.2.3"), places.take(None))).collect();
        assert!(all.iter().all(|(gateway, socket)| gateway.is_some() && socket.is_some()));
        drop(all);
        drop(kept);
        assert_eq!(places.lock().len(), 1, "who has none is not remembered");
    }
}
