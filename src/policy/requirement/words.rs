//! Conditions in words, for `explain`.

use std::borrow::Cow;
use std::fmt;

use super::{
    AuthorizedAction, Condition, ExpectedValue, Facts, ItemAction, Requirement, Template,
    UserClaims,
};

impl Condition {
    /// The name of its kind, as in the policy's file.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::User => "user",
            Self::AllScopes(_) | Self::AnyScope(_) => "scopes",
            Self::AllRoles(_) | Self::AnyRole(_) => "roles",
            Self::Issuer(_) => "issuer",
            Self::Audience(_) => "audience",
            Self::Claim { .. } => "claims",
            Self::MaxLoginAge(_) => "max_login_age",
            Self::Permission(_) => "permission",
            Self::Casbin { .. } => "casbin",
            Self::Authorize(_) => "authorize",
            Self::GatewayCertificate => "gateway_certificate",
            Self::ClientCertificate(_) => "client_certificate",
            Self::AnyOf(_) => "any",
        }
    }
}

impl Condition {
    /// The demand as it is made of this user: with the values that stand for parts of the request.
    pub(crate) fn asked_of(&self, facts: &Facts<'_>) -> String {
        match self {
            Self::AllRoles(_) | Self::AnyRole(_) => {
                format!("{self} among the user's roles [{}]", facts.roles_in_words())
            }
            Self::Claim { claim, values } => {
                let values: Vec<_> = values.iter().map(|value| facts.expected(value)).collect();
                format!("{} is one of [{}]", claim.as_str(), values.join(" "))
            }
            Self::Permission(asked) => {
                let ItemAction { item, action, owner, visibility, .. } = asked;
                let [item, action, owner, visibility] =
                    [item, action, owner, visibility].map(|text| facts.rendered(text));
                format!(
                    "that the permissions let {}, with the roles [{}], {action} the {visibility} \
                     {item} of {owner}",
                    facts.user(),
                    facts.roles_in_words()
                )
            }
            Self::Casbin { object, action } => {
                let (object, action) = (facts.rendered(object), facts.rendered(action));
                format!("that Casbin lets {} do {action} on {object}", facts.user())
            }
            Self::Authorize(AuthorizedAction { action, resource_type, resource }) => {
                let [action, kind, resource] =
                    [action, resource_type, resource].map(|text| facts.rendered(text));
                format!("that the authorizer lets {} {action} the {kind} {resource}", facts.user())
            }
            Self::AnyOf(ways) => {
                let ways: Vec<_> = ways.iter().map(|way| way.asked_of(facts)).collect();
                format!("one of: {}", ways.join(", or "))
            }
            other => other.to_string(),
        }
    }
}

impl Requirement {
    fn asked_of(&self, facts: &Facts<'_>) -> String {
        let named = |one: &Condition| format!("{} ({})", one.name(), one.asked_of(facts));
        self.0.iter().map(named).collect::<Vec<_>>().join(" and ")
    }
}

impl Facts<'_> {
    fn rendered(&self, text: &Template) -> String {
        self.render(text).map_or_else(|| text.to_string(), Cow::into_owned)
    }

    fn expected(&self, value: &ExpectedValue) -> String {
        let value_of = |name: &String| self.parameter(name).map(str::to_owned);
        match value {
            ExpectedValue::Parameter(name) => value_of(name).unwrap_or_else(|| value.to_string()),
            ExpectedValue::Text(text) => text.clone(),
        }
    }

    fn roles_in_words(&self) -> String {
        let claims = UserClaims::new(self.token, self.session);
        let found = claims.find(self.roles);
        found.map_or_else(String::new, |found| found.texts().collect::<Vec<_>>().join(" "))
    }
}

/// The demand in words.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User => f.write_str("a user"),
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
            Self::Authorize(AuthorizedAction { action, resource_type, resource }) => {
                write!(f, "{action} on the {resource_type} {resource} by the authorizer")
            }
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
