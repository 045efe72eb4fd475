//! The identity of a user of the built-in accounts who shows no token, but a key or a password.

use std::sync::Arc;

use serde_json::json;

use crate::account::{User, claims_of};
use crate::clock::UnixTime;
use crate::session::SessionId;
use crate::token::{Claims, Issuer, TokenError, Verified};

/// The identity of `user`, as the accounts have it now, with these scopes, for ever. `issuer` stands
/// for the accounts: it has their name, and the prefix of their users. Without `session` there is
/// none.
///
/// # Errors
/// A claim that is kept about the user cannot be one.
pub(super) fn identity(
    issuer: &Arc<Issuer>,
    user: &User,
    scopes: &[String],
    session: Option<&SessionId>,
) -> Result<Verified, TokenError> {
    let mut claims = claims_of(user);
    let iss = issuer.iss.as_deref().unwrap_or(&issuer.name);
    for (name, value) in
        [("iss", json!(iss)), ("sub", json!(user.id.as_str())), ("scope", json!(scopes.join(" ")))]
    {
        claims.insert(name.to_owned(), value);
    }
    let session = session.map(SessionId::to_string);
    claims.extend(session.iter().map(|session| ("sid".to_owned(), json!(session))));
    let claims = Claims::from(&claims);
    Ok(Verified {
        subject: user.id.as_str().to_owned(),
        scopes: claims.scopes()?,
        claims,
        session,
        issuer: Arc::clone(issuer),
        signature: None,
        usable_from: UnixTime::EPOCH,
        usable_until: UnixTime::from_millis(u64::MAX),
    })
}
