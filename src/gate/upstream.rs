//! A signed token for the application, in a header of its own: for those who want to check for
//! themselves what a client's credential stands for, or pass it on.
//!
//! A client that came with a token has it handed on as it is. For a handle one is signed from the
//! claims that are kept under it, once for as long as they stay the same.

use std::fmt;

use http::{HeaderName, HeaderValue};

use super::identity::{self, IdentityHeaders};
use crate::token::{KeyError, SigningKey, Verified};

/// In which header, and by which key.
#[derive(Clone)]
pub struct UpstreamJwt {
    header: HeaderName,
    signer: Option<SigningKey>,
}

impl UpstreamJwt {
    /// Tokens in `header`. Without a `signer` a request that came with a handle has it empty.
    pub fn new(header: HeaderName, signer: Option<SigningKey>) -> Self {
        Self { header, signer }
    }

    /// Reads the setting; empty: there is no such header.
    ///
    /// # Errors
    /// What is wrong with the name; one is that it carries a claim already.
    pub fn parse_header(
        text: &str,
        identity: &IdentityHeaders,
    ) -> Result<Option<HeaderName>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        let header = identity::header_name(text)?;
        if identity.holds(&header) {
            return Err(format!("{text:?} carries a part of the identity already"));
        }
        Ok(Some(header))
    }

    /// The header.
    pub(super) fn header(&self) -> &HeaderName {
        &self.header
    }

    /// What the header holds for a client that sent `credential` and was found to be `token`.
    ///
    /// # Errors
    /// Where the key does not sign.
    pub(super) fn value(
        &self,
        token: &Verified,
        credential: &str,
    ) -> Result<HeaderValue, KeyError> {
        let mut value = match (&token.signature, &self.signer) {
            (Some(_), _) => HeaderValue::from_str(credential),
            (None, Some(signer)) => HeaderValue::try_from(signer.sign(token.claims.as_map())?),
            (None, None) => Ok(HeaderValue::from_static("")),
        }
        // A token holds nothing but letters, digits, dots, dashes and underscores.
        .unwrap_or(HeaderValue::from_static(""));
        // So that it shows up nowhere but in the answer.
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for UpstreamJwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UpstreamJwt({})", self.header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_one_that_gateways_can_overwrite() {
        let identity = IdentityHeaders::parse("X-Tenant=tenant").unwrap();
        let parse = |text| UpstreamJwt::parse_header(text, &identity);
        assert_eq!(parse(""), Ok(None));
        assert_eq!(parse("X-Auth-Token"), Ok(Some(HeaderName::from_static("x-auth-token"))));
        for (text, told) in [
            ("X Y", "not the name of a header"),
            ("X_Y", "underscore"),
            ("Authorization", "a meaning of its own"),
            ("X-Accel-Redirect", "a meaning of its own"),
            ("X-Auth-User", "already"),
            ("x-tenant", "already"),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.contains(told), "{problem}");
        }
    }
}
