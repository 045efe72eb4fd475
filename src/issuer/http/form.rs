//! Forms as OAuth has them: every parameter once (RFC 6749, section 3.2), an empty one as good as
//! absent, and what is not known ignored.

use std::collections::BTreeMap;

use crate::issuer::client_auth::ClientForm;
use crate::issuer::error::IssueError;
use crate::secret::Secret;

/// The parameters of one request.
#[derive(Debug, Default)]
pub(super) struct Form(BTreeMap<String, Vec<Secret>>);

impl Form {
    /// Reads `application/x-www-form-urlencoded`.
    ///
    /// # Errors
    /// [`IssueError::InvalidRequest`] where the content is announced as something else.
    pub(super) fn read(content_type: Option<&str>, body: &[u8]) -> Result<Self, IssueError> {
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
        if !essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(IssueError::invalid_request(
                "send the parameters as application/x-www-form-urlencoded",
            ));
        }
        let mut form: BTreeMap<String, Vec<Secret>> = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(body).filter(|(_, value)| !value.is_empty()) {
            form.entry(name.into_owned()).or_default().push(Secret::new(value.into_owned()));
        }
        Ok(Self(form))
    }

    /// Takes a parameter that may be there once.
    ///
    /// # Errors
    /// [`IssueError::InvalidRequest`] where it is there twice.
    pub(super) fn secret(&mut self, name: &str) -> Result<Option<Secret>, IssueError> {
        let mut values = self.0.remove(name).unwrap_or_default();
        if values.len() > 1 {
            return Err(IssueError::invalid_request(format!("{name} is there twice")));
        }
        Ok(values.pop())
    }

    /// Takes the same as text.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, IssueError> {
        let value = self.secret(name)?;
        Ok(value.and_then(|value| value.expose_str().map(str::to_owned)))
    }

    /// True if a parameter is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Takes a parameter that must be there.
    pub(super) fn required(&mut self, name: &str) -> Result<Secret, IssueError> {
        let missing = || IssueError::invalid_request(format!("{name} is missing"));
        self.secret(name)?.ok_or_else(missing)
    }

    /// Takes a parameter that may be there several times.
    pub(super) fn all(&mut self, name: &str) -> Vec<String> {
        let values = self.0.remove(name).unwrap_or_default();
        values.iter().filter_map(|value| value.expose_str().map(str::to_owned)).collect()
    }

    /// Takes the client's parameters.
    pub(super) fn client(&mut self) -> Result<ClientForm, IssueError> {
        Ok(ClientForm {
            id: self.text("client_id")?,
            secret: self.secret("client_secret")?,
            assertion_type: self.text("client_assertion_type")?,
            assertion: self.secret("client_assertion")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Option<&str> = Some("application/x-www-form-urlencoded; charset=utf-8");

    #[test]
    fn a_parameter_that_is_there_twice_is_refused_and_an_empty_one_is_absent() {
        let mut form = Form::read(FORM, b"a=1&a=2&b=&c=x%20y&d=1&d=").expect("a form");
        assert!(form.secret("a").is_err());
        assert_eq!(form.text("b"), Ok(None));
        assert_eq!(form.text("c"), Ok(Some("x y".to_owned())));
        assert_eq!(form.text("d"), Ok(Some("1".to_owned())));
        assert!(form.required("b").is_err());
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for content_type in [None, Some("application/json"), Some("text/plain")] {
            assert!(Form::read(content_type, b"a=1").is_err(), "{content_type:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_body_makes_reading_panic(body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let mut form = Form::read(FORM, &body).expect("a form");
            let _ = (form.client(), form.text("scope"), form.all("resource"));
        }
    }
}
