//! Faults on purpose: two gates and an issuer on a real Redis that is slow, gone, frozen or garbled, while clients ask.
//!
//! In each case the same is checked. No request that was sent later than `SESSION_STALENESS` after a session's end was
//! acknowledged gets a yes, strictly. No live session is answered no. And all is well again when the fault is over. The
//! time that this took, and that clients waited, is printed; `benches/revocation` measures it.

mod changes;
mod connection;
mod down;
mod fixture;
mod monitor;
mod server;
mod topology;
