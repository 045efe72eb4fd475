//! `WWW-Authenticate` of a denial: what a client may do about it.

use http::HeaderValue;

use super::DenialConfig;
use crate::gate::denial::{Class, Denial, DenialCode};
use crate::token::dpop::ALGORITHMS;

/// The error codes of RFC 6750, section 3.1, RFC 9449, section 7.1, and RFC 9470, section 3. A request
/// without credentials gets none, nor does one whose credentials are no token.
pub(super) fn error_code(denial: &Denial) -> Option<&'static str> {
    match denial.code.class() {
        Class::NoCredentials
        | Class::Refused
        | Class::Misconfigured
        | Class::TooMany
        | Class::Unavailable => None,
        Class::BadCredentials if denial.code == DenialCode::WrongPassword => None,
        Class::BadCredentials => Some("invalid_token"),
        Class::BadProof => Some("invalid_dpop_proof"),
        Class::NotEnough => Some("insufficient_scope"),
        Class::LoginAgain => Some("insufficient_user_authentication"),
    }
}

/// The challenges of a denial (RFC 6750, section 3; RFC 9449, section 7.1; RFC 7617, section 2); none
/// where credentials would not help. All in one line: some gateways relay one alone.
pub(super) fn challenge(denial: &Denial, denial_config: &DenialConfig) -> Option<HeaderValue> {
    let (class, realm) = (denial.code.class(), &denial_config.realm);
    let is_helped_by_password = match class {
        Class::Refused | Class::Misconfigured | Class::TooMany | Class::Unavailable => return None,
        Class::NoCredentials | Class::BadCredentials => denial_config.accepts_basic,
        Class::BadProof | Class::NotEnough | Class::LoginAgain => false,
    };
    let mut parameters = vec![format!("realm=\"{realm}\"")];
    if let Some(error) = error_code(denial) {
        parameters.push(format!("error=\"{error}\""));
        parameters.push(format!("error_description=\"{}\"", denial.code.description()));
    }
    parameters.extend(denial.scopes.iter().map(|scopes| format!("scope=\"{scopes}\"")));
    parameters.extend(denial.max_age.map(|seconds| format!("max_age=\"{seconds}\"")));
    if denial.is_dpop {
        let challenge = format!("DPoP {}, algs=\"{ALGORITHMS}\"", parameters.join(", "));
        return HeaderValue::from_str(&challenge).ok();
    }
    let mut challenges = format!("Bearer {}", parameters.join(", "));
    if is_helped_by_password {
        challenges += ", Basic realm=\"";
        challenges += realm;
        challenges += "\", charset=\"UTF-8\"";
    }
    HeaderValue::from_str(&challenges).ok()
}
