//! Decisions of an external authorizer: the question that it is asked about a user, and its answers so
//! far.
//!
//! Conditions are pure. One that the authorizer decides says which question is open; whoever checks it
//! asks, and checks again with the answer.

use std::fmt;

use super::template::Template;

/// A question: may this user do this to that resource?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionRequest {
    /// The user, as applications are told.
    pub subject: String,
    /// The user's roles.
    pub roles: Vec<String>,
    /// The scopes of the token, in order: a user may have lent a part of his rights.
    pub scopes: Vec<String>,
    /// The action.
    pub action: String,
    /// The kind of resource.
    pub resource_type: String,
    /// The resource.
    pub resource: String,
}

impl fmt::Display for DecisionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, roles, scopes, action, resource_type, resource } = self;
        let (roles, scopes) = (roles.join(" "), scopes.join(" "));
        write!(
            f,
            "may {subject}, with the roles [{roles}] and the scopes [{scopes}], {action} the \
             {resource_type} {resource}?"
        )
    }
}

/// An action on a resource, as a route of the policy's file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuthorizedAction {
    pub(crate) action: Template,
    pub(crate) resource_type: Template,
    pub(crate) resource: Template,
}

/// The answers that there are. By default there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decisions {
    made: Vec<(DecisionRequest, bool)>,
    /// The answer to every other question, where it is taken for granted.
    assumed: Option<bool>,
}

impl Decisions {
    /// The same answer to every question; `None` is none. For trials, which ask nobody.
    pub fn assumed(answer: Option<bool>) -> Self {
        Self { made: Vec::new(), assumed: answer }
    }

    /// Adds the answer to a question.
    pub fn record(&mut self, request: DecisionRequest, is_allowed: bool) {
        self.made.push((request, is_allowed));
    }

    /// The answer to a question, if there is one.
    pub(super) fn of(&self, request: &DecisionRequest) -> Option<bool> {
        let mut made = self.made.iter();
        made.find(|(asked, _)| asked == request).map_or(self.assumed, |(_, answer)| Some(*answer))
    }
}
