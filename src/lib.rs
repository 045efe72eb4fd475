//! Portcullis: forward authentication. A gateway asks before every request; this crate answers.

pub mod clock;
pub mod secret;
