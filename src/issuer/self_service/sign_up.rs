//! Signing up.

use serde_json::{Map, Value};

use super::outbox::Job;
use super::{SelfService, SignUp};
use crate::account::{Login, User, UserState};
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::issuer::throttle::Success;
use crate::issuer::users::links::Purpose;
use crate::issuer::users::{Actor, PolicyCheck, fields};
use crate::secret::Secret;

/// A wish for an account.
#[derive(Debug)]
pub struct SignUpRequest<'a> {
    /// The e-mail, which is the username too; an invitation has its own.
    pub email: Option<&'a str>,
    /// The token of an invitation.
    pub invitation: Option<&'a Secret>,
    /// The password.
    pub password: &'a Secret,
    /// The name that people use.
    pub full_name: Option<String>,
    /// Free properties.
    pub properties: Map<String, Value>,
}

/// Outcome of a wish for an account.
#[derive(Clone, Debug, PartialEq)]
pub enum SignedUp {
    /// The owner of the e-mail is sent what comes of it.
    Accepted,
    /// The account of somebody who was invited.
    Added(Box<User>),
}

impl SelfService {
    /// Signs somebody up.
    ///
    /// # Errors
    /// [`IssueError::NotFound`] where nobody may; [`IssueError::WeakPassword`];
    /// [`IssueError::InvalidLink`]; none tells whether the e-mail has an account, save
    /// [`IssueError::Taken`] to who was invited.
    pub async fn sign_up(
        &self,
        request: SignUpRequest<'_>,
        caller: &Caller,
    ) -> Result<SignedUp, IssueError> {
        match (self.config.sign_up, request.invitation) {
            (SignUp::Off, _) => Err(IssueError::NotFound),
            (SignUp::Open | SignUp::Invitation, Some(token)) => {
                let add = self.add_invited(token, &request, caller);
                let outcome = self.throttle.secret(true, caller, add).await;
                self.tell_refusal(Purpose::Invitation.as_str(), &outcome, caller);
                Ok(SignedUp::Added(Box::new(outcome?)))
            }
            (SignUp::Invitation, None) => {
                Err(IssueError::Forbidden("an account takes an invitation here"))
            }
            (SignUp::Open, None) => self.sign_up_openly(&request, caller).await,
        }
    }

    async fn sign_up_openly(
        &self,
        request: &SignUpRequest<'_>,
        caller: &Caller,
    ) -> Result<SignedUp, IssueError> {
        let outbox = self.outbox.as_ref().ok_or(IssueError::NoMail)?;
        let missing = || IssueError::invalid_request("email is missing");
        let email = fields::email(request.email.ok_or_else(missing)?);
        let email = email.map_err(IssueError::InvalidRequest)?;
        let (roles, scopes) = (&self.config.roles, &self.config.scopes);
        let mut user = self.draft(&email, request, (roles, scopes))?;
        // Whoever is asked for, all this is done, and nothing is looked up: that is the outbox's.
        let prepare = async {
            self.throttle.mail(&email).await?;
            self.users.new_hash(&user, request.password, PolicyCheck::Enforced).await
        };
        let hash = self.throttle.within_budget(caller, Success::Costs, prepare).await?;
        user.password = Some(hash);
        outbox.put(Job::SignUp(Box::new(user), caller.clone()))?;
        Ok(SignedUp::Accepted)
    }

    async fn add_invited(
        &self,
        token: &Secret,
        request: &SignUpRequest<'_>,
        caller: &Caller,
    ) -> Result<User, IssueError> {
        let link = self.links.read(token, &[Purpose::Invitation])?;
        let other = request
            .email
            .is_some_and(|email| Login::parse(email).map_or(true, |email| email != link.email));
        if other {
            return Err(IssueError::invalid_request("the invitation is for another e-mail"));
        }
        let user = self.draft(&link.email, request, (&link.roles, &link.scopes))?;
        let user = User { email_verified: true, state: UserState::Active, ..user };
        let password = Some((request.password, PolicyCheck::Enforced));
        self.links.use_once(&link, self.users.add(user, password, Actor::Owner(caller))).await
    }

    fn draft(
        &self,
        email: &Login,
        request: &SignUpRequest<'_>,
        (roles, scopes): (&[String], &[String]),
    ) -> Result<User, IssueError> {
        let user = User {
            email: Some(email.clone()),
            state: UserState::Unverified,
            full_name: request.full_name.clone(),
            properties: request.properties.clone(),
            roles: roles.to_vec(),
            scopes: scopes.to_vec(),
            ..self.users.draft(email.clone())?
        };
        fields::check_own_properties(&user.properties)?;
        fields::check(&user)?;
        Ok(user)
    }
}
