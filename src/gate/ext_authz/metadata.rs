//! The identity as dynamic metadata: for the gateway's access log, rate limits and later filters.
//!
//! It says what the identity headers say, decoded. What has no value is not there.

use std::collections::BTreeMap;

use http::HeaderMap;
use percent_encoding::percent_decode_str;
use prost_types::{Struct, Value};

use crate::gate::verdict::Grant;

/// A member, the header that it is taken from, and the separator where it is a list.
const MEMBERS: [(&str, &str, Option<char>); 5] = [
    ("user", "x-auth-user", None),
    ("scopes", "x-auth-scopes", Some(' ')),
    ("roles", "x-auth-roles", Some(',')),
    ("session", "x-auth-session", None),
    ("issuer", "x-auth-issuer", None),
];

/// The metadata about whom a request passes for, by its headers, and the route that it takes; none where both
/// are unknown.
pub(super) fn of(grant: &Grant, headers: &HeaderMap) -> Option<Struct> {
    let member = |(member, header, separator): (&str, &str, Option<char>)| {
        let text = headers.get(header)?.to_str().ok().filter(|text| !text.is_empty())?;
        let value = match separator {
            None => decoded(text),
            Some(separator) => text.split(separator).map(decoded).collect::<Vec<_>>().into(),
        };
        Some((member.to_owned(), value))
    };
    let route = grant.route.as_deref().map(|route| ("route".to_owned(), Value::from(route)));
    let fields: BTreeMap<_, _> = MEMBERS.into_iter().filter_map(member).chain(route).collect();
    (!fields.is_empty()).then_some(Struct { fields })
}

fn decoded(encoded: &str) -> Value {
    percent_decode_str(encoded).decode_utf8_lossy().into_owned().into()
}
