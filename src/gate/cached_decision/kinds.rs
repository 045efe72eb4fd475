//! The kinds of credentials that are accepted beside tokens.

use super::{CredentialKind, DecisionCache};
use crate::gate::api_key::{ApiKeys, is_api_key};
use crate::gate::basic::BasicAccounts;
use crate::gate::credential::AcceptedKinds;
use crate::gate::handle::{Handles, is_handle};
use crate::gate::introspection::Introspection;
use crate::gate::ticket::AcceptedTickets;

impl DecisionCache {
    /// The same, with `handles` accepted beside tokens.
    #[must_use]
    pub fn with_handles(self, handles: Handles) -> Self {
        Self { handles: Some(handles), ..self }
    }

    /// The same, with API keys accepted beside tokens.
    #[must_use]
    pub fn with_api_keys(self, api_keys: ApiKeys) -> Self {
        Self { api_keys: Some(api_keys), ..self }
    }

    /// The same, with names and passwords of accounts accepted beside tokens.
    #[must_use]
    pub fn with_basic(self, basic: BasicAccounts) -> Self {
        Self { basic: Some(basic), ..self }
    }

    /// The same, with opaque tokens of other issuers accepted, which are asked about them.
    #[must_use]
    pub fn with_introspection(self, introspection: Introspection) -> Self {
        Self { introspection: Some(introspection), ..self }
    }

    /// The same, with tickets accepted where web sockets are opened.
    #[must_use]
    pub fn with_tickets(self, tickets: AcceptedTickets) -> Self {
        Self { tickets: Some(tickets), ..self }
    }

    /// The tickets, where they are accepted.
    pub fn tickets(&self) -> Option<&AcceptedTickets> {
        self.tickets.as_ref()
    }

    /// The issuers that are asked about their tokens, where there are any.
    pub fn introspection(&self) -> Option<&Introspection> {
        self.introspection.as_ref()
    }

    /// The handles, where they are accepted.
    pub fn handles(&self) -> Option<&Handles> {
        self.handles.as_ref()
    }

    /// The API keys, where they are accepted.
    pub fn api_keys(&self) -> Option<&ApiKeys> {
        self.api_keys.as_ref()
    }

    /// The accounts whose users may send their passwords, where there are any.
    pub fn basic(&self) -> Option<&BasicAccounts> {
        self.basic.as_ref()
    }

    /// The kinds of credentials that are accepted beside tokens.
    pub fn accepted_kinds(&self) -> AcceptedKinds {
        AcceptedKinds { api_keys: self.api_keys.is_some(), basic: self.basic.is_some() }
    }

    /// Tells the kind of a credential. Where handles or API keys are accepted, every text of their
    /// form is one, but for tokens that another issuer's prefix tells from handles; all else is a
    /// token, even if a bad one.
    pub fn kind_of(&self, credential: &str) -> CredentialKind {
        let introspection = self.introspection.as_ref();
        let is_theirs = || introspection.is_some_and(|it| it.is_told_from_handles(credential));
        if self.api_keys.is_some() && is_api_key(credential) {
            CredentialKind::ApiKey
        } else if self.handles.is_some() && is_handle(credential) && !is_theirs() {
            CredentialKind::Handle
        } else {
            let asked = introspection.and_then(|issuers| issuers.issuer_of(credential));
            asked.map_or(CredentialKind::Jwt, CredentialKind::Introspected)
        }
    }
}
