//! Requests about permissions and limits, by authnzerver's model.

use super::answer::Answer;
use super::schema::Parameters;
use super::{Actions, Outcome, ids};
use crate::issuer::error::IssueError;
use crate::policy::permissions::AccessQuestion;
use crate::session::UserId;

const NO_MODEL: &str = "there is no model of permissions: set PERMISSIONS_FILE";

/// A question about an item: who wants to do what, and whose it is.
pub(super) struct Question<'a> {
    pub(super) user: &'a UserId,
    pub(super) role: &'a str,
    pub(super) action: &'a str,
    pub(super) item: &'a str,
    pub(super) owner: &'a UserId,
    pub(super) visibility: &'a str,
    pub(super) shared_with: &'a str,
}

impl Actions {
    pub(super) async fn user_check_access(&self, given: &Parameters) -> Outcome {
        let read = |name: &str| ids::read(given.value(name));
        let (Some(user), Some(owner)) = (read("user_id"), read("target_owner")) else {
            return Ok(Answer::failure("there is no such user", "The access is refused."));
        };
        if !self.issuance.permissions.has_model() {
            return Ok(Answer::failure(NO_MODEL, "The access is refused."));
        }
        let question = Question {
            user: &user,
            role: given.text("user_role"),
            action: given.text("action"),
            item: given.text("target_name"),
            owner: &owner,
            visibility: given.text("target_visibility"),
            shared_with: given.text("target_sharedwith"),
        };
        Ok(if self.may(&question).await? {
            Answer::success("The access is granted.")
        } else {
            let reason = "not permitted to this role, or a user of the request is not there";
            Answer::failure(reason, "The access is refused.")
        })
    }

    pub(super) async fn user_check_limit(&self, given: &Parameters) -> Outcome {
        let over = |reason: &str| Answer::failure(reason, "The value is not within the limit.");
        let Some(value) = given.number("value_to_check") else {
            return Ok(over("value_to_check is no number"));
        };
        let Some(user) = ids::read(given.value("user_id")) else {
            return Ok(over("there is no such user"));
        };
        if !self.issuance.permissions.has_model() {
            return Ok(over(NO_MODEL));
        }
        let (role, limit) = (given.text("user_role"), given.text("limit_name"));
        let permissions = &self.issuance.permissions;
        let is_within = permissions.is_within(Some(user.as_str()), role, limit, value).await?;
        Ok(if is_within {
            Answer::success("The value is within the limit.")
        } else {
            over("the value reaches the limit, or there is no such user of that role")
        })
    }

    /// Says whether the model lets a user do something.
    pub(super) async fn may(&self, question: &Question<'_>) -> Result<bool, IssueError> {
        let question = AccessQuestion {
            user: question.user.as_str(),
            role: question.role,
            action: question.action,
            item: question.item,
            owner: question.owner.as_str(),
            visibility: question.visibility,
            shared_with: question.shared_with,
        };
        self.issuance.permissions.may(&question).await
    }
}
