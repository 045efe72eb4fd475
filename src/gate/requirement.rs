//! The operator's demands on a request: pure, and checked again for every cached decision.

use super::denial::{Denial, DenialCode};
use crate::token::ScopeSet;
use crate::token::claims::is_scope;

/// The scopes that a good token must hold besides. The default demands none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirement {
    scopes: Vec<String>,
}

impl Requirement {
    /// Demands all of these scopes.
    ///
    /// # Errors
    /// [`DenialCode::UnknownRequirement`] where one is no scope (RFC 6749, section 3.3).
    pub fn scopes<S: Into<String>>(
        scopes: impl IntoIterator<Item = S>,
    ) -> Result<Self, DenialCode> {
        let scopes: Vec<String> = scopes.into_iter().map(Into::into).collect();
        if scopes.iter().all(|scope| is_scope(scope)) {
            Ok(Self { scopes })
        } else {
            Err(DenialCode::UnknownRequirement)
        }
    }

    /// Reads the query of the address that the operator gave the gateway:
    /// `scope=a&scope=b` and `scope=a+b` demand both.
    ///
    /// # Errors
    /// [`DenialCode::UnknownRequirement`] for any other parameter and for an empty scope. A
    /// misspelt `scope` must not open the route to everybody.
    pub fn from_query(query: Option<&str>) -> Result<Self, DenialCode> {
        let Some(query) = query.filter(|query| !query.is_empty()) else {
            return Ok(Self::default());
        };
        let mut scopes = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if name != "scope" || value.is_empty() {
                return Err(DenialCode::UnknownRequirement);
            }
            scopes.extend(value.split(' ').map(str::to_owned));
        }
        Self::scopes(scopes)
    }

    /// The first parameter of a query that demands something unknown, for the log: by its name,
    /// where that looks like a mistyped one, and never by its value.
    pub fn misread(query: Option<&str>) -> Option<&str> {
        let names = query?.split('&').map(|pair| pair.split('=').next().unwrap_or(pair));
        let name = names.into_iter().find(|name| !name.is_empty() && *name != "scope")?;
        let in_name = |b: u8| b.is_ascii_lowercase() || b == b'_' || b == b'-';
        (name.len() <= 24 && name.bytes().all(in_name)).then_some(name)
    }

    /// Checks whether the `granted` scopes suffice.
    ///
    /// # Errors
    /// [`DenialCode::InsufficientScope`], with the scopes that are needed.
    pub fn check(&self, granted: &ScopeSet) -> Result<(), Denial> {
        if self.scopes.iter().all(|scope| granted.contains(scope)) {
            return Ok(());
        }
        let scopes = Some(self.scopes.join(" "));
        Err(Denial { scopes, ..DenialCode::InsufficientScope.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(scopes: &[&str]) -> ScopeSet {
        ScopeSet::new(scopes.iter().map(|scope| Box::from(*scope)).collect())
    }

    #[test]
    fn every_named_scope_is_demanded() {
        for query in ["scope=a&scope=b", "scope=a+b", "scope=a%20b", "scope=b&scope=a"] {
            let requirement = Requirement::from_query(Some(query)).unwrap();
            assert!(requirement.check(&granted(&["a", "b", "c"])).is_ok(), "{query}");
            for too_little in [&["a"][..], &["b"], &["ab"], &[], &["a b"]] {
                let denial = requirement.check(&granted(too_little)).unwrap_err();
                assert_eq!(denial.code, DenialCode::InsufficientScope);
            }
        }
        for query in [None, Some("")] {
            assert_eq!(Requirement::from_query(query), Ok(Requirement::default()));
        }
    }

    #[test]
    fn scopes_are_compared_to_the_letter() {
        let requirement = Requirement::from_query(Some("scope=user%3Aread")).unwrap();
        assert!(requirement.check(&granted(&["user:read"])).is_ok());
        for near in ["user:rea", "user:reads", "USER:READ", "user", "user:*"] {
            assert!(requirement.check(&granted(&[near])).is_err(), "{near}");
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
            assert_eq!(Requirement::misread(Some(query)), named, "{query}");
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
            let refused = Requirement::from_query(Some(query));
            assert_eq!(refused, Err(DenialCode::UnknownRequirement), "{query}");
        }
    }
}
