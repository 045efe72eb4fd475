//! Rules for the fields of a user, whoever writes them: a request, a command, an import.

use serde_json::{Map, Value};

use crate::account::{Login, RoleName, User, is_reserved};
use crate::issuer::error::IssueError;
use crate::issuer::subject::CLIENT_PREFIX;
use crate::session::UserId;
use crate::token::is_scope;

/// The longest full name, in bytes.
const MAX_FULL_NAME: usize = 256;
/// The most bytes that claims, properties, roles and scopes may each have as JSON.
const MAX_JSON: usize = 16 << 10;
/// The properties by which authnzerver's frontends know a user, and what it kept of him itself.
const OF_THE_APPLICATION: [&str; 5] =
    ["system_id", "provenance", "type", "verify_retry_wait", "previous_user_roles"];
/// The longest part of an e-mail before its `@`, and the longest label of its domain (RFC 5321, section
/// 4.5.3.1; RFC 1035, section 2.3.4).
const MAX_LOCAL: usize = 64;
const MAX_LABEL: usize = 63;

/// An id that nobody can take for a client's.
///
/// # Errors
/// The reason why it is none.
pub fn user_id(text: &str) -> Result<UserId, String> {
    refuse_client_prefix(text)?;
    UserId::parse(text).map_err(|error| error.to_string())
}

/// A username or an e-mail that nobody can take for a client's.
///
/// # Errors
/// The reason why it is none.
pub fn login(text: &str) -> Result<Login, String> {
    let login = Login::parse(text).map_err(|error| error.to_string())?;
    refuse_client_prefix(login.canonical())?;
    Ok(login)
}

/// An e-mail that can be written to: the form of HTML's `input type=email`, with a domain of two
/// labels at least.
///
/// # Errors
/// The reason why it is none.
pub fn email(text: &str) -> Result<Login, String> {
    let login = login(text)?;
    if is_email(login.as_str()) {
        Ok(login)
    } else {
        Err("this is no e-mail address, such as name@example.org".to_owned())
    }
}

fn is_email(text: &str) -> bool {
    const SPECIAL: &[u8] = b".!#$%&'*+/=?^_`{|}~-";
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let is_local = |byte: u8| byte.is_ascii_alphanumeric() || SPECIAL.contains(&byte);
    let is_label = |label: &str| {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(is_inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (1..=MAX_LOCAL).contains(&local.len())
        && local.bytes().all(is_local)
        && domain.contains('.')
        && domain.split('.').all(is_label)
}

fn refuse_client_prefix(text: &str) -> Result<(), String> {
    if text.to_lowercase().starts_with(CLIENT_PREFIX) {
        return Err(format!("what starts with {CLIENT_PREFIX} is for the tokens of clients"));
    }
    Ok(())
}

/// Checks a further claim of a user, who cannot be given what the issuer or another field says.
///
/// # Errors
/// The reason why not.
pub fn check_claim(name: &str) -> Result<(), String> {
    const OF_A_FIELD: [&str; 6] =
        ["username", "preferred_username", "email", "email_verified", "name", "roles"];
    if is_reserved(name) {
        return Err(format!("the claim {name:?} is the issuer's to write, and would be dropped"));
    }
    if OF_A_FIELD.contains(&name) {
        return Err(format!(
            "the claim {name:?} comes from what a user has of his own: username, e-mail, name, roles"
        ));
    }
    Ok(())
}

/// Checks the properties that somebody writes about himself. Some names are for the application.
///
/// # Errors
/// [`IssueError::InvalidRequest`], which names the property.
pub fn check_own_properties(properties: &Map<String, Value>) -> Result<(), IssueError> {
    match properties.keys().find(|name| OF_THE_APPLICATION.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(IssueError::invalid_request(format!(
            "the property {name:?} is the application's to write"
        ))),
    }
}

/// Puts members into an object; one that is null is taken out.
pub fn merge(object: &mut Map<String, Value>, members: Map<String, Value>) {
    for (name, value) in members {
        if value.is_null() {
            object.remove(&name);
        } else {
            object.insert(name, value);
        }
    }
}

/// Checks all fields of a user that are free.
///
/// # Errors
/// [`IssueError::InvalidRequest`], with the reason.
pub fn check(user: &User) -> Result<(), IssueError> {
    let refuse = |problem: String| Err(IssueError::InvalidRequest(problem));
    let name = user.full_name.as_deref().unwrap_or_default();
    if name.len() > MAX_FULL_NAME || name.chars().any(char::is_control) {
        return refuse(format!(
            "a full name has at most {MAX_FULL_NAME} bytes, no control characters"
        ));
    }
    if let Some(bad) = user.scopes.iter().find(|scope| !is_scope(scope)) {
        return refuse(format!("{bad:?} is no scope (RFC 6749, section 3.3)"));
    }
    if let Some(Err(problem)) = user.roles.iter().map(|it| RoleName::parse(it)).find(Result::is_err)
    {
        return refuse(problem.to_string());
    }
    if let Some(problem) = user.claims.keys().find_map(|name| check_claim(name).err()) {
        return refuse(problem);
    }
    let length = |value: Value| value.to_string().len();
    for (what, length) in [
        ("claims", length(user.claims.clone().into())),
        ("properties", length(user.properties.clone().into())),
        ("roles", length(user.roles.clone().into())),
        ("scopes", length(user.scopes.clone().into())),
    ] {
        if length > MAX_JSON {
            return refuse(format!("the {what} of a user have at most {MAX_JSON} bytes"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_e_mail_is_what_a_browser_takes_for_one() {
        let long = format!("{}@example.org", "x".repeat(65));
        let label = format!("a@{}.org", "x".repeat(64));
        for (text, is_one) in [
            ("alice@example.org", true),
            ("a.b+c/d=e@sub.example-1.org", true),
            ("Alice@EXAMPLE.org", true),
            ("alice", false),
            ("alice@localhost", false),
            ("@example.org", false),
            ("alice@", false),
            ("alice@.org", false),
            ("alice@example..org", false),
            ("alice@-example.org", false),
            ("alice@example-.org", false),
            ("al ice@example.org", false),
            ("a@b@example.org", false),
            ("\"a b\"@example.org", false),
            ("alice@example.org>", false),
            ("alice@example.org\r\nBcc: eve@example.org", false),
            ("älice@example.org", false),
            (&long, false),
            (&label, false),
        ] {
            assert_eq!(email(text).is_ok(), is_one, "{text:?}");
        }
    }

    #[test]
    fn nobody_is_named_as_a_client_is() {
        for name in ["client:app", "Client:app", "ＣＬＩＥＮＴ:app"] {
            assert!(login(name).is_err(), "{name}");
        }
        assert!(user_id("client:app").is_err() && user_id("clients").is_ok());
    }
}
