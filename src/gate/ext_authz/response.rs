//! The answer of `ext_authz`: a verdict as changes to the request, or as what the client gets.
//!
//! Identity headers replace the client's. Those without a value are removed, and with them all
//! headers of the client that an application could take for one of them (`x_auth_user`): gateways
//! differ in what they make of an empty value, and of such names.

use http::header::{CACHE_CONTROL, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName, StatusCode};
use tonic::Code;

use super::generated::auth::check_response::HttpResponse;
use super::generated::auth::{CheckResponse, DeniedHttpResponse, OkHttpResponse};
use super::generated::config;
use super::generated::config::header_value_option::HeaderAppendAction;
use super::generated::rpc;
use super::generated::types::HttpStatus;
use super::metadata;
use crate::gate::denial::Denial;
use crate::gate::grpc_denial;
use crate::gate::verdict::Grant;
use crate::wire::fields::Fields;

/// The answer that lets a request pass.
pub(super) fn allowed(grant: &Grant, client: Fields<'_>) -> CheckResponse {
    let (mut headers, mut headers_to_remove) = (Vec::new(), Vec::new());
    // How long an answer may be kept concerns a gateway that asks over HTTP alone.
    let own = grant.headers();
    let identity = || own.iter().filter(|(name, _)| *name != CACHE_CONTROL);
    for (name, value) in identity() {
        match value.to_str() {
            Ok(text) if !text.is_empty() => headers.push(overwrite(name.as_str(), text)),
            Ok(_) | Err(_) => headers_to_remove.push(name.as_str().to_owned()),
        }
    }
    let is_alias = |name: &&str| identity().any(|(own, _)| is_alias_of(name, own));
    headers_to_remove.extend(client.names().filter(is_alias).map(str::to_owned));
    let ok = OkHttpResponse { headers, headers_to_remove };
    CheckResponse {
        status: Some(rpc::Status { code: Code::Ok as i32, message: String::new() }),
        http_response: Some(HttpResponse::OkResponse(ok)),
        dynamic_metadata: metadata::of(grant, &own),
    }
}

/// The answer that denies a request: status, headers and body of the answer over HTTP. A client of gRPC
/// gets 200 in place of the status, as with every answer of gRPC.
pub(super) fn denied(
    denial: &Denial,
    (status, headers, body): (StatusCode, &HeaderMap, String),
) -> CheckResponse {
    let own = headers.iter().filter(|(name, _)| *name != CONTENT_LENGTH);
    let texts =
        own.filter_map(|(name, value)| Some(overwrite(name.as_str(), value.to_str().ok()?)));
    let is_grpc = headers.contains_key(grpc_denial::STATUS);
    let status = if is_grpc { StatusCode::OK } else { status };
    let denied = DeniedHttpResponse {
        status: Some(HttpStatus { code: i32::from(status.as_u16()) }),
        headers: texts.collect(),
        body,
    };
    let (code, message) = (grpc_denial::code(denial) as i32, denial.code.as_str().to_owned());
    CheckResponse {
        status: Some(rpc::Status { code, message }),
        http_response: Some(HttpResponse::DeniedResponse(denied)),
        dynamic_metadata: None,
    }
}

/// A header in place of those of that name.
fn overwrite(name: &str, value: &str) -> config::HeaderValueOption {
    let header = config::HeaderValue {
        key: name.to_owned(),
        value: value.to_owned(),
        ..config::HeaderValue::default()
    };
    config::HeaderValueOption {
        header: Some(header),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd as i32,
        keep_empty_value: false,
    }
}

/// Returns whether an application could read a header under another one's name: CGI and its kin see
/// one sign in place of all but letters and digits.
fn is_alias_of(name: &str, own: &HeaderName) -> bool {
    let (name, own) = (name.as_bytes(), own.as_str().as_bytes());
    let is_sign = |b: &u8| !b.is_ascii_alphanumeric();
    let is_like = |(a, b): (&u8, &u8)| a == b || (is_sign(a) && is_sign(b));
    name.len() == own.len() && name != own && name.iter().zip(own).all(is_like)
}

#[cfg(test)]
mod tests;
