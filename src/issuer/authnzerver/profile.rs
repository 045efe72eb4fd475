//! Users as clients see them: authnzerver's columns, made of our record.

use serde_json::{Map, Value, json};

use super::{datetime, ids};
use crate::account::{User, UserKind, UserState};
use crate::clock::UnixTime;

/// The roles of authnzerver's model, the mightiest first.
pub(super) const ROLES: [&str; 4] = ["superuser", "staff", "authenticated", "anonymous"];
/// The role of whoever may not log in.
pub(super) const LOCKED: &str = "locked";
/// The property that keeps the system id. Frontends see it as a column, and not in `extra_info`.
pub(super) const SYSTEM_ID: &str = "system_id";
/// The columns that lists and lookups show.
pub(super) const COLUMNS: [&str; 16] = [
    "user_id",
    "system_id",
    "full_name",
    "email",
    "email_verified",
    "is_active",
    "last_login_try",
    "last_login_success",
    "failed_login_tries",
    "created_on",
    "last_updated",
    "user_role",
    "extra_info",
    "emailverify_sent_datetime",
    "emailforgotpass_sent_datetime",
    "emailchangepass_sent_datetime",
];

/// True for a user who may log in.
pub(super) fn is_active(user: &User) -> bool {
    user.state == UserState::Active && !user.roles.iter().any(|role| role == LOCKED)
}

/// The one role of a user: the mightiest that authnzerver knows, else the first. A user of several
/// roles has the others at the gate.
pub(super) fn role(user: &User) -> &str {
    if !is_active(user) {
        return LOCKED;
    }
    let known = ROLES.into_iter().find(|role| user.roles.iter().any(|own| own == role));
    let usual = if user.kind == UserKind::Anonymous { "anonymous" } else { "authenticated" };
    known.or(user.roles.first().map(String::as_str)).unwrap_or(usual)
}

/// The e-mail of a user, or the username that it logs in with in its place.
pub(super) fn email(user: &User) -> &str {
    user.email.as_ref().unwrap_or(&user.username).canonical()
}

/// The system id: that of a user who was made by authnzerver or its clients, else the id.
pub(super) fn system_id(user: &User) -> Value {
    user.properties.get(SYSTEM_ID).cloned().unwrap_or_else(|| json!(user.id.as_str()))
}

/// The columns of a user.
pub(super) fn info(user: &User) -> Map<String, Value> {
    let optional = |time: Option<UnixTime>| json!(time.map(datetime::written));
    let mut extra_info = user.properties.clone();
    extra_info.remove(SYSTEM_ID);
    let column = |name: &str| match name {
        "user_id" => ids::shown(user.id.as_str()),
        "system_id" => system_id(user),
        "full_name" => json!(user.full_name),
        "email" => json!(email(user)),
        "email_verified" => json!(user.email_verified),
        "is_active" => json!(is_active(user)),
        "last_login_success" => optional(user.last_login),
        "failed_login_tries" => json!(0),
        "created_on" => json!(datetime::written(user.created)),
        "last_updated" => json!(datetime::written(user.updated)),
        "user_role" => json!(role(user)),
        "extra_info" => json!(extra_info),
        "emailverify_sent_datetime" => optional(user.verification_sent),
        "emailforgotpass_sent_datetime" => optional(user.reset_sent),
        _ => Value::Null,
    };
    COLUMNS.into_iter().map(|name| (name.to_owned(), column(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Login;
    use crate::session::UserId;

    fn user(roles: &[&str]) -> User {
        let login = Login::parse("Alice@Example.org").expect("a name");
        let user = User::new(UserId::parse("7").expect("an id"), login, UnixTime::EPOCH);
        User { roles: roles.iter().map(|role| (*role).to_owned()).collect(), ..user }
    }

    #[test]
    fn the_role_is_the_mightiest_and_locked_for_whoever_may_not_log_in() {
        for (roles, expected) in [
            (&["staff", "superuser"][..], "superuser"),
            (&["editor", "authenticated"], "authenticated"),
            (&["editor", "writer"], "editor"),
            (&["superuser", "locked"], "locked"),
            (&[], "authenticated"),
        ] {
            assert_eq!(role(&user(roles)), expected, "{roles:?}");
        }
        for state in [UserState::Locked, UserState::Unverified] {
            assert_eq!(role(&User { state, ..user(&["superuser"]) }), "locked");
        }
    }

    #[test]
    fn a_user_has_its_16_columns_and_none_of_them_is_a_secret() {
        let mut user = user(&["staff"]);
        user.password = Some(crate::secret::Secret::new("$argon2id$hash"));
        user.properties.insert("system_id".to_owned(), json!("s-1"));
        user.properties.insert("theme".to_owned(), json!("dark"));
        let info = info(&user);
        assert_eq!(info.len(), COLUMNS.len());
        assert_eq!((&info["user_id"], &info["system_id"]), (&json!(7), &json!("s-1")));
        assert_eq!(info["extra_info"], json!({ "theme": "dark" }));
        assert_eq!(info["email"], "alice@example.org");
        assert!(!Value::Object(info).to_string().contains("argon2id"));
    }
}
