//! Accounts in their owners' own hands: sign-up, e-mail verification, forgotten passwords, the own
//! profile.
//!
//! Nobody who asks about an e-mail learns whether it has an account: he is answered before anything
//! is looked up, and the mail alone tells its owner. What such a request costs him is the same, too.

mod outbox;
mod profile;
mod sign_up;

use std::time::Duration;

use super::Dependencies;
use super::audit::{Audit, Event};
use super::caller::Caller;
use super::error::IssueError;
use super::throttle::{Success, Throttle};
use super::users::links::{Links, NewLink, Purpose};
use super::users::password_rules::PasswordRules;
use super::users::{Actor, PolicyCheck, Users, fields};
use crate::account::policy::PolicyProblem;
use crate::account::{Login, User, UserState};
use crate::mail::Letter;
use crate::secret::Secret;
use outbox::{Job, Outgoing};
pub use outbox::{Mailer, Outbox};
pub use profile::ProfileChange;
pub use sign_up::{SignUpRequest, SignedUp};

/// The right to sign up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignUp {
    /// Nobody: administrators make accounts.
    #[default]
    Off,
    /// Whoever was invited.
    Invitation,
    /// Anybody who shows that an e-mail is his.
    Open,
}

impl SignUp {
    /// Reads the setting.
    ///
    /// # Errors
    /// What may be written instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "off" => Ok(Self::Off),
            "invitation" => Ok(Self::Invitation),
            "open" => Ok(Self::Open),
            _ => Err("write `off`, `invitation` or `open`"),
        }
    }
}

/// Decisions of the operator about self-service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelfServiceConfig {
    /// The right to sign up.
    pub sign_up: SignUp,
    /// The roles of who signs up without an invitation.
    pub roles: Vec<String>,
    /// The scopes of who signs up without an invitation.
    pub scopes: Vec<String>,
    /// The lifetime of an invitation.
    pub invitation_lifetime: Duration,
}

/// The operator's decisions about what owners of accounts may do themselves.
#[derive(Debug)]
pub struct SelfService {
    config: SelfServiceConfig,
    users: Users,
    links: Links,
    rules: PasswordRules,
    throttle: Throttle,
    outbox: Option<Outbox>,
    audit: Audit,
}

impl SelfService {
    pub(super) fn new(on: &Dependencies, users: Users) -> Self {
        let Dependencies { leases, signers, throttle, audit, clock, random, .. } = on.clone();
        let links = Links::new(signers, leases, clock, random);
        let outbox = on.mailer.clone().map(|mailer| {
            Outbox::new(mailer, users.clone(), links.clone(), audit.clone(), on.metrics.clone())
        });
        let (config, rules) = (on.self_service.clone(), on.password_rules.clone());
        Self { config, users, links, rules, throttle, outbox, audit }
    }

    /// Waits until all mails are on their way or given up.
    pub async fn ended(&self) {
        if let Some(outbox) = &self.outbox {
            outbox.ended().await;
        }
    }

    /// Has the user of that e-mail, if any, sent a link that verifies it.
    ///
    /// # Errors
    /// The same whether there is one: [`IssueError::InvalidRequest`] where it is no e-mail,
    /// [`IssueError::SlowDown`], [`IssueError::NoMail`].
    pub async fn resend(&self, email: &str, caller: &Caller) -> Result<(), IssueError> {
        self.mail_about(email, caller, Job::Verification).await
    }

    /// Has the user of that e-mail, if any, sent a link that sets another password.
    ///
    /// # Errors
    /// As [`Self::resend`].
    pub async fn forgot_password(&self, email: &str, caller: &Caller) -> Result<(), IssueError> {
        self.mail_about(email, caller, Job::Reset).await
    }

    async fn mail_about(
        &self,
        email: &str,
        caller: &Caller,
        job: impl FnOnce(Login) -> Job,
    ) -> Result<(), IssueError> {
        let outbox = self.outbox.as_ref().ok_or(IssueError::NoMail)?;
        let email = fields::email(email).map_err(IssueError::InvalidRequest)?;
        let counted = self.throttle.mail(&email);
        self.throttle.within_budget(caller, Success::Costs, counted).await?;
        outbox.put(job(email))
    }

    /// Uses a link that shows whose an e-mail is: that of a sign-up, for which the password that was
    /// chosen there is shown too, so that nobody makes an account for another's e-mail and has it
    /// confirmed by him; or that of a new e-mail.
    ///
    /// # Errors
    /// [`IssueError::InvalidLink`]; [`IssueError::InvalidGrant`] for a wrong password;
    /// [`IssueError::Taken`] where the new e-mail is another's by now.
    pub async fn verify(
        &self,
        token: &Secret,
        password: Option<&Secret>,
        caller: &Caller,
    ) -> Result<User, IssueError> {
        let check = self.verify_unaudited(token, password, caller);
        let outcome = self.throttle.secret(true, caller, check).await;
        self.tell_refusal("verify", &outcome, caller);
        outcome
    }

    async fn verify_unaudited(
        &self,
        token: &Secret,
        password: Option<&Secret>,
        caller: &Caller,
    ) -> Result<User, IssueError> {
        let link = self.links.read(token, &[Purpose::VerifyEmail, Purpose::ChangeEmail])?;
        let user = self.users.get(link.user()?).await.map_err(of_link)?;
        if !link.is_of(&user) || user.state == UserState::Locked {
            return Err(IssueError::InvalidLink);
        }
        // A link says whose the e-mail is, and not whose the account is: without the password,
        // somebody's click would vouch for a stranger's account.
        let is_new = link.purpose == Purpose::ChangeEmail || !user.email_verified;
        if is_new && user.password.is_some() {
            let missing = || IssueError::invalid_request("send the password of the account too");
            let password = password.ok_or_else(missing)?;
            self.users.confirm(&user.id, password, caller).await?;
        }
        if link.purpose == Purpose::ChangeEmail {
            return self.links.use_once(&link, self.move_email(&user, &link.email, caller)).await;
        }
        let actor = Actor::Owner(caller);
        let verify = self.users.mark_verified(&user.id, Some(&link.email), actor);
        self.links.use_once(&link, verify).await
    }

    /// Gives the user the e-mail, which is his, and tells the old one.
    async fn move_email(
        &self,
        user: &User,
        email: &Login,
        caller: &Caller,
    ) -> Result<User, IssueError> {
        let old = user.email.clone();
        let change = |user: &mut User| {
            if user.email != old {
                return Err(IssueError::InvalidLink);
            }
            // Who logs in by his e-mail goes on so; the old one must not stay his name.
            if old.as_ref() == Some(&user.username) {
                user.username = email.clone();
            }
            user.email = Some(email.clone());
            user.email_verified = true;
            Ok(())
        };
        let changed = self.users.change(&user.id, Actor::Owner(caller), change).await?;
        if let Some(old) = &old {
            self.tell_by_mail(Letter::EmailChanged, &changed.user, old);
        }
        Ok(changed.user)
    }

    /// Uses a link that sets another password; that the e-mail is the user's is shown by it too.
    ///
    /// # Errors
    /// [`IssueError::InvalidLink`]; [`IssueError::WeakPassword`], and the link stays good.
    pub async fn reset_password(
        &self,
        token: &Secret,
        password: &Secret,
        caller: &Caller,
    ) -> Result<(), IssueError> {
        let reset = self.reset_unaudited(token, password, caller);
        let outcome = self.throttle.secret(true, caller, reset).await;
        self.tell_refusal("reset-password", &outcome, caller);
        let user = outcome?;
        if let Some(email) = &user.email {
            self.tell_by_mail(Letter::PasswordChanged, &user, email);
        }
        Ok(())
    }

    async fn reset_unaudited(
        &self,
        token: &Secret,
        password: &Secret,
        caller: &Caller,
    ) -> Result<User, IssueError> {
        let link = self.links.read(token, &[Purpose::ResetPassword])?;
        let user = self.users.get(link.user()?).await.map_err(of_link)?;
        if !link.is_of(&user) || user.state == UserState::Locked {
            return Err(IssueError::InvalidLink);
        }
        let hash = self.users.new_hash(&user, password, PolicyCheck::Enforced).await?;
        let actor = Actor::Owner(caller);
        let set = async {
            let old = user.password.as_ref();
            self.users.store_password(&user, &hash, old, actor).await?;
            // An administrator may have the link sent elsewhere.
            if user.email.as_ref() == Some(&link.email) {
                self.users.mark_verified(&user.id, Some(&link.email), actor).await
            } else {
                self.users.get(&user.id).await
            }
        };
        self.links.use_once(&link, set).await
    }

    /// The problems of a new password for somebody of these names; none: it is good.
    ///
    /// # Errors
    /// [`IssueError::SlowDown`].
    pub async fn check_password(
        &self,
        password: &Secret,
        names: &[&str],
        caller: &Caller,
    ) -> Result<Vec<PolicyProblem>, IssueError> {
        let check = self.rules.problems(password, names);
        self.throttle.within_budget(caller, Success::Costs, check).await
    }

    /// Makes a link for a user, for an administrator, who gets its token, or has it sent.
    ///
    /// # Errors
    /// [`IssueError::InvalidRequest`] where the user has no e-mail, and none is named;
    /// [`IssueError::NoMail`] where it is to be sent, and cannot.
    pub fn make_link(
        &self,
        user: &User,
        purpose: Purpose,
        email: Option<Login>,
        sends: bool,
        caller: Option<&Caller>,
    ) -> Result<NewLink, IssueError> {
        let link = self.links.make(purpose, user, email)?;
        self.hand_out(&link, Some(user), sends, caller)?;
        Ok(link)
    }

    /// Makes an invitation, for an administrator, who gets its token, or has it sent.
    ///
    /// # Errors
    /// As [`Self::make_link`].
    pub fn invite(
        &self,
        email: &Login,
        (roles, scopes): (&[String], &[String]),
        sends: bool,
        caller: Option<&Caller>,
    ) -> Result<NewLink, IssueError> {
        let lifetime = self.config.invitation_lifetime;
        let link = self.links.invitation(email, roles, scopes, lifetime)?;
        self.hand_out(&link, None, sends, caller)?;
        Ok(link)
    }

    fn hand_out(
        &self,
        link: &NewLink,
        user: Option<&User>,
        sends: bool,
        caller: Option<&Caller>,
    ) -> Result<(), IssueError> {
        if sends {
            let outbox = self.outbox.as_ref().ok_or(IssueError::NoMail)?;
            outbox.put(Job::Letter(Box::new(Outgoing::link(link.clone(), user))))?;
        }
        let event = self.audit.event(Event::LinkMade).reason(link.purpose.as_str());
        let event = match user {
            Some(user) => event.user(user.id.as_str()),
            None => event.login(link.email.as_str()),
        };
        event.address(caller.and_then(|caller| caller.address)).write();
        Ok(())
    }

    /// Tells somebody of what was done; where no mail can be sent, nobody is told.
    fn tell_by_mail(&self, letter: Letter, user: &User, to: &Login) {
        if let Some(outbox) = &self.outbox
            && outbox.put(Job::Letter(Box::new(Outgoing::notice(letter, user, to)))).is_err()
        {
            tracing::warn!("too many mails wait; a notice is left out");
        }
    }

    fn tell_refusal<T>(
        &self,
        what: &'static str,
        outcome: &Result<T, IssueError>,
        caller: &Caller,
    ) {
        if let Err(error) = outcome {
            let refused = self.audit.event(Event::LinkRefused).error(error).reason(what);
            refused.address(caller.address).write();
        }
    }
}

/// The error about the link of a user who is gone.
fn of_link(error: IssueError) -> IssueError {
    match error {
        IssueError::NotFound => IssueError::InvalidLink,
        other => other,
    }
}
