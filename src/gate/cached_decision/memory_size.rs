//! The memory that a cached decision takes; the cache is bounded by it.

use serde_json::{Map, Value};

use super::basis::Basis;
use crate::session::Session;
use crate::token::Verified;

/// The bytes that every entry takes: the cache's own records and ours. With it the estimate is what a process grew by with
/// 20,000 tokens of ten claims, each with a session: 2,250 bytes for one.
const ENTRY_BYTES: usize = 1_480;
/// The bytes that a text takes besides its own.
const TEXT_BYTES: usize = 40;
/// The bytes that a member of an object takes besides its name and its value: a node of a tree.
const MEMBER_BYTES: usize = 72;

/// An estimate of the bytes that a decision with these parts takes in the cache.
pub(super) fn memory_size(
    lines: &[u8],
    token: &Verified,
    session: Option<&Session>,
    basis: &Basis,
) -> u32 {
    let scopes: usize = token.scopes.iter().map(|scope| scope.len() + 1).sum();
    let of_session = session.map(|session| object_bytes(&session.claims));
    let claims = token.claims.memory_size() + of_session.unwrap_or_default();
    let bounds = match basis {
        Basis::ApiKey(bounds) => bounds.text_bytes(),
        _ => 0,
    };
    u32::try_from(ENTRY_BYTES + lines.len() + scopes + claims + bounds).unwrap_or(u32::MAX)
}

/// The bytes that an object of claims takes.
fn object_bytes(object: &Map<String, Value>) -> usize {
    let member = |(name, value): (&String, &Value)| MEMBER_BYTES + name.len() + value_bytes(value);
    object.iter().map(member).sum()
}

fn value_bytes(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => TEXT_BYTES + text.len(),
            Value::Array(members) => members.iter().map(value_bytes).sum(),
            Value::Object(members) => object_bytes(members),
        }
}
