//! Restrictions that many processes keep together: a refresh token that was used, an assertion
//! that was seen, attempts that failed. tp-auth's "refresh restrict" database.

mod store;

pub use store::{Claim, RestrictStore, Strike};
