//! The one place where tokens are made. Nothing is stored here.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Dependencies;
use super::error::{Cause, IssueError};
use super::grant::{GRANT_CONTEXT, GrantContext};
use super::policy::IssuancePolicy;
use super::subject::Subject;
use crate::clock::UnixTime;
use crate::opaque::{self, OpaqueToken, TokenDigest, TokenKind};
use crate::secret::pseudonym::Pseudonyms;
use crate::secret::{Random, Secret};
use crate::session::SessionId;
use crate::token::{SigningRing, Verifier, jws};

/// Access tokens and refresh tokens, before they are stored or handed out.
#[derive(Debug)]
pub(super) struct TokenIssuer {
    policy: Arc<IssuancePolicy>,
    signers: Arc<SigningRing>,
    verifier: Arc<Verifier>,
    random: Arc<dyn Random>,
    /// For the log.
    pseudonyms: Pseudonyms,
}

/// A token family, and what its next tokens say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family<'a> {
    pub(super) subject: &'a Subject,
    pub(super) session: &'a SessionId,
    pub(super) client: Option<&'a str>,
    pub(super) context: &'a GrantContext,
    pub(super) scopes: &'a [String],
    /// The audiences of access tokens.
    pub(super) audiences: &'a [String],
    pub(super) now: UnixTime,
}

/// An access token before it is stored or handed out.
#[derive(Debug)]
pub(super) struct NewAccessToken {
    pub(super) token: Secret,
    pub(super) expires: UnixTime,
    /// The record that is kept of it, where it is a handle.
    pub(super) record: Option<OpaqueToken>,
}

impl TokenIssuer {
    pub(super) fn new(on: &Dependencies) -> Self {
        let Dependencies { policy, signers, verifier, random, audit, .. } = on.clone();
        Self { policy, signers, verifier, random, pseudonyms: audit.pseudonyms().clone() }
    }

    /// An access token, or the handle that stands for it.
    pub(super) fn access_token(&self, family: &Family<'_>) -> Result<NewAccessToken, IssueError> {
        let (mut claims, expires) = self.claims(family)?;
        if self.policy.opaque {
            if self.policy.handle_is_refresh() {
                let grant = serde_json::to_value(family.context)?;
                claims.insert(GRANT_CONTEXT.to_owned(), grant);
            }
            let (token, record) = self.opaque(TokenKind::Handle, family, claims, expires)?;
            return Ok(NewAccessToken { token, expires, record: Some(record) });
        }
        let signer = self.signers.signing(family.now).ok_or(Cause::NoSigningKey)?;
        let token = self.check_length(signer.sign(&claims)?, family.subject)?;
        Ok(NewAccessToken { token, expires, record: None })
    }

    /// A new refresh token, and what is kept of it.
    pub(super) fn refresh_token(
        &self,
        family: &Family<'_>,
    ) -> Result<(Secret, OpaqueToken), IssueError> {
        let Value::Object(context) = serde_json::to_value(family.context)? else {
            return Err(Cause::Serialization("a grant is no object".to_owned()).into());
        };
        let expires = family.now.after(self.policy.refresh_lifetime);
        self.opaque(TokenKind::Refresh, family, context, expires)
    }

    /// The claims of an access token (RFC 9068, section 2.2), and its end. Beside them are the
    /// names of the older systems: tp-auth's `user_id` and `token_type`, jwthenticator's `token_id`
    /// and `identifier`.
    pub(super) fn claims(
        &self,
        family: &Family<'_>,
    ) -> Result<(Map<String, Value>, UnixTime), IssueError> {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes)?;
        let id = uuid::Builder::from_random_bytes(bytes).into_uuid().to_string();
        let expires = UnixTime::from_secs(family.now.after(self.policy.access_lifetime).as_secs());
        let mut claims = family.subject.claims.clone();
        let mut set = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        set("iss", json!(self.policy.iss));
        set("sub", json!(family.subject.user.as_str()));
        set("user_id", json!(family.subject.user.as_str()));
        match family.audiences {
            [] => None,
            [one] => set("aud", json!(one)),
            several => set("aud", json!(several)),
        };
        // RFC 9068 wants one; where the user asked by himself there is none to name.
        if let Some(client) = family.client {
            set("client_id", json!(client));
        }
        set("iat", json!(family.now.as_secs()));
        set("exp", json!(expires.as_secs()));
        set("jti", json!(id));
        set("token_id", json!(id));
        if let Some(identifier) = &family.context.identifier {
            set("identifier", json!(identifier));
        }
        set("sid", json!(family.session.as_str()));
        set("scope", json!(family.scopes.join(" ")));
        set("token_type", json!("access"));
        Ok((claims, expires))
    }

    fn opaque(
        &self,
        kind: TokenKind,
        family: &Family<'_>,
        claims: Map<String, Value>,
        expires: UnixTime,
    ) -> Result<(Secret, OpaqueToken), IssueError> {
        let token = opaque::generate(self.random.as_ref())?;
        let record = OpaqueToken {
            digest: digest_of(&token),
            kind,
            session: family.session.clone(),
            user: family.subject.user.clone(),
            client: family.client.map(str::to_owned),
            claims,
            issued: family.now,
            expires,
            used: None,
        };
        Ok((token, record))
    }

    /// Refuses a token that is too long to be read by those who have to accept it, and to end it.
    fn check_length(&self, token: String, subject: &Subject) -> Result<Secret, IssueError> {
        let (length, most) = (token.len(), self.verifier.max_token_bytes());
        if length <= most {
            return Ok(Secret::new(token));
        }
        let user = self.pseudonyms.of_user(subject.user.as_str());
        tracing::error!(%user, length, most, "the claims make a token longer than MAX_TOKEN_BYTES");
        Err(IssueError::TokenTooLong)
    }

    /// True if the key that signed an access token is published still. A handle is of no key, and a
    /// shared secret has no name and is never dropped.
    pub(super) fn is_of_published_key(&self, access_token: &Secret, now: UnixTime) -> bool {
        let text = access_token.expose_str().unwrap_or_default();
        let key = jws::split(text, usize::MAX).ok().and_then(|it| it.header.key_id);
        key.is_none_or(|named| self.signers.publishes(&named, now))
    }
}

pub(super) fn digest_of(token: &Secret) -> TokenDigest {
    // Ours are base64url; what is no text is found by no store.
    TokenDigest::of(token.expose_str().unwrap_or_default())
}
