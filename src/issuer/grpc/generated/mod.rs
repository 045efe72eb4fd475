//! What `proto/` says, as code: made and compared by `tests/it/proto_fresh.rs`, never by a build.

#![allow(
    missing_docs,
    unused_qualifications,
    clippy::pedantic,
    reason = "the files are made by a generator that has a style of its own"
)]

use std::fmt;

/// `portcullis.v1`: tokens and sessions.
pub mod v1 {
    include!("portcullis.v1.rs");
}

/// `refresh`: the API of tp-auth's resource servers.
pub mod tp_auth {
    include!("refresh.rs");
}

/// The files of `proto/` and what they import, for the reflection service.
pub const DESCRIPTORS: &[u8] = include_bytes!("descriptors.binpb");

/// Messages that hold tokens or secrets print nothing but their names.
macro_rules! prints_no_secret {
    ($($message:ty => $name:literal),* $(,)?) => {$(
        impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($name, "([secret])"))
            }
        }
    )*};
}

prints_no_secret! {
    v1::ClientCredentials => "ClientCredentials",
    v1::RefreshRequest => "RefreshRequest",
    v1::RefreshResponse => "RefreshResponse",
    v1::ValidateRequest => "ValidateRequest",
    v1::RevokeRequest => "RevokeRequest",
    v1::revoke_request::Target => "Target",
    tp_auth::RefreshRequest => "RefreshRequest",
}
