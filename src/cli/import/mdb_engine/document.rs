//! A document of mdb-engine's, and the user that it becomes.

use anyhow::Context as _;
use serde_json::{Map, Value};

use super::super::super::accounts::{login, user_id};
use super::super::incoming::one_line;
use super::extended_json::{id, plain, text, time};
use crate::account::password::Passwords;
use crate::account::{User, UserState};
use crate::clock::UnixTime;
use crate::secret::Secret;

/// The role of users who may only look.
const DEMO: &str = "demo";
/// The fields that become something of their own, or mean nothing here.
const READ: [&str; 20] = [
    "_id",
    "app_roles",
    "app_user_id",
    "created_at",
    "date_created",
    "demo_mode",
    "email",
    "email_verified",
    "full_name",
    "is_active",
    "is_anonymous",
    "is_demo",
    "last_login",
    "name",
    "password",
    "password_hash",
    "role",
    "roles",
    "updated_at",
    "user_id",
];
/// Parts of the names of fields that may hold a secret, which no property may be.
const SECRET: [&str; 5] = ["password", "secret", "token", "hash", "api_key"];

/// The outcome for a document.
#[derive(Debug)]
pub(super) enum Taken {
    /// A user, and what of it is left out.
    User(Box<User>, Vec<&'static str>),
    /// Nothing, for this reason.
    LeftOut(&'static str),
}

/// The parts that reading a document needs.
pub(super) struct Reading<'a> {
    pub(super) passwords: &'a Passwords,
    pub(super) now: UnixTime,
}

type Document = Map<String, Value>;

impl Reading<'_> {
    /// The user that a document becomes. No reason quotes a value that may be secret.
    pub(super) fn document(&self, document: &Document) -> anyhow::Result<Taken> {
        if let Some(why) = left_out(document) {
            return Ok(Taken::LeftOut(why));
        }
        let id = document.get("_id").and_then(id).context("_id: there is none of a known form")?;
        let id = user_id(&id).context("_id")?;
        let email =
            document.get("email").and_then(Value::as_str).context("email: there is none")?;
        let username = login(email).context("email")?;
        let mut without = Vec::new();
        let created = first_time(document, &["date_created", "created_at"]).unwrap_or(self.now);
        let name = ["full_name", "name"].iter().find_map(|name| document.get(*name)?.as_str());
        let is_active = document.get("is_active").is_none_or(|value| *value == Value::Bool(true));
        let user = User {
            email: Some(username.clone()),
            email_verified: is_true(document, "email_verified"),
            full_name: name.and_then(one_line),
            state: if is_active { UserState::Active } else { UserState::Locked },
            roles: roles(document, email)?,
            password: self.password(document, &mut without),
            properties: properties(document, &mut without),
            updated: first_time(document, &["updated_at"]).unwrap_or(created),
            last_login: first_time(document, &["last_login"]),
            ..User::new(id, username, created)
        };
        Ok(Taken::User(Box::new(user), without))
    }

    /// Its hash, where a login with it was possible there too.
    fn password(&self, document: &Document, without: &mut Vec<&'static str>) -> Option<Secret> {
        let value = ["password_hash", "password"].iter().filter_map(|name| document.get(*name));
        let hash = { value }.filter_map(text).find(|hash| !hash.is_empty()).map(Secret::new);
        let is_good = |hash: &Secret| {
            hash.expose().starts_with(b"$2") && self.passwords.inspect(hash).is_ok()
        };
        let good = hash.filter(is_good);
        if good.is_none() {
            without.push("passwords: there is none, or one that is no bcrypt hash; their users need a new one");
        }
        good
    }
}

/// The reason why a document is not meant to be a user.
fn left_out(document: &Document) -> Option<&'static str> {
    if document.contains_key("refresh_jti") {
        let is_active = is_true(document, "active");
        return Some(if is_active {
            "active sessions: people log in again, for only mdb-engine's own key shows that a refresh \
             token is one of them"
        } else {
            "sessions that have ended"
        });
    }
    if document.contains_key("ptype") {
        return Some(
            "rules of Casbin: `portcullis policy` and the policy file keep those of routes",
        );
    }
    if document.contains_key("jti") {
        return Some("revoked tokens: none of mdb-engine's tokens is good here");
    }
    if is_true(document, "is_anonymous") {
        return Some("guests: nobody can log in as one; a visitor is given a session of his own");
    }
    let is_erased = ["deleted", "gdpr_deleted", "gdpr_anonymized"];
    is_erased.iter().any(|name| is_true(document, name)).then_some("users who were erased")
}

/// All roles: of the application, and those of several, each as `application:role`.
fn roles(document: &Document, email: &str) -> anyhow::Result<Vec<String>> {
    let mut roles = Vec::new();
    match document.get("role") {
        None | Some(Value::Null) => {}
        Some(Value::String(role)) => roles.push(role.clone()),
        Some(_) => anyhow::bail!("role: it is no text"),
    }
    roles.extend(texts(document.get("roles")).context("roles: not a list of texts")?);
    let of_apps = document.get("app_roles").filter(|value| !value.is_null());
    let none = Map::new();
    let of_apps = of_apps.map_or(Some(&none), Value::as_object);
    for (app, of_app) in of_apps.context("app_roles: not an object")? {
        let of_app = texts(Some(of_app)).context("app_roles: not lists of texts")?;
        roles.extend(of_app.iter().map(|role| format!("{app}:{role}")));
    }
    let named_demo = email.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("demo@"));
    if named_demo || is_true(document, "is_demo") || is_true(document, "demo_mode") {
        roles.push(DEMO.to_owned());
    }
    let mut seen = std::collections::HashSet::new();
    roles.retain(|role| seen.insert(role.clone()));
    Ok(roles)
}

fn texts(value: Option<&Value>) -> Option<Vec<String>> {
    match value {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(value) => value.as_array()?.iter().map(|it| it.as_str().map(str::to_owned)).collect(),
    }
}

/// Everything else that stands there, but for what may be secret.
fn properties(document: &Document, without: &mut Vec<&'static str>) -> Document {
    let others = document.iter().filter(|(name, _)| !READ.contains(&name.as_str()));
    let (secret, others): (Vec<_>, Vec<_>) = others.partition(|(name, _)| {
        let name = name.to_lowercase();
        SECRET.iter().any(|part| name.contains(part))
    });
    without.extend(secret.iter().map(|_| "fields that may hold secrets, by their names"));
    others.into_iter().map(|(name, value)| (name.clone(), plain(value))).collect()
}

fn is_true(document: &Document, name: &str) -> bool {
    document.get(name) == Some(&Value::Bool(true))
}

fn first_time(document: &Document, names: &[&str]) -> Option<UnixTime> {
    names.iter().find_map(|name| time(document.get(*name)?))
}

#[cfg(test)]
mod tests;
