//! Bodies in JSON: an object with these members and no others. No mistake quotes a value: it may be a
//! password.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde::de::{Deserialize, DeserializeOwned, Deserializer};

use crate::issuer::error::IssueError;
use crate::secret::Secret;
use crate::wire::json;

/// Reads a body that is announced as JSON, as no form of another site's page can be.
///
/// # Errors
/// [`IssueError::InvalidRequest`].
pub(super) fn read<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, IssueError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(IssueError::invalid_request("send the body as application/json"));
    }
    json::from_slice(body).map_err(|error| IssueError::invalid_request(problem(&error)))
}

/// The mistake without what was written.
fn problem(error: &serde_json::Error) -> String {
    let told = error.to_string();
    if ["unknown field", "missing field", "duplicate field"].iter().any(|it| told.starts_with(it)) {
        return told.split(" at line").next().unwrap_or_default().to_owned();
    }
    let what = if error.is_data() { "a value has the wrong type" } else { "it is not JSON" };
    format!("{what}, at column {}", error.column())
}

/// Reads a secret.
pub(super) fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    String::deserialize(from).map(Secret::new)
}

/// Reads a secret that may be absent.
pub(super) fn optional_secret<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(Secret::new))
}

/// Reads a member that is there, be it null; one that is absent is left to the default.
#[expect(clippy::option_option, reason = "absent, null, and a value are three things")]
pub(super) fn present<'de, D, T>(from: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(from).map(Some)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only mistakes are looked at")]
    struct Body {
        #[serde(deserialize_with = "secret")]
        password: Secret,
    }

    #[test]
    fn a_mistake_is_named_and_no_value_is_quoted() {
        let mut headers = HeaderMap::new();
        for (kind, body, told) in [
            ("application/json", r#"{"pasword": "hunter2"}"#, "unknown field `pasword`"),
            ("application/json", "{}", "missing field `password`"),
            ("application/json", r#"{"password": ["hunter2"]}"#, "wrong type"),
            ("application/json", r#"{"password": "hunter2""#, "not JSON"),
            ("text/plain", r#"{"password": "hunter2"}"#, "application/json"),
        ] {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            let refused = read::<Body>(&headers, body.as_bytes()).expect_err(body).to_string();
            assert!(refused.contains(told) && !refused.contains("hunter2"), "{body}: {refused}");
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("Application/JSON; charset=utf-8"));
        assert!(read::<Body>(&headers, br#"{"password": "x"}"#).is_ok());
    }
}
