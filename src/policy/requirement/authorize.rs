//! The condition that an external authorizer decides.

use std::borrow::Cow;

use super::{Facts, Unmet};
use crate::policy::decision::{AuthorizedAction, DecisionRequest, Decisions};

/// The longest text that an authorizer is asked about, in bytes.
const MAX_TEXT_BYTES: usize = 1_024;

impl<'f> Facts<'f> {
    /// The same facts, with these answers of the authorizer.
    #[must_use]
    pub fn with_decisions(self, decisions: &'f Decisions) -> Self {
        Self { decisions: Some(decisions), ..self }
    }

    /// Checks that the authorizer lets the user do this.
    pub(super) fn check_authorized(&self, asked: &AuthorizedAction) -> Result<(), Unmet> {
        // What cannot be asked is denied.
        let request = self.decision_request(asked).ok_or(Unmet::Permission)?;
        match self.decisions.and_then(|decisions| decisions.of(&request)) {
            Some(true) => Ok(()),
            Some(false) => Err(Unmet::Permission),
            None => Err(Unmet::Undecided(Box::new(request))),
        }
    }

    fn decision_request(&self, asked: &AuthorizedAction) -> Option<DecisionRequest> {
        let AuthorizedAction { action, resource_type, resource } = asked;
        let short = |text: Cow<'_, str>| (text.len() <= MAX_TEXT_BYTES).then(|| text.into_owned());
        Some(DecisionRequest {
            subject: short(self.user())?,
            roles: self.texts(self.roles),
            scopes: self.token.scopes.iter().map(str::to_owned).collect(),
            action: short(self.render(action)?)?,
            resource_type: short(self.render(resource_type)?)?,
            resource: short(self.render(resource)?)?,
        })
    }
}
