//! Faults on purpose: two gates and an issuer on a real Redis that is slow, gone, frozen or garbled, while clients ask.
//!
//! In each case the same is checked. No question that was sent later than `SESSION_STALENESS` after a session's end was
//! acknowledged gets a yes, strictly. Nobody whose session lives is told that it does not. And all is well again when the
//! fault is over. How long that took, and how long clients waited, is printed; `benches/revocation` measures it.

mod changes;
mod connection;
mod down;
mod scene;
mod server;
mod topology;
mod watch;
