//! jwthenticator's API: its paths, bodies and statuses, to the letter.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::reply::{add_error_headers, status_of, text_of_json};
use super::{Web, paths};
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::issuer::issued::Issued;
use crate::issuer::login::GrantParams;
use crate::issuer::refresh::RefreshRequest;
use crate::secret::Secret;
use crate::wire::json;

/// The shortest key that is registered: an empty one would be everybody's.
const MIN_KEY_BYTES: usize = 1;

/// `POST /authenticate` and `POST /register_key`.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read by jwthenticator's own rules")]
pub(super) struct KeyBody {
    /// The key
    key: String,
    /// A UUID: who uses it
    identifier: String,
}

/// `POST /refresh`.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read by jwthenticator's own rules")]
pub(super) struct RefreshBody {
    /// The refresh token
    refresh_token: String,
    /// A UUID; not compared with anything
    identifier: String,
}

/// `POST /is_key_registered`.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read by jwthenticator's own rules")]
pub(super) struct KeyOnlyBody {
    /// The key
    key: String,
}

/// New tokens, and nothing beside them: its client refuses any other field.
#[derive(serde::Serialize, ToSchema)]
pub(super) struct JwtAnswer {
    /// The access token
    jwt: String,
    /// The next refresh token; null where the one at hand still works
    refresh_token: Option<String>,
}

/// A yes or a no.
#[derive(serde::Serialize, ToSchema)]
pub(super) struct ResultAnswer {
    /// The answer
    result: bool,
    /// Always null
    message: Option<String>,
}

/// Type of a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Uuid,
}

/// jwthenticator's 400: what is wrong with which field.
#[derive(Debug)]
pub(super) struct Refusal(String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        text_of_json(StatusCode::BAD_REQUEST, self.0)
    }
}

/// Reads a body by jwthenticator's rules: exactly these fields. The error is its 400.
fn read<const N: usize>(body: &[u8], fields: [(&str, Kind); N]) -> Result<[String; N], Refusal> {
    let refuse = |messages: &Value| Refusal(python_json(messages));
    let Ok(parsed) = json::from_slice::<Value>(body) else {
        return Err(refuse(&json!({})));
    };
    let Value::Object(parsed) = parsed else {
        return Err(refuse(&json!({ "_schema": ["Invalid input type."] })));
    };
    let mut messages = Map::new();
    let mut values = [const { String::new() }; N];
    for ((name, kind), place) in fields.iter().zip(&mut values) {
        match field(parsed.get(*name), *kind) {
            Ok(value) => *place = value,
            Err(message) => {
                messages.insert((*name).to_owned(), json!([message]));
            }
        }
    }
    for name in parsed.keys().filter(|name| !fields.iter().any(|(known, _)| known == name)) {
        messages.insert(name.clone(), json!(["Unknown field."]));
    }
    if messages.is_empty() { Ok(values) } else { Err(refuse(&Value::Object(messages))) }
}

fn field(value: Option<&Value>, kind: Kind) -> Result<String, &'static str> {
    match (value, kind) {
        (None, _) => Err("Missing data for required field."),
        (Some(Value::Null), _) => Err("Field may not be null."),
        (Some(Value::String(text)), Kind::Text) => Ok(text.clone()),
        (Some(_), Kind::Text) => Err("Not a valid string."),
        (Some(Value::String(text)), Kind::Uuid) => {
            Uuid::parse_str(text).map(|id| id.to_string()).map_err(|_| "Not a valid UUID.")
        }
        (Some(_), Kind::Uuid) => Err("Not a valid UUID."),
    }
}

/// JSON with blanks after colons and commas, as Python writes it. A name may be one that was sent: no
/// letter of it is markup.
fn python_json(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| {
                let name = Value::from(name.as_str()).to_string().replace('<', "\\u003c");
                format!("{name}: {}", python_json(value))
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        Value::Array(members) => {
            format!("[{}]", members.iter().map(python_json).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn result_body(status: StatusCode, result: bool) -> Response {
    // In its order, which serde's map would not keep.
    text_of_json(status, format!("{{\"result\": {result}, \"message\": null}}"))
}

fn tokens(issued: &Issued) -> Response {
    let answer = JwtAnswer {
        jwt: issued.access_token.to_text(),
        refresh_token: issued.refresh_token.as_ref().map(Secret::to_text),
    };
    text_of_json(StatusCode::OK, python_json(&json!(answer)))
}

/// 401 with an empty object, which its client takes for "this credential is of no use"; what is
/// only for now must not look like that.
fn refused(error: &IssueError) -> Response {
    let status = match error {
        IssueError::InvalidRequest(_)
        | IssueError::SlowDown(_)
        | IssueError::Unavailable(_)
        | IssueError::Busy
        | IssueError::InProgress(_) => status_of(error),
        IssueError::Forbidden(_) => StatusCode::FORBIDDEN,
        _ => StatusCode::UNAUTHORIZED,
    };
    let mut response = text_of_json(status, "{}".to_owned());
    if status != StatusCode::UNAUTHORIZED {
        add_error_headers(error, &mut response);
    }
    response
}

/// Exchange a key for tokens
#[utoipa::path(
    post, path = paths::AUTHENTICATE, tag = "jwthenticator", request_body = KeyBody,
    responses(
        (status = 200, description = "Tokens", body = JwtAnswer),
        (status = 400, description = "The fields that are wrong, and why", body = serde_json::Value),
        (status = 401, description = "The key is unknown or over: `{}`", body = serde_json::Value),
    ),
)]
pub(super) async fn authenticate(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let [key, _] = read(&body, [("key", Kind::Text), ("identifier", Kind::Uuid)])?;
    let key = Secret::new(key);
    let issued = web.issuance.login.api_key(&key, GrantParams::default(), &caller).await;
    Ok(issued.as_ref().map_or_else(refused, tokens))
}

/// Exchange a refresh token for new tokens
#[utoipa::path(
    post, path = paths::REFRESH, tag = "jwthenticator", request_body = RefreshBody,
    responses(
        (status = 200, description = "Tokens", body = JwtAnswer),
        (status = 400, description = "The fields that are wrong, and why", body = serde_json::Value),
        (status = 401, description = "The token is unknown, used or over: `{}`", body = serde_json::Value),
    ),
)]
pub(super) async fn refresh(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let fields = [("refresh_token", Kind::Text), ("identifier", Kind::Uuid)];
    let [token, _] = read(&body, fields)?;
    let token = Secret::new(token);
    let request = RefreshRequest {
        token: token.expose_str().unwrap_or_default(),
        client: None,
        scopes: None,
        audiences: &[],
        caller: &caller,
    };
    let refreshed = web.issuance.refresh.refresh(request).await;
    Ok(refreshed.as_ref().map_or_else(refused, tokens))
}

/// Register a key, or renew it
///
/// Where OPEN_KEY_REGISTRATION is set, without the administrator's token.
#[utoipa::path(
    post, path = paths::REGISTER_KEY, tag = "internal", request_body = KeyBody,
    security(("administrator" = []), ()),
    responses(
        (status = 201, description = "It is registered, with a new end", body = ResultAnswer),
        (status = 400, description = "The fields that are wrong, and why", body = serde_json::Value),
        (status = 403, description = "The identifier, or the key, is a person's", body = serde_json::Value),
    ),
)]
pub(super) async fn register_key(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let [key, identifier] = read(&body, [("key", Kind::Text), ("identifier", Kind::Uuid)])?;
    if key.len() < MIN_KEY_BYTES {
        let messages = json!({ "key": ["Shorter than minimum length 1."] });
        return Err(Refusal(python_json(&messages)));
    }
    let registered = web.issuance.keys.register_key(&Secret::new(key), &identifier, &caller).await;
    Ok(match registered {
        Ok(()) => result_body(StatusCode::CREATED, true),
        Err(IssueError::Forbidden(why)) => {
            text_of_json(StatusCode::FORBIDDEN, python_json(&json!({ "identifier": [why] })))
        }
        Err(error) => refused(&error),
    })
}

/// Say whether a key is registered, also one that is over
///
/// Where OPEN_KEY_REGISTRATION is set, without the administrator's token.
#[utoipa::path(
    post, path = paths::IS_KEY_REGISTERED, tag = "internal", request_body = KeyOnlyBody,
    security(("administrator" = []), ()),
    responses(
        (status = 200, description = "True or false", body = ResultAnswer),
        (status = 400, description = "The fields that are wrong, and why", body = serde_json::Value),
    ),
)]
pub(super) async fn is_key_registered(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let [key] = read(&body, [("key", Kind::Text)])?;
    let found = web.issuance.keys.is_key_registered(&Secret::new(key), &caller).await;
    Ok(found.map_or_else(|error| refused(&error), |found| result_body(StatusCode::OK, found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body_of(response: Response) -> (u16, String) {
        use http_body_util::BodyExt as _;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8(body.into()).expect("UTF-8"))
    }

    #[tokio::test]
    async fn bodies_are_refused_in_jwthenticators_words() {
        const UUID: &str = "9a1c1f0e-3a51-4d57-bd4c-4f7e1e0ad9f1";
        for (body, expected) in [
            ("", "{}".to_owned()),
            ("{", "{}".to_owned()),
            ("[]", r#"{"_schema": ["Invalid input type."]}"#.to_owned()),
            ("null", r#"{"_schema": ["Invalid input type."]}"#.to_owned()),
            (
                "{}",
                r#"{"identifier": ["Missing data for required field."], "key": ["Missing data for required field."]}"#
                    .to_owned(),
            ),
            (
                r#"{"key":null,"identifier":7}"#,
                r#"{"identifier": ["Not a valid UUID."], "key": ["Field may not be null."]}"#.to_owned(),
            ),
            (
                &format!(r#"{{"key":5,"identifier":"{UUID}","extra":1}}"#),
                r#"{"extra": ["Unknown field."], "key": ["Not a valid string."]}"#.to_owned(),
            ),
            (
                &format!(r#"{{"key":"x","identifier":"{UUID}","<b>":1}}"#),
                r#"{"\u003cb>": ["Unknown field."]}"#.to_owned(),
            ),
        ] {
            let fields = [("key", Kind::Text), ("identifier", Kind::Uuid)];
            let refused = read(body.as_bytes(), fields).expect_err("refused");
            assert_eq!(body_of(refused.into_response()).await, (400, expected), "{body}");
        }
        for form in [
            UUID.to_owned(),
            UUID.replace('-', ""),
            format!("urn:uuid:{UUID}"),
            format!("{{{UUID}}}"),
        ] {
            let body = format!(r#"{{"key":"k","identifier":"{form}"}}"#);
            let fields = [("key", Kind::Text), ("identifier", Kind::Uuid)];
            let [key, identifier] = read(body.as_bytes(), fields).expect("read");
            assert_eq!((key.as_str(), identifier.as_str()), ("k", UUID));
        }
    }

    #[tokio::test]
    async fn answers_are_spelt_as_python_spells_them() {
        let (status, body) = body_of(result_body(StatusCode::CREATED, true)).await;
        assert_eq!((status, body.as_str()), (201, r#"{"result": true, "message": null}"#));
    }
}
