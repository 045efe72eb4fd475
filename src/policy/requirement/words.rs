//! Conditions in words, for `explain`.

use std::fmt;

use super::{Condition, ExpectedValue, ItemAction};

impl Condition {
    /// The name of its kind, as in the policy's file.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::AllScopes(_) | Self::AnyScope(_) => "scopes",
            Self::AllRoles(_) | Self::AnyRole(_) => "roles",
            Self::Issuer(_) => "issuer",
            Self::Audience(_) => "audience",
            Self::Claim { .. } => "claims",
            Self::MaxLoginAge(_) => "max_login_age",
            Self::Permission(_) => "permission",
            Self::Casbin { .. } => "casbin",
            Self::GatewayCertificate => "gateway_certificate",
            Self::ClientCertificate(_) => "client_certificate",
            Self::AnyOf(_) => "any",
        }
    }
}

/// The demand in words.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllScopes(names) | Self::AllRoles(names) => {
                write!(f, "all of [{}]", names.join(" "))
            }
            Self::AnyScope(names)
            | Self::AnyRole(names)
            | Self::Issuer(names)
            | Self::Audience(names) => write!(f, "one of [{}]", names.join(" ")),
            Self::Claim { claim, values } => {
                let values: Vec<_> = values.iter().map(ToString::to_string).collect();
                write!(f, "{} is one of [{}]", claim.as_str(), values.join(" "))
            }
            Self::MaxLoginAge(age) => write!(f, "a login within {} s", age.as_secs()),
            Self::Permission(asked) => {
                let ItemAction { item, action, owner, visibility, .. } = asked;
                write!(f, "the permission to {action} the {visibility} {item} of {owner}")
            }
            Self::Casbin { object, action } => write!(f, "{action} on {object} by Casbin"),
            Self::GatewayCertificate => f.write_str("a certificate of the gateway"),
            Self::ClientCertificate(listed) if listed.is_empty() => {
                f.write_str("a certificate of the client")
            }
            Self::ClientCertificate(listed) => {
                write!(f, "one of {} certificates of the client", listed.len())
            }
            Self::AnyOf(ways) => write!(f, "one of {} ways", ways.len()),
        }
    }
}

impl fmt::Display for ExpectedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Parameter(name) => write!(f, "{{{name}}}"),
        }
    }
}
