//! A budget: an amount of something for all clients at once, and for each address, so that no
//! client takes all of it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::networks::Networks;

/// An amount that is shared.
#[derive(Debug)]
pub struct Budget {
    total: usize,
    per_address: usize,
    /// Networks without a bound for each address.
    exempt: Networks,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    /// By customer; one without a reservation is not in it.
    by_address: HashMap<IpAddr, usize>,
}

/// A part of a budget, given back when it is dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<Budget>,
    /// The address that it counts for; `None` where no bound of an address holds.
    address: Option<IpAddr>,
    /// Changed by one task at a time.
    held: AtomicUsize,
}

/// The budget has not so much left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is not so much left")]
pub struct Exhausted;

impl Budget {
    /// A budget of `total` for all together, and of at most `per_address` for an address that is
    /// not in `exempt`.
    pub fn with_addresses(total: usize, per_address: usize, exempt: Networks) -> Arc<Self> {
        Arc::new(Self { total, per_address, exempt, taken: Mutex::default() })
    }

    /// A reservation of `address` that holds nothing yet. `None` is a peer on a unix socket, which
    /// has no bound of its own.
    pub fn reservation(self: &Arc<Self>, address: Option<IpAddr>) -> Reservation {
        let is_bound =
            |address: &IpAddr| self.per_address < self.total && !self.exempt.holds(*address);
        let address = address.filter(is_bound).map(customer);
        Reservation { budget: Arc::clone(self), address, held: AtomicUsize::new(0) }
    }

    /// A reservation of `address` that holds `amount`.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn reserve(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        amount: usize,
    ) -> Result<Reservation, Exhausted> {
        let reservation = self.reservation(address);
        reservation.resize(amount).map(|()| reservation)
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Nothing that can panic runs under the lock.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn of(&self, address: IpAddr) -> usize {
        self.by_address.get(&address).copied().unwrap_or_default()
    }
}

impl Reservation {
    /// Holds `amount` from now on, more or less than before.
    ///
    /// # Errors
    /// [`Exhausted`]; then it holds the same as before.
    pub fn resize(&self, amount: usize) -> Result<(), Exhausted> {
        let held = self.held.load(Ordering::Relaxed);
        if amount == held {
            return Ok(());
        }
        let mut taken = self.budget.lock();
        let total = (taken.total - held).saturating_add(amount);
        if total > self.budget.total && amount > held {
            return Err(Exhausted);
        }
        if let Some(address) = self.address {
            let of_address = (taken.of(address) - held).saturating_add(amount);
            if of_address > self.budget.per_address && amount > held {
                return Err(Exhausted);
            }
            match of_address {
                0 => taken.by_address.remove(&address),
                _ => taken.by_address.insert(address, of_address),
            };
        }
        taken.total = total;
        self.held.store(amount, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // Giving back cannot fail.
        let _ = self.resize(0);
    }
}

/// The usual range of one customer: an IPv4 address, or 64 bits of IPv6.
pub(crate) fn customer(address: IpAddr) -> IpAddr {
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
    fn what_is_held_is_within_the_budget_and_given_back() {
        let budget = Budget::with_addresses(100, 100, Networks::default());
        let (one, other) = (budget.reservation(None), budget.reservation(None));
        assert_eq!(one.resize(60), Ok(()));
        assert_eq!(other.resize(41), Err(Exhausted));
        assert_eq!(other.resize(40), Ok(()));
        assert_eq!(one.resize(61), Err(Exhausted));
        assert_eq!(one.resize(usize::MAX), Err(Exhausted));
        assert_eq!(one.resize(10), Ok(()));
        assert_eq!(other.resize(90), Ok(()));
        drop(other);
        assert_eq!(one.resize(100), Ok(()));
        drop(one);
        assert_eq!(budget.lock().total, 0);
    }

    #[test]
    fn each_address_has_its_own_share_and_listed_ones_and_sockets_have_all() {
        let gateways = Networks::parse(&["10.0.0.0/8".to_owned()]).expect("a network");
        let budget = Budget::with_addresses(100, 2, gateways);
        let take = |text: &str| budget.reserve(Some(text.parse().expect("an address")), 1);
        let first = take("192.0.2.1").expect("a reservation");
        let _second = take("::ffff:192.0.2.1").expect("a reservation");
        assert!(take("192.0.2.1").is_err());
        assert!(take("192.0.2.2").is_ok(), "another has his own");
        drop(first);
        assert!(take("192.0.2.1").is_ok());
        let kept = [take("2001:db8::1"), take("2001:db8::2:1")];
        assert!(take("2001:db8::ffff").is_err(), "one customer");
        let all: Vec<_> = (0..9).map(|_| (take("10.1.2.3"), budget.reserve(None, 1))).collect();
        assert!(all.iter().all(|(gateway, socket)| gateway.is_ok() && socket.is_ok()));
        drop(all);
        drop(kept);
        assert_eq!(budget.lock().by_address.len(), 1, "who has none is not remembered");
        assert_eq!(budget.lock().total, 1);
    }
}
