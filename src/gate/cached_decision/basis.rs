//! What is decided about, and what a decision rests on.

use std::net::IpAddr;

use crate::account::KeyBounds;
use crate::gate::basic::{BasicCredentials, PasswordEvidence};
use crate::gate::requester::Origin;
use crate::opaque::TokenEpoch;

/// A credential to decide about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Presented<'c> {
    /// The text of a token, of whatever issuer, of a handle or of an API key; and how it came.
    Text(&'c str, &'c Origin<'c>),
    /// A name and a password, and the address whose attempts are counted.
    Basic(&'c BasicCredentials, Option<IpAddr>),
}

/// What a decision rests on beside its session.
#[derive(Debug)]
pub(super) enum Basis {
    /// The token alone.
    Token,
    /// The record of a handle, which was read at this epoch.
    Handle(TokenEpoch),
    /// An API key and its user, as the accounts had them. Its bounds are compared with every request.
    ApiKey(Box<KeyBounds>),
    /// A password that was checked, and its user, as the accounts had him.
    Password(Box<PasswordEvidence>),
    /// What its issuer said when it was asked.
    Introspection,
    /// A ticket, which was taken. It is never cached.
    Ticket,
}

impl Basis {
    /// Returns whether it was read from somewhere that tells nobody of changes, so that the bound
    /// holds for it by age alone.
    pub(super) fn is_read_without_events(&self) -> bool {
        match self {
            Self::Token | Self::Handle(_) | Self::Ticket => false,
            Self::ApiKey(_) | Self::Password(_) | Self::Introspection => true,
        }
    }

    /// Returns whether it is good for some requests alone, which no token that is made of it would
    /// keep to.
    pub(super) fn is_bound_to_requests(&self) -> bool {
        matches!(self, Self::ApiKey(bounds) if bounds.depend_on_request())
    }

    /// Returns whether it is believed while nothing can be asked. The word of another issuer is not:
    /// it may have ended the token at any time.
    pub(super) fn outlasts_failures(&self) -> bool {
        !matches!(self, Self::Introspection)
    }
}
