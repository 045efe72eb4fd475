//! What a token is in Redis: its fields, and what is wrong with them.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::clock::UnixTime;
use crate::opaque::record::{OpaqueToken, TokenDigest, TokenKind};
use crate::opaque::store::corrupt;
use crate::session::{SessionId, UserId};
use crate::store::StoreError;

/// A token as Redis has it: bytes, which may be anything.
pub(super) type Record = HashMap<String, Vec<u8>>;

pub(super) fn fields(token: &OpaqueToken) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("kind", token.kind.as_str().to_owned()),
        ("session", token.session.as_str().to_owned()),
        ("user", token.user.as_str().to_owned()),
        ("claims", json(&token.claims)),
        ("issued", token.issued.as_millis().to_string()),
        ("expires", token.expires.as_millis().to_string()),
    ];
    fields.extend(token.client.clone().map(|client| ("client", client)));
    fields.extend(token.used.map(|used| ("used", used.as_millis().to_string())));
    fields
}

pub(super) fn json(claims: &Map<String, Value>) -> String {
    Value::Object(claims.clone()).to_string()
}

pub(super) fn read(digest: &TokenDigest, record: &Record) -> Result<OpaqueToken, StoreError> {
    let wrong = |field| bad(digest, field);
    let optional = |field: &'static str| {
        let value = record.get(field).map(|bytes| std::str::from_utf8(bytes));
        value.transpose().map_err(|_| wrong(field))
    };
    let text = |field: &'static str| optional(field)?.ok_or_else(|| wrong(field));
    let optional_time = |field: &'static str| -> Result<_, StoreError> {
        let millis = optional(field)?.map(str::parse).transpose().map_err(|_| wrong(field))?;
        Ok(millis.map(UnixTime::from_millis))
    };
    let time = |field: &'static str| optional_time(field)?.ok_or_else(|| wrong(field));
    Ok(OpaqueToken {
        digest: *digest,
        kind: TokenKind::parse(text("kind")?).ok_or_else(|| wrong("kind"))?,
        session: SessionId::parse(text("session")?).map_err(|_| wrong("session"))?,
        user: UserId::parse(text("user")?).map_err(|_| wrong("user"))?,
        client: optional("client")?.map(str::to_owned),
        claims: serde_json::from_str(text("claims")?).map_err(|_| wrong("claims"))?,
        issued: time("issued")?,
        expires: time("expires")?,
        used: optional_time("used")?,
    })
}

pub(super) fn bad(digest: &TokenDigest, field: &'static str) -> StoreError {
    corrupt(digest, format_args!("bad field {field}"))
}
