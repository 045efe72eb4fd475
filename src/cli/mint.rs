//! Making a token, and opening the session that it names.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};

use crate::app::own_keys;
use crate::clock::UnixTime;
use crate::config::Config;
use crate::secret::Random;
use crate::session::{Device, Session, SessionId, UserId};

/// Contents of a token that is to be made.
#[derive(Clone, Debug, Default)]
pub(super) struct MintRequest {
    pub(super) user: String,
    pub(super) username: Option<String>,
    pub(super) email: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) roles: Vec<String>,
    pub(super) audience: Option<String>,
    pub(super) claims: Vec<(String, Value)>,
    pub(super) lifetime: Duration,
    pub(super) with_session: bool,
}

/// A token that was made, with its session, which is still to be put into the store.
pub(super) struct Minted {
    pub(super) token: String,
    pub(super) session: Option<Session>,
    pub(super) expires: UnixTime,
}

/// Makes the token; opens nothing yet.
pub(super) fn mint(
    config: &Config,
    request: &MintRequest,
    now: UnixTime,
    random: &dyn Random,
) -> anyhow::Result<Minted> {
    let key = own_keys(&config.tokens)?
        .signing(now)
        .context("there is no key to sign with: set PRIVATE_KEY, SECRET_KEY or KEY_RING_FILE")?;
    let user = UserId::parse(&request.user).context("--user")?;
    let expires = now.after(request.lifetime);
    let id = if request.with_session { Some(SessionId::generate(random)?) } else { None };
    let claims = claims(config, request, id.as_ref(), now, expires)?;
    let session = id.map(|id| Session {
        device: Device::new(Some("portcullis token mint"), None),
        ..Session::new(id, user, now, expires)
    });
    let token = key.sign(&claims)?;
    let (length, most) = (token.len(), config.max_token_bytes);
    if length > most {
        bail!("the token would have {length} bytes, and MAX_TOKEN_BYTES is {most}");
    }
    Ok(Minted { token, session, expires })
}

fn claims(
    config: &Config,
    request: &MintRequest,
    session: Option<&SessionId>,
    now: UnixTime,
    expires: UnixTime,
) -> anyhow::Result<Map<String, Value>> {
    let issuer = config.tokens.issuers.first().context("there is no issuer")?;
    let mut claims = Map::new();
    let mut set = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    if let Some(iss) = &issuer.iss {
        set("iss", json!(iss));
    }
    set("sub", json!(request.user));
    set("iat", json!(now.as_secs()));
    set("exp", json!(expires.as_secs()));
    if let Some(audience) = request.audience.as_ref().or(issuer.audiences.first()) {
        set("aud", json!(audience));
    }
    if let Some(username) = &request.username {
        set("preferred_username", json!(username));
    }
    if let Some(email) = &request.email {
        set("email", json!(email));
    }
    if !request.scopes.is_empty() {
        set("scope", json!(request.scopes.join(" ")));
    }
    if !request.roles.is_empty() {
        set("roles", json!(request.roles));
    }
    if let Some(id) = session {
        set("sid", json!(id.as_str()));
    }
    for (name, value) in &request.claims {
        if claims.insert(name.clone(), value.clone()).is_some() {
            bail!("the claim {name:?} has a flag of its own");
        }
    }
    Ok(claims)
}
