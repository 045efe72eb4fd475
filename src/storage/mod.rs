//! How to reach a database: files and their modes, schemas, connections, timeouts, TLS.
//!
//! Nothing here knows what is kept in it; what a record means is the business of the modules
//! that own the records. No error of this module holds a password.

pub mod invalidation;
pub mod memcached;
pub mod postgres;
pub mod redis;
pub mod sqlite;
