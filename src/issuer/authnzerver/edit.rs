//! Requests that change what is known of a user.

use serde_json::{Map, Value};

use super::answer::Answer;
use super::schema::Parameters;
use super::session_tokens::merge;
use super::users::failure;
use super::{Actions, Outcome, ids, profile};
use crate::account::{Login, User};
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::issuer::users::{Actor, fields};

const NOT_CHANGED: &str = "The user was not changed.";
/// The columns that everybody may change of himself.
const OWN: [&str; 2] = ["full_name", "email"];
/// The columns that a superuser may change of anybody.
const OF_ANYBODY: [&str; 5] = ["full_name", "email", "is_active", "user_role", "email_verified"];
/// The columns that a frontend may change by itself.
const INTERNAL: [&str; 6] =
    ["full_name", "email", "is_active", "user_role", "email_verified", "extra_info"];

/// An update of a user, read.
#[derive(Debug, Default)]
struct Update {
    /// Empty: it is taken away.
    full_name: Option<String>,
    email: Option<Login>,
    email_verified: Option<bool>,
    /// The right to log in.
    is_active: Option<bool>,
    role: Option<String>,
    extra_info: Option<Map<String, Value>>,
}

impl Update {
    /// Reads an update that may hold these columns.
    fn read(columns: &Map<String, Value>, allowed: &[&str]) -> Result<Self, String> {
        let mut update = Self::default();
        if columns.is_empty() {
            return Err("update_dict is empty".to_owned());
        }
        for (column, value) in columns {
            if !allowed.contains(&column.as_str()) {
                return Err(format!("{column} may not be changed"));
            }
            let wrong = || format!("{column} is of the wrong type");
            match column.as_str() {
                "full_name" if value.is_null() => update.full_name = Some(String::new()),
                "full_name" => {
                    let name = value.as_str().ok_or_else(wrong)?.trim();
                    update.full_name = Some(name.to_owned());
                }
                "email" => update.email = Some(fields::email(value.as_str().ok_or_else(wrong)?)?),
                "email_verified" => {
                    update.email_verified = Some(value.as_bool().ok_or_else(wrong)?);
                }
                "is_active" => update.is_active = Some(value.as_bool().ok_or_else(wrong)?),
                "user_role" => update.role = Some(value.as_str().ok_or_else(wrong)?.to_owned()),
                "extra_info" if value.is_null() => {}
                _ => update.extra_info = Some(value.as_object().ok_or_else(wrong)?.clone()),
            }
        }
        Ok(update)
    }

    /// Makes the change. A new e-mail is not verified, unless the update says so.
    fn apply(&self, user: &mut User) {
        if let Some(name) = &self.full_name {
            user.full_name = Some(name.clone()).filter(|name| !name.is_empty());
        }
        if let Some(email) = &self.email {
            let is_other = user.email.as_ref() != Some(email);
            if user.email.as_ref() == Some(&user.username) {
                user.username.clone_from(email);
            }
            user.email = Some(email.clone());
            user.email_verified &= !is_other;
        }
        if let Some(is_verified) = self.email_verified {
            user.email_verified = is_verified;
        }
        if let Some(role) = self.role.as_ref().filter(|role| *role != profile::LOCKED) {
            user.roles.retain(|own| !profile::ROLES.contains(&own.as_str()) && own != role);
            user.roles.insert(0, role.clone());
        }
        if let Some(extra_info) = &self.extra_info {
            let system_id = user.properties.get(profile::SYSTEM_ID).cloned();
            merge(&mut user.properties, extra_info);
            user.properties.remove(profile::SYSTEM_ID);
            user.properties.extend(system_id.map(|id| (profile::SYSTEM_ID.to_owned(), id)));
        }
    }

    /// The lock that the update asks for; `None`: it stays as it is.
    fn locks(&self) -> Option<bool> {
        let by_role = self.role.as_ref().map(|role| role == profile::LOCKED);
        match (self.is_active, by_role) {
            (Some(is_active), _) => Some(!is_active),
            (None, Some(true)) => Some(true),
            (None, _) => None,
        }
    }
}

impl Actions {
    /// Changes a user, by itself or by a superuser.
    pub(super) async fn user_edit(&self, given: &Parameters, caller: &Caller) -> Outcome {
        let target = match self.target(given).await? {
            Ok(target) => target,
            Err(reason) => return Ok(failure(reason, NOT_CHANGED)),
        };
        let Some(user) = self.originator(given).await? else {
            let reason = "the session is not that of this user and role";
            return Ok(failure(reason, NOT_CHANGED));
        };
        let is_own = ids::read(given.value("target_userid")).as_ref() == Some(&user.id);
        let (allowed, actor) = match profile::role(&user) {
            "superuser" => (&OF_ANYBODY[..], Actor::Administrator(caller)),
            "authenticated" | "staff" if is_own => (&OWN[..], Actor::Owner(caller)),
            _ => return Ok(failure("this role changes no other user", NOT_CHANGED)),
        };
        self.edit(&target, given, allowed, actor).await
    }

    pub(super) async fn internal_user_edit(&self, given: &Parameters, caller: &Caller) -> Outcome {
        let target = match self.target(given).await? {
            Ok(target) => target,
            Err(reason) => return Ok(failure(reason, NOT_CHANGED)),
        };
        self.edit(&target, given, &INTERNAL, Actor::Administrator(caller)).await
    }

    async fn edit(
        &self,
        target: &User,
        given: &Parameters,
        allowed: &[&str],
        actor: Actor<'_>,
    ) -> Outcome {
        let columns = given.object("update_dict").cloned().unwrap_or_default();
        let update = match Update::read(&columns, allowed) {
            Ok(update) => update,
            Err(reason) => return Ok(failure(&reason, NOT_CHANGED)),
        };
        if update.role.as_deref().is_some_and(|role| !self.is_role(role)) {
            return Ok(failure("there is no such role", NOT_CHANGED));
        }
        let change = |user: &mut User| {
            update.apply(user);
            Ok(())
        };
        match self.issuance.users.change(&target.id, actor, change).await {
            Ok(_) => {}
            Err(IssueError::Taken(what)) => {
                return Ok(failure(&format!("this {what} is taken"), NOT_CHANGED));
            }
            Err(IssueError::NotFound) => {
                return Ok(failure("there is no such user", NOT_CHANGED));
            }
            Err(IssueError::InvalidRequest(reason)) => return Ok(failure(&reason, NOT_CHANGED)),
            Err(error) => return Err(error),
        }
        if let Some(locks) = update.locks()
            && !self.set_lock(target, locks, &Caller::default()).await?
        {
            return Ok(failure("the e-mail is not verified yet", NOT_CHANGED));
        }
        let Some(user) = self.accounts.user(&target.id).await? else {
            return Ok(failure("there is no such user", NOT_CHANGED));
        };
        Ok(Answer::success("The user is changed.").with("user_info", profile::info(&user)))
    }

    /// True for a role of authnzerver's, or of the model in force.
    fn is_role(&self, role: &str) -> bool {
        role == profile::LOCKED
            || profile::ROLES.contains(&role)
            || self.issuance.permissions.has_role(role)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::UnixTime;
    use crate::session::UserId;

    fn alice() -> User {
        let login = Login::parse("alice@example.org").expect("a name");
        let user = User::new(UserId::parse("7").expect("an id"), login.clone(), UnixTime::EPOCH);
        let roles = ["authenticated", "editor"].map(str::to_owned).to_vec();
        User { email: Some(login), email_verified: true, roles, ..user }
    }

    fn read(columns: &Value) -> Result<Update, String> {
        Update::read(columns.as_object().expect("an object"), &INTERNAL)
    }

    fn changed(columns: &Value) -> User {
        let mut user = alice();
        read(columns).expect("readable").apply(&mut user);
        user
    }

    #[test]
    fn a_role_takes_the_place_of_authnzervers_and_leaves_the_others() {
        assert_eq!(changed(&json!({ "user_role": "staff" })).roles, ["staff", "editor"]);
        assert_eq!(changed(&json!({ "user_role": "editor" })).roles, ["editor"]);
        assert_eq!(changed(&json!({ "user_role": "locked" })).roles, alice().roles);
    }

    #[test]
    fn another_e_mail_is_not_verified_unless_it_is_said() {
        let other = changed(&json!({ "email": "a@example.com" }));
        assert!(!other.email_verified && other.username.canonical() == "a@example.com");
        assert!(changed(&json!({ "email": "ALICE@example.org" })).email_verified);
        let said = changed(&json!({ "email": "a@example.com", "email_verified": true }));
        assert!(said.email_verified);
    }

    #[test]
    fn properties_are_merged_and_the_system_id_stays() {
        let mut user = alice();
        user.properties =
            json!({ "system_id": "s", "a": 1, "b": 2 }).as_object().expect("it").clone();
        let update = json!({ "extra_info": { "system_id": "x", "a": "__delete__", "c": 3 } });
        read(&update).expect("readable").apply(&mut user);
        assert_eq!(Value::Object(user.properties), json!({ "system_id": "s", "b": 2, "c": 3 }));
    }

    #[test]
    fn what_may_not_be_changed_or_is_of_another_type_is_refused() {
        for bad in [
            json!({}),
            json!({ "password": "x" }),
            json!({ "user_id": 1 }),
            json!({ "is_active": 1 }),
            json!({ "email": "nobody" }),
            json!({ "full_name": 7 }),
            json!({ "extra_info": [] }),
        ] {
            assert!(read(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_state_follows_from_activity_and_the_role_locked() {
        for (columns, expected) in [
            (json!({ "is_active": true }), Some(false)),
            (json!({ "is_active": false }), Some(true)),
            (json!({ "user_role": "locked" }), Some(true)),
            (json!({ "user_role": "staff" }), None),
        ] {
            assert_eq!(read(&columns).expect("readable").locks(), expected, "{columns}");
        }
    }
}
