//! The demands in the address that the operator gave the gateway, or in the gateway's route. They add
//! to those of a route of the policy.

use super::denial::DenialCode;
use crate::policy::Requirement;
use crate::token::is_scope;

/// Reads the query of the address that the operator gave the gateway:
/// `scope=a&scope=b` and `scope=a+b` demand both.
///
/// # Errors
/// [`DenialCode::UnknownRequirement`] for any other parameter and for an empty scope. A
/// misspelt `scope` must not open the route to everybody.
pub(super) fn from_query(query: Option<&str>) -> Result<Requirement, DenialCode> {
    let Some(query) = query.filter(|query| !query.is_empty()) else {
        return Ok(Requirement::default());
    };
    let mut scopes = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name != "scope" || value.is_empty() {
            return Err(DenialCode::UnknownRequirement);
        }
        scopes.extend(value.split(' ').map(str::to_owned));
    }
    all(scopes)
}

/// Reads scopes that are all demanded, separated by one space each.
///
/// # Errors
/// [`DenialCode::UnknownRequirement`] where one of them is none.
pub(super) fn from_scopes(text: &str) -> Result<Requirement, DenialCode> {
    all(text.split(' ').map(str::to_owned).collect())
}

fn all(scopes: Vec<String>) -> Result<Requirement, DenialCode> {
    if scopes.iter().all(|scope| is_scope(scope)) {
        Ok(Requirement::scopes(scopes))
    } else {
        Err(DenialCode::UnknownRequirement)
    }
}

/// The first parameter of a query that demands something unknown, for the log: by its name,
/// where that looks like a mistyped one, and never by its value.
pub(super) fn misread(query: Option<&str>) -> Option<&str> {
    let names = query?.split('&').map(|pair| pair.split('=').next().unwrap_or(pair));
    let name = names.into_iter().find(|name| !name.is_empty() && *name != "scope")?;
    let in_name = |b: u8| b.is_ascii_lowercase() || b == b'_' || b == b'-';
    (name.len() <= 24 && name.bytes().all(in_name)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_scope_is_demanded() {
        let both = Requirement::scopes(vec!["a".to_owned(), "b".to_owned()]);
        for query in ["scope=a&scope=b", "scope=a+b", "scope=a%20b"] {
            assert_eq!(from_query(Some(query)), Ok(both.clone()), "{query}");
        }
        for query in [None, Some("")] {
            assert_eq!(from_query(query), Ok(Requirement::default()));
        }
    }

    #[test]
    fn a_mistyped_parameter_is_named_and_nothing_that_could_be_a_credential() {
        for (query, named) in [
            ("scop=a", Some("scop")),
            ("scope=a&role=admin", Some("role")),
            ("access_token=eyJhbGciOi.eyJzdWIi.c2ln", Some("access_token")),
            ("eyJhbGciOi.eyJzdWIi.c2ln", None),
            ("deadbeef0123", None),
            ("scope=%22", None),
            ("", None),
        ] {
            assert_eq!(misread(Some(query)), named, "{query}");
        }
    }

    #[test]
    fn what_is_not_understood_lets_nobody_in() {
        for query in [
            "scop=a",
            "scope=",
            "scope",
            "Scope=a",
            "scope=a&x=1",
            "scope=a++b",
            "scope=%22",
            "a",
            "scope=%ff",
        ] {
            let refused = from_query(Some(query));
            assert_eq!(refused, Err(DenialCode::UnknownRequirement), "{query}");
        }
    }
}
