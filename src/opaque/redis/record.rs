//! A token in Redis: its fields.

use crate::opaque::record::{OpaqueToken, TokenDigest};
use crate::opaque::successors::TokenRecord;
use crate::store::{BadField, Fields as _, Hash, claims_text};

/// The field of a token with a parent that names the token that it follows.
pub(super) const PARENT: &str = "parent";
/// The field of a used token that names its successors.
const SUCCESSORS: &str = "heirs";

pub(super) fn fields(token: &OpaqueToken) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("kind", token.kind.as_str().to_owned()),
        ("session", token.session.as_str().to_owned()),
        ("user", token.user.as_str().to_owned()),
        ("claims", claims_text(&token.claims)),
        ("issued", token.issued.as_millis().to_string()),
        ("expires", token.expires.as_millis().to_string()),
    ];
    fields.extend(token.client.clone().map(|client| ("client", client)));
    fields.extend(token.used.map(|used| ("used", used.as_millis().to_string())));
    fields
}

pub(super) fn read(digest: &TokenDigest, hash: &Hash) -> Result<TokenRecord, BadField> {
    let named = |name| TokenDigest::parse_name(name).ok_or(BadField(PARENT));
    let successors = hash.optional_text(SUCCESSORS)?.unwrap_or_default();
    Ok(TokenRecord {
        token: OpaqueToken::read(digest, hash)?,
        parent: hash.optional_text(PARENT)?.map(named).transpose()?,
        successors: successors.split(' ').filter_map(TokenDigest::parse_name).collect(),
    })
}
