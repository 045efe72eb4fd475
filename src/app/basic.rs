//! Passwords of the gate (HTTP Basic), checked by the issuer of the same process. Gate and issuer never
//! see each other.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;

use crate::account::User;
use crate::gate::basic::{PasswordRefused, PasswordVerifier};
use crate::issuer::Issuance;
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::secret::Secret;

/// The passwords that one logs in with.
#[derive(Debug)]
pub(super) struct LoginPasswords(pub(super) Arc<Issuance>);

#[async_trait]
impl PasswordVerifier for LoginPasswords {
    async fn verify(
        &self,
        login: &str,
        password: &Secret,
        client: Option<IpAddr>,
    ) -> Result<User, PasswordRefused> {
        let (issuance, login, password) = (Arc::clone(&self.0), login.to_owned(), password.clone());
        let caller = Caller { address: client, ..Caller::default() };
        let check = Box::pin(async move {
            issuance.login.verify_password(&login, &password, "basic", &caller).await
        });
        // To its end, as a login: what was counted is settled, also where the client goes away.
        let outcome = self.0.tasks().run(check).await.and_then(|outcome| outcome);
        outcome.inspect_err(IssueError::log).map_err(|error| refused(&error))
    }
}

fn refused(error: &IssueError) -> PasswordRefused {
    match error {
        IssueError::InvalidGrant => PasswordRefused::Wrong,
        IssueError::SlowDown(_) => {
            PasswordRefused::TooMany { retry_after: error.retry_after().unwrap_or(1) }
        }
        IssueError::Busy => PasswordRefused::Busy,
        _ => PasswordRefused::Unavailable,
    }
}
