//! authnzerver's wire: its encrypted requests, on a listener of their own, so that frontends that
//! were written for it go on as they are.
//!
//! It is a way in like HTTP and gRPC, and knows nothing that they do not: each request asks the part
//! that it is for, and its file says it in authnzerver's words. Whoever has the secret is a frontend,
//! and is believed about its clients' addresses. Documented intent is followed, not each mistake;
//! docs/reference/authnzerver.md lists the differences.

mod access;
mod answer;
mod apikey;
mod datetime;
mod edit;
mod envelope;
mod ids;
mod limits;
mod lock;
mod login;
mod password;
mod profile;
mod schema;
mod service;
mod session;
mod session_tokens;
mod signup;
mod users;

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Dependencies;
use super::Issuance;
use super::audit::Audit;
use super::caller::Caller;
use super::error::IssueError;
use super::users::password_rules::PasswordRules;
use crate::account::AccountStore;
use crate::clock::Clock;
use crate::wire::networks::Networks;
use answer::Answer;
use apikey::KeyKind::{OfSession, Standing};
pub use envelope::MessageKey;
pub use limits::RateLimits;
use schema::{Parameters, Request};
pub use service::AuthnzerverService;
use session_tokens::SessionTokens;

/// Configuration of the wire.
#[derive(Clone, Debug)]
pub struct AuthnzerverConfig {
    /// The key that frontends share.
    pub key: MessageKey,
    /// The names by which it may be called.
    pub hosts: Vec<String>,
    /// The limits on requests; `None`: there are none.
    pub limits: Option<RateLimits>,
    /// The longest life of a session that a frontend opens.
    pub max_session: Duration,
    /// Callers whose bodies have no bound of their own.
    pub gateways: Networks,
}

/// A request, decrypted.
#[derive(Deserialize)]
struct Message {
    request: String,
    body: Map<String, Value>,
    reqid: Value,
    client_ipaddr: Option<String>,
}

/// The parts that requests ask.
#[derive(Debug)]
struct Actions {
    issuance: Arc<Issuance>,
    accounts: Arc<dyn AccountStore>,
    tokens: SessionTokens,
    audit: Audit,
    clock: Arc<dyn Clock>,
    password_rules: PasswordRules,
    max_session: Duration,
}

/// The reason why no mail is sent. In authnzerver neither request can succeed.
const NO_MAIL: &str = "no mail is sent on this wire: let the frontend send it, or the self-service";

/// The answer of an action. An error is one that the whole request is answered with.
type Outcome = Result<Answer, IssueError>;

impl Actions {
    fn new(issuance: Arc<Issuance>, on: &Dependencies, max_session: Duration) -> Self {
        let Dependencies { accounts, audit, clock, password_rules, .. } = on.clone();
        let tokens = SessionTokens::new(on);
        Self { issuance, accounts, tokens, audit, clock, password_rules, max_session }
    }

    /// Does what a request asks for.
    async fn answer(&self, request: Request, given: &Parameters, caller: &Caller) -> Outcome {
        match request {
            Request::SessionNew => self.session_new(given).await,
            Request::SessionExists => self.session_exists(given).await,
            Request::SessionDelete => self.session_delete(given, caller).await,
            Request::SessionDeleteUserid => self.session_delete_userid(given, caller).await,
            Request::InternalSessionEdit => self.internal_session_edit(given).await,
            Request::UserLogin => self.user_login(given, caller).await,
            Request::UserLogout => self.user_logout(given, caller).await,
            Request::UserPasscheck => self.user_passcheck(given, caller).await,
            Request::UserPasscheckNosession => self.user_passcheck_nosession(given, caller).await,
            Request::UserCheckAccess => self.user_check_access(given).await,
            Request::UserCheckLimit => self.user_check_limit(given).await,
            Request::UserNew => self.user_new(given, caller).await,
            Request::UserSetEmailverified => self.user_set_emailverified(given, caller).await,
            Request::UserSetEmailsent => self.user_set_emailsent(given).await,
            Request::UserList => self.user_list(given).await,
            Request::UserLookupEmail => self.user_lookup_email(given).await,
            Request::UserLookupMatch => self.user_lookup_match(given).await,
            Request::UserEdit => self.user_edit(given, caller).await,
            Request::UserLock => self.user_lock(given, caller).await,
            Request::UserDelete => self.user_delete(given, caller).await,
            Request::InternalUserLock => self.internal_user_lock(given, caller).await,
            Request::InternalUserDelete => self.internal_user_delete(given, caller).await,
            Request::InternalUserEdit => self.internal_user_edit(given, caller).await,
            Request::UserChangepass => self.user_changepass(given, caller).await,
            Request::UserChangepassNosession => self.user_changepass_nosession(given, caller).await,
            Request::UserResetpass => self.user_resetpass(given, caller).await,
            Request::UserResetpassNosession => self.user_resetpass_nosession(given, caller).await,
            Request::UserValidatepass => self.user_validatepass(given).await,
            Request::ApikeyNew => self.apikey_new(given, caller).await,
            Request::ApikeyVerify => self.apikey_verify(given, OfSession, caller).await,
            Request::ApikeyRevoke => self.apikey_revoke(given, OfSession, caller).await,
            Request::ApikeyNewNosession => self.apikey_new_nosession(given, caller).await,
            Request::ApikeyVerifyNosession => self.apikey_verify(given, Standing, caller).await,
            Request::ApikeyRevokeNosession => self.apikey_revoke(given, Standing, caller).await,
            Request::ApikeyRevokeallNosession => self.apikey_revokeall(given, caller).await,
            Request::ApikeyRefreshNosession => self.apikey_refresh(given).await,
            Request::UserSendemailSignup | Request::UserSendemailForgotpass => {
                Ok(Answer::failure(NO_MAIL, "The mail was not sent."))
            }
        }
    }
}
