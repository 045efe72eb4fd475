//! One-time links: signed by our own keys, for one purpose, one account and one e-mail.
//!
//! A link is a JWS of a type of its own, so that nothing takes it for an access token. It is good once
//! in all processes, by a lease; and each says what it was made of (the e-mail, the present password),
//! so that it is over when that changes, whatever became of the lease.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::account::{Login, User};
use crate::clock::{Clock, UnixTime};
use crate::issuer::error::{Cause, IssueError};
use crate::lease::{Lease, Leases};
use crate::secret::{Random, Secret, random_id};
use crate::session::UserId;
use crate::token::{SigningRing, typed};

/// The type of a link's token.
const TYPE: &str = "portcullis-link+jwt";
/// The lifetime of all links but invitations.
pub const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// The most by which the clocks of two hosts may differ.
const LEEWAY: Duration = Duration::from_secs(60);

/// A purpose of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Shows that an e-mail is the user's, and lets in who signed up.
    VerifyEmail,
    /// Sets another password.
    ResetPassword,
    /// Gives the user another e-mail, which it is sent to.
    ChangeEmail,
    /// Lets somebody sign up.
    Invitation,
}

impl Purpose {
    /// Its name, in links and requests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify-email",
            Self::ResetPassword => "reset-password",
            Self::ChangeEmail => "change-email",
            Self::Invitation => "invitation",
        }
    }

    /// Reads the name of a purpose that is for a user.
    pub fn of_user(text: &str) -> Option<Self> {
        let all = [Self::VerifyEmail, Self::ResetPassword, Self::ChangeEmail];
        all.into_iter().find(|purpose| purpose.as_str() == text)
    }
}

/// A link's claims: what it was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    purpose: Purpose,
    jti: String,
    iat: u64,
    exp: u64,
    /// The e-mail that it is sent to.
    email: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    /// The digest of the user's e-mail and password when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
}

/// A link that was just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLink {
    /// Its token, which goes to the owner of the e-mail alone.
    pub token: Secret,
    /// The e-mail that it is for.
    pub email: Login,
    /// The purpose.
    pub purpose: Purpose,
    /// The time at which it is over.
    pub expires: UnixTime,
    /// The time for which it is good.
    pub lifetime: Duration,
}

/// A link that somebody showed: signed by us, of the right purpose, in time. Whether it was used is
/// not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The e-mail that it was sent to.
    pub email: Login,
    /// The purpose.
    pub purpose: Purpose,
    /// The roles of an invitation.
    pub roles: Vec<String>,
    /// The scopes of an invitation.
    pub scopes: Vec<String>,
    user: Option<UserId>,
    state: Option<String>,
    id: String,
    expires: UnixTime,
}

/// Makes and reads links.
#[derive(Clone, Debug)]
pub struct Links {
    signers: Arc<SigningRing>,
    leases: Leases,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Links {
    /// Links that these keys sign, and these leases keep from being used twice.
    pub fn new(
        signers: Arc<SigningRing>,
        leases: Leases,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self { signers, leases, clock, random }
    }

    /// A link for a user, to be sent to `email`.
    ///
    /// # Errors
    /// No key signs, or the random source failed.
    pub fn for_user(
        &self,
        purpose: Purpose,
        user: &User,
        email: &Login,
    ) -> Result<NewLink, IssueError> {
        self.sign(LIFETIME, |times| Claims {
            purpose,
            email: email.as_str().to_owned(),
            sub: Some(user.id.as_str().to_owned()),
            state: Some(state_of(user)),
            ..times
        })
    }

    /// A link for a user at his own e-mail; at `email` where he has none, or is to have that one.
    ///
    /// # Errors
    /// [`IssueError::InvalidRequest`] where there is no e-mail; those of [`Self::for_user`].
    pub fn make(
        &self,
        purpose: Purpose,
        user: &User,
        email: Option<Login>,
    ) -> Result<NewLink, IssueError> {
        let own = user.email.clone().filter(|_| purpose != Purpose::ChangeEmail);
        let missing = || IssueError::invalid_request("there is no e-mail that the link is for");
        self.for_user(purpose, user, &own.or(email).ok_or_else(missing)?)
    }

    /// An invitation for the owner of an e-mail, with the rights that he will have.
    ///
    /// # Errors
    /// No key signs, or the random source failed.
    pub fn invitation(
        &self,
        email: &Login,
        roles: &[String],
        scopes: &[String],
        lifetime: Duration,
    ) -> Result<NewLink, IssueError> {
        self.sign(lifetime, |times| Claims {
            email: email.as_str().to_owned(),
            roles: roles.to_vec(),
            scopes: scopes.to_vec(),
            ..times
        })
    }

    fn sign(
        &self,
        lifetime: Duration,
        complete: impl FnOnce(Claims) -> Claims,
    ) -> Result<NewLink, IssueError> {
        let now = self.clock.now();
        let expires = UnixTime::from_secs(now.after(lifetime).as_secs());
        let claims = complete(Claims {
            purpose: Purpose::Invitation,
            jti: random_id(self.random.as_ref())?,
            iat: now.as_secs(),
            exp: expires.as_secs(),
            email: String::new(),
            sub: None,
            state: None,
            roles: Vec::new(),
            scopes: Vec::new(),
        });
        let signer = self.signers.signing(now).ok_or(Cause::NoSigningKey)?;
        let token = Secret::new(signer.sign_as(TYPE, &claims)?);
        let email = Login::parse(&claims.email).map_err(|_| IssueError::InvalidLink)?;
        Ok(NewLink { token, email, purpose: claims.purpose, expires, lifetime })
    }

    /// Reads the token of a link that must be for one of these purposes.
    ///
    /// # Errors
    /// [`IssueError::InvalidLink`].
    pub fn read(&self, token: &Secret, purposes: &[Purpose]) -> Result<Link, IssueError> {
        let now = self.clock.now();
        let text = token.expose_str().unwrap_or_default();
        let claims = typed::verify(text, TYPE, &self.signers.verifying(now));
        let claims = claims.ok_or(IssueError::InvalidLink)?;
        let claims: Claims =
            serde_json::from_value(claims.to_map().into()).map_err(|_| IssueError::InvalidLink)?;
        let (made, expires) = (UnixTime::from_secs(claims.iat), UnixTime::from_secs(claims.exp));
        let is_in_time = made <= now.after(LEEWAY) && now < expires;
        if !is_in_time || !purposes.contains(&claims.purpose) {
            return Err(IssueError::InvalidLink);
        }
        let user = claims.sub.as_deref().map(UserId::parse).transpose();
        Ok(Link {
            email: Login::parse(&claims.email).map_err(|_| IssueError::InvalidLink)?,
            purpose: claims.purpose,
            roles: claims.roles,
            scopes: claims.scopes,
            user: user.map_err(|_| IssueError::InvalidLink)?,
            state: claims.state,
            id: claims.jti,
            expires,
        })
    }

    /// Uses a link up and does what it is for: of all who try at once one does. Where it comes to
    /// nothing, the link stays good.
    ///
    /// # Errors
    /// [`IssueError::InvalidLink`] where it was used; those of `effect`.
    pub async fn use_once<T>(
        &self,
        link: &Link,
        effect: impl Future<Output = Result<T, IssueError>>,
    ) -> Result<T, IssueError> {
        let (name, now) = (format!("link:{}", link.id), self.clock.now());
        // Beyond its end by any host's clock.
        let until = link.expires.after(LEEWAY);
        if self.leases.acquire(&name, "used", now, until).await? != Lease::Acquired {
            return Err(IssueError::InvalidLink);
        }
        let outcome = effect.await;
        if outcome.is_err()
            && let Err(error) = self.leases.release(&name, "used", now).await
        {
            tracing::warn!(%error, "a link that did nothing cannot be used again");
        }
        outcome
    }
}

impl Link {
    /// The id of the user whom it is for.
    ///
    /// # Errors
    /// [`IssueError::InvalidLink`] where it is for nobody in particular.
    pub fn user(&self) -> Result<&UserId, IssueError> {
        self.user.as_ref().ok_or(IssueError::InvalidLink)
    }

    /// True while the user is what it was when the link was made.
    pub fn is_of(&self, user: &User) -> bool {
        let state = Secret::new(state_of(user));
        let is_same =
            self.state.as_ref().is_some_and(|made_of| Secret::new(made_of.as_str()) == state);
        self.user.as_ref() == Some(&user.id) && is_same
    }
}

/// A digest of what ends a user's links when it changes: its e-mail and its password's hash.
fn state_of(user: &User) -> String {
    let email = user.email.as_ref().map_or("", Login::canonical);
    let hash = user.password.as_ref().map_or(&[][..], Secret::expose);
    let bytes = [b"portcullis: a link\0", email.as_bytes(), b"\0", hash].concat();
    URL_SAFE_NO_PAD.encode(digest(&SHA256, &bytes))
}

#[cfg(test)]
mod tests;
