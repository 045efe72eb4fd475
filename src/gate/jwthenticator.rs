//! `POST /validate` of jwthenticator 1.6: `{"jwt": "..."}` in, its bodies and statuses out.
//!
//! Its clients read the bodies strictly, so they are the original's to the letter.

use http::StatusCode;
use serde_json::{Map, Value};

use crate::wire::json;

/// The token to validate, or the status and body that the original answers instead.
///
/// The content type is not looked at, as there.
pub(super) fn read(body: &[u8]) -> Result<String, (StatusCode, String)> {
    let refuse = |body: String| Err((StatusCode::BAD_REQUEST, body));
    let mut fields: Map<String, Value> = match json::from_slice(body) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return refuse("{\"_schema\": [\"Invalid input type.\"]}".to_owned()),
        Err(_) => return refuse("{}".to_owned()),
    };
    let jwt = fields.remove("jwt");
    let mut complaints = Vec::new();
    let problem = match &jwt {
        None => Some("Missing data for required field."),
        Some(Value::Null) => Some("Field may not be null."),
        Some(Value::String(_)) => None,
        Some(_) => Some("Not a valid string."),
    };
    complaints.extend(problem.map(|problem| complaint("jwt", problem)));
    complaints.extend(fields.keys().map(|name| complaint(name, "Unknown field.")));
    match jwt {
        Some(Value::String(token)) if complaints.is_empty() => Ok(token),
        _ => refuse(format!("{{{}}}", complaints.join(", "))),
    }
}

/// The body for a token that is good.
pub(super) const GOOD: &str = "{\"result\": true, \"message\": null}";
/// The body for a token that is not good.
pub(super) const BAD: &str = "{}";

/// The name may be one that was sent: no letter of it is markup.
fn complaint(field: &str, problem: &str) -> String {
    let field = Value::from(field).to_string().replace('<', "\\u003c");
    format!("{field}: [\"{problem}\"]")
}
