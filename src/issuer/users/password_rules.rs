//! The rules of new passwords of this service.

use super::breaches::Breaches;
use crate::account::policy::{self, PasswordPolicy, PolicyProblem};
use crate::issuer::error::IssueError;
use crate::secret::Secret;

/// The rules, and what a stranger knows of this service.
#[derive(Clone, Debug, Default)]
pub struct PasswordRules {
    /// The rules about the password alone.
    pub policy: PasswordPolicy,
    /// The hosts of this service, which a password must not be like.
    pub hosts: Vec<String>,
    /// The list of stolen passwords, if one is asked.
    pub breaches: Option<Breaches>,
}

impl PasswordRules {
    /// All problems of a new password, whose owner is called by these names.
    ///
    /// # Errors
    /// [`IssueError::InvalidRequest`] where it is no text; [`IssueError::Unavailable`] where the list of
    /// stolen passwords does not answer, and has to.
    pub async fn problems(
        &self,
        password: &Secret,
        names: &[&str],
    ) -> Result<Vec<PolicyProblem>, IssueError> {
        let Some(text) = password.expose_str() else {
            return Err(IssueError::invalid_request("the password is not UTF-8"));
        };
        let hosts = self.hosts.iter().map(String::as_str);
        let about: Vec<&str> = names.iter().copied().chain(hosts).collect();
        let mut problems = policy::check(&self.policy, text, &about).err().unwrap_or_default();
        // Nobody else is asked about what is refused anyway.
        if problems.is_empty()
            && let Some(breaches) = &self.breaches
            && breaches.has(password).await?
        {
            problems.push(PolicyProblem::Breached);
        }
        Ok(problems)
    }
}
