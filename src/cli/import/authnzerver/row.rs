//! A row of authnzerver's users, and the user that it becomes.

use serde_json::{Map, Value};

use super::super::super::accounts::{login, user_id};
use super::super::incoming::one_line;
use crate::account::password::Passwords;
use crate::account::{User, UserKind, UserState};
use crate::clock::UnixTime;
use crate::secret::Secret;
use crate::wire::json;

/// The role of an account that may not log in. The one that it has besides is in its notes.
const LOCKED: &str = "locked";
/// The role that a verified account is given.
const VERIFIED: &str = "authenticated";
/// The user that all visitors are.
const ANONYMOUS_ID: i64 = 2;
/// The user whose password is checked in place of one that does not exist.
const DUMMY_ID: i64 = 3;
/// Its roles before it was locked, among an account's notes.
const ROLES_BEFORE: &str = "previous_user_roles";

/// A row, as it stands there; times are in milliseconds.
#[derive(Clone, sqlx::FromRow)]
pub(super) struct Row {
    pub(super) user_id: i64,
    pub(super) system_id: String,
    pub(super) full_name: Option<String>,
    pub(super) password: String,
    pub(super) email: String,
    pub(super) email_verified: i64,
    pub(super) is_active: i64,
    pub(super) user_role: String,
    pub(super) extra_info: Option<String>,
    pub(super) created: Option<i64>,
    pub(super) updated: Option<i64>,
    pub(super) last_login: Option<i64>,
    pub(super) verification_sent: Option<i64>,
    pub(super) reset_sent: Option<i64>,
}

/// The outcome for a row.
#[derive(Debug)]
pub(super) enum Taken {
    /// A user.
    User(Box<User>),
    /// Nothing, for this reason.
    LeftOut(&'static str),
}

/// The parts that reading a row needs.
pub(super) struct Reading<'a> {
    pub(super) passwords: &'a Passwords,
    pub(super) now: UnixTime,
}

impl Reading<'_> {
    /// The user that a row becomes. No reason holds anything of its password.
    pub(super) fn user(&self, row: &Row) -> anyhow::Result<Taken> {
        if row.user_id == DUMMY_ID && row.user_role == LOCKED {
            return Ok(Taken::LeftOut(
                "account that nobody logs in to, made by authnzerver itself",
            ));
        }
        let username = login(&row.email)?;
        let mut properties = properties(row)?;
        let (state, role) = standing(row, properties.remove(ROLES_BEFORE).as_ref());
        let is_anonymous = row.user_id == ANONYMOUS_ID && role == "anonymous";
        let password = (!is_anonymous).then(|| Secret::new(row.password.as_str()));
        password.as_ref().map(|hash| self.passwords.inspect(hash)).transpose()?;
        let created = time(row.created).unwrap_or(self.now);
        Ok(Taken::User(Box::new(User {
            email: Some(username.clone()),
            email_verified: row.email_verified != 0,
            full_name: row.full_name.as_deref().map(unescaped).as_deref().and_then(one_line),
            kind: if is_anonymous { UserKind::Anonymous } else { UserKind::Person },
            state,
            roles: vec![role],
            properties,
            password,
            updated: time(row.updated).unwrap_or(created),
            last_login: time(row.last_login),
            verification_sent: time(row.verification_sent),
            reset_sent: time(row.reset_sent),
            ..User::new(user_id(&row.user_id.to_string())?, username, created)
        })))
    }
}

/// Its state, and the role that it has or will have again. It may log in where it might before: as
/// active, with a verified e-mail and another role than "locked".
fn standing(row: &Row, roles_before: Option<&Value>) -> (UserState, String) {
    let before = roles_before.and_then(Value::as_array).and_then(|roles| roles.last());
    let before = before.and_then(Value::as_str).filter(|role| *role != LOCKED);
    let is_locked = row.user_role == LOCKED || row.is_active == 0;
    let was_verified = row.email_verified != 0 || before.is_some();
    let state = match (is_locked, was_verified) {
        (true, true) => UserState::Locked,
        (_, false) => UserState::Unverified,
        (false, true) if row.email_verified == 0 => UserState::Unverified,
        (false, true) => UserState::Active,
    };
    let role = if row.user_role == LOCKED { before.unwrap_or(VERIFIED) } else { &row.user_role };
    (state, role.to_owned())
}

/// The notes of applications, and the id by which they know the account.
fn properties(row: &Row) -> anyhow::Result<Map<String, Value>> {
    let noted = row.extra_info.as_deref().unwrap_or("null");
    let noted = json::from_str(noted).map_err(|_| anyhow::anyhow!("extra_info is no JSON"))?;
    let mut properties = match noted {
        Value::Object(properties) => properties,
        Value::Null => Map::new(),
        other => Map::from_iter([("extra_info".to_owned(), other)]),
    };
    properties.insert("system_id".to_owned(), row.system_id.as_str().into());
    Ok(properties)
}

/// A name as it was typed: authnzerver stores it escaped for HTML.
fn unescaped(name: &str) -> String {
    let apostrophes = name.replace("&#x27;", "'").replace("&#39;", "'");
    let others = apostrophes.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    // Last, so that nothing is taken for an escape that was none.
    others.replace("&amp;", "&")
}

fn time(millis: Option<i64>) -> Option<UnixTime> {
    u64::try_from(millis?).ok().map(UnixTime::from_millis)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::account::password::HashConfig;
    use crate::secret::SystemRandom;

    /// Made by argon2-cffi 25.1.0 with its usual cost, as authnzerver has it.
    const HASH: &str = "$argon2id$v=19$m=65536,t=3,p=4$uHfXmsVDsXifm9JPFfzTFw$JQE4U0Ya2fQ9uxnnVfS4CzePE6bUc9EI/zBDyqnd+w0";

    fn row() -> Row {
        Row {
            user_id: 17,
            system_id: "5f1f7471-1ea1-45c0-be21-fc2bac8d3495".to_owned(),
            full_name: Some("Séan O&#x27;Brien &amp;amp;".to_owned()),
            password: HASH.to_owned(),
            email: "sean@example.org".to_owned(),
            email_verified: 1,
            is_active: 1,
            user_role: "staff".to_owned(),
            extra_info: Some(r#"{"city": "Cork", "previous_user_roles": ["locked"]}"#.to_owned()),
            created: Some(5_000),
            updated: Some(6_000),
            last_login: None,
            verification_sent: Some(7_000),
            reset_sent: None,
        }
    }

    fn read(row: &Row) -> anyhow::Result<Taken> {
        let config = HashConfig { memory_kib: 64, passes: 1, lanes: 1, threads: 1, queue: 1 };
        let passwords = Passwords::new(config, Arc::new(SystemRandom)).expect("valid parameters");
        Reading { passwords: &passwords, now: UnixTime::from_secs(9) }.user(row)
    }

    fn user(row: &Row) -> User {
        match read(row) {
            Ok(Taken::User(user)) => *user,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_row_becomes_a_user_with_all_that_it_had() {
        let user = user(&row());
        assert_eq!((user.id.as_str(), user.username.as_str()), ("17", "sean@example.org"));
        assert_eq!(user.email, Some(user.username.clone()));
        assert_eq!(user.full_name.as_deref(), Some("Séan O'Brien &amp;"));
        assert_eq!((user.kind, user.state), (UserKind::Person, UserState::Active));
        assert_eq!(user.roles, ["staff"]);
        assert_eq!(user.password, Some(Secret::new(HASH)));
        let at = UnixTime::from_secs;
        assert_eq!((user.created, user.updated, user.last_login), (at(5), at(6), None));
        assert_eq!((user.verification_sent, user.reset_sent), (Some(at(7)), None));
        let properties = Value::Object(user.properties).to_string();
        assert_eq!(properties, format!(r#"{{"city":"Cork","system_id":"{}"}}"#, row().system_id));
    }

    #[test]
    fn an_account_may_log_in_only_where_it_might_before() {
        let unverified = (UserState::Unverified, "authenticated");
        let locked = |role| (UserState::Locked, role);
        for (role, is_active, email_verified, before, expected) in [
            ("superuser", 1, 1, "", (UserState::Active, "superuser")),
            ("locked", 0, 0, "", unverified),
            ("locked", 0, 0, r#""locked""#, unverified),
            ("locked", 0, 1, r#""locked", "staff""#, locked("staff")),
            ("locked", 0, 0, r#""locked", "staff""#, locked("staff")),
            ("locked", 1, 1, "", locked("authenticated")),
            ("staff", 0, 1, "", locked("staff")),
            ("staff", 1, 0, "", (UserState::Unverified, "staff")),
            ("staff", 1, 0, r#""staff""#, (UserState::Unverified, "staff")),
        ] {
            let extra_info = Some(format!(r#"{{"previous_user_roles": [{before}]}}"#));
            let user_role = role.to_owned();
            let user = user(&Row { email_verified, is_active, user_role, extra_info, ..row() });
            assert_eq!((user.state, &*user.roles[0]), expected, "{role} {is_active} {before}");
        }
    }

    #[test]
    fn its_own_three_accounts_are_told_apart() {
        let of = |user_id, role: &str| Row { user_id, user_role: role.to_owned(), ..row() };
        assert_eq!(user(&of(1, "superuser")).roles, ["superuser"]);
        let anonymous = user(&of(2, "anonymous"));
        assert_eq!((anonymous.kind, anonymous.password), (UserKind::Anonymous, None));
        assert!(matches!(read(&of(3, "locked")), Ok(Taken::LeftOut(_))));
        assert_eq!(user(&of(3, "staff")).kind, UserKind::Person, "it is somebody");
        assert_eq!(user(&of(9, "anonymous")).kind, UserKind::Person);
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_a_word_of_it() {
        for bad in [
            Row { password: "hunter2".to_owned(), ..row() },
            Row { email: "client:hunter2".to_owned(), ..row() },
            Row { email: String::new(), ..row() },
            Row { extra_info: Some("hunter2".to_owned()), ..row() },
        ] {
            let told = read(&bad).expect_err("it is refused").to_string();
            assert!(!told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn a_row_of_the_oldest_version_has_no_notes() {
        let user = user(&Row { extra_info: None, full_name: Some(" \t ".to_owned()), ..row() });
        assert_eq!(user.properties.len(), 1, "{:?}", user.properties);
        assert_eq!(user.full_name, None);
    }
}
