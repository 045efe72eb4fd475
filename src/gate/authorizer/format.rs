//! The forms of a question to an authorizer, and of its answer.
//!
//! A yes is the truth value `true` at the one place where the form has it. Whatever else stands there, or
//! a name that is there twice anywhere, is no answer.

use serde_json::{Value, json};

use super::answer::Node;
use crate::policy::DecisionRequest;
use crate::wire::json;

/// The type of users, where a form has types.
const AUTHZEN_USER: &str = "user";
const OSO_USER: &str = "User";

/// A form of questions and answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthorizerFormat {
    /// One flat object; the answer is `allow`.
    #[default]
    Simple,
    /// OpenID AuthZEN Authorization API 1.0, section 6: an access evaluation.
    AuthZen,
    /// Open Policy Agent's data API, with the question as `input`.
    Opa,
    /// Oso Cloud's `authorize`.
    Oso,
}

/// An answer that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    /// A no of Open Policy Agent: no rule says anything. Its address may be wrong.
    Undefined,
}

impl AuthorizerFormat {
    /// Reads the setting.
    ///
    /// # Errors
    /// The texts that may be written instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "simple" => Ok(Self::Simple),
            "authzen" => Ok(Self::AuthZen),
            "opa" => Ok(Self::Opa),
            "oso" => Ok(Self::Oso),
            _ => Err("write `simple`, `authzen`, `opa` or `oso`"),
        }
    }

    /// The body of a question, in JSON.
    pub(super) fn question(self, request: &DecisionRequest) -> String {
        let DecisionRequest { subject, roles, scopes, action, resource_type, resource } = request;
        let question: Value = match self {
            Self::Simple => simple(request),
            Self::Opa => json!({ "input": simple(request) }),
            Self::AuthZen => json!({
                "subject": {
                    "type": AUTHZEN_USER,
                    "id": subject,
                    "properties": { "roles": roles, "scopes": scopes },
                },
                "action": { "name": action },
                "resource": { "type": resource_type, "id": resource },
            }),
            Self::Oso => json!({
                "actor_type": OSO_USER,
                "actor_id": subject,
                "action": action,
                "resource_type": resource_type,
                "resource_id": resource,
            }),
        };
        question.to_string()
    }

    /// Reads the body of an answer.
    ///
    /// # Errors
    /// The reason why it is none, without any part of it.
    pub(super) fn answer(self, body: &[u8]) -> Result<Answer, String> {
        let unreadable = |_| "its answer is no JSON, or has a name twice".to_owned();
        let answer: Node = json::from_slice(body).map_err(unreadable)?;
        let said = match self {
            Self::Simple => answer.at(&["allow"]),
            Self::AuthZen => answer.at(&["decision"]),
            Self::Oso => answer.at(&["allowed"]),
            Self::Opa => match (&answer, answer.at(&["result"])) {
                (Node::Object(_), None) => return Ok(Answer::Undefined),
                (_, Some(result @ Node::Object(_))) => match result.at(&["allow"]) {
                    None => return Ok(Answer::Undefined),
                    said => said,
                },
                (_, said) => said,
            },
        };
        match said {
            Some(Node::Boolean(true)) => Ok(Answer::Yes),
            Some(Node::Boolean(false)) => Ok(Answer::No),
            _ => Err("its answer says neither true nor false where its form has it".to_owned()),
        }
    }
}

fn simple(request: &DecisionRequest) -> Value {
    let DecisionRequest { subject, roles, scopes, action, resource_type, resource } = request;
    json!({
        "subject": subject,
        "roles": roles,
        "scopes": scopes,
        "action": action,
        "type": resource_type,
        "resource": resource,
    })
}

#[cfg(test)]
mod tests;
