//! The excerpt of Envoy's API in `proto/envoy`, as code: made and compared by
//! `tests/it/proto_fresh.rs`, never by a build. The modules are its packages.

#![allow(
    missing_docs,
    unused_qualifications,
    clippy::pedantic,
    reason = "the files are made by a generator that has a style of its own"
)]

use std::fmt;

/// `envoy`.
pub mod envoy {
    /// `envoy.config`.
    pub mod config {
        /// `envoy.config.core`.
        pub mod core {
            /// `envoy.config.core.v3`: headers and addresses.
            pub mod v3 {
                include!("envoy.config.core.v3.rs");
            }
        }
    }

    /// `envoy.service`.
    pub mod service {
        /// `envoy.service.auth`.
        pub mod auth {
            /// `envoy.service.auth.v3`: the question and the answer.
            pub mod v3 {
                include!("envoy.service.auth.v3.rs");
            }
        }
    }

    /// `envoy.type`.
    pub mod r#type {
        /// `envoy.type.v3`: the status of an HTTP answer.
        pub mod v3 {
            include!("envoy.r#type.v3.rs");
        }
    }
}

/// `google`.
pub mod google {
    /// `google.rpc`: the outcome of a call.
    pub mod rpc {
        include!("google.rpc.rs");
    }
}

pub use envoy::config::core::v3 as config;
pub use envoy::service::auth::v3 as auth;
pub use envoy::r#type::v3 as types;
pub use google::rpc;

/// Messages with headers, in which credentials and identities are, print nothing but their names.
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
    config::HeaderValue => "HeaderValue",
    auth::attribute_context::HttpRequest => "HttpRequest",
}
