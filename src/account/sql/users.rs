//! The statements about users and their names.

use super::engine::{Engine, Statement};
use super::rows::{self, to_millis};
use super::{Done, Existed, Found, Several, change, one, readable, touched, user_numbers, written};
use crate::account::{AccountError, Login, SentMail, User, UserState};
use crate::clock::UnixTime;
use crate::secret::Secret;
use crate::session::UserId;

macro_rules! select_users {
    ($rest:literal) => {
        concat!(
            "SELECT id, username, email, email_verified, full_name, kind, state, roles, scopes, \
             claims, properties, password, created, updated, last_login, verification_sent, \
             reset_sent FROM users ",
            $rest
        )
    };
}

/// Moves `updated` on, in any case: whoever read the row before finds that it was changed.
macro_rules! updated {
    ($at:literal) => {
        concat!("updated = CASE WHEN updated < ", $at, " THEN ", $at, " ELSE updated + 1 END")
    };
}

/// The names that a user logs in with, in canonical form. They are sorted, so that two transactions
/// that want each other's names take them in one order and never deadlock.
fn login_names(user: &User) -> Vec<(&str, &'static str)> {
    let mut names = vec![(user.username.canonical(), "username")];
    let email = user.email.as_ref().map(Login::canonical);
    names.extend(email.filter(|email| *email != names[0].0).map(|email| (email, "e-mail")));
    names.sort_unstable();
    names
}

pub(super) async fn add_user(engine: &impl Engine, user: &User) -> Done {
    let names = login_names(user);
    let taken = |index| match index {
        0 => "user id",
        index => names.get(index - 1).map_or("name", |(_, what)| what),
    };
    written(engine.run(insertion(user)?).await, taken).map(drop)
}

/// The statements that add a user, its names last and in their order.
pub(super) fn insertion(user: &User) -> Result<Vec<Statement>, AccountError> {
    let hash = user.password.as_ref().map(rows::hash).transpose()?;
    let insert = Statement::new(
        "INSERT INTO users (username, email, email_verified, full_name, kind, state, roles, \
         scopes, claims, properties, updated, id, password, created, last_login, \
         verification_sent, reset_sent) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
    );
    let insert = rows::bind_user(insert, user)
        .text(user.id.as_str())
        .optional_text(hash)
        .number(to_millis(user.created))
        .optional_number(user.last_login.map(to_millis))
        .optional_number(user.verification_sent.map(to_millis))
        .optional_number(user.reset_sent.map(to_millis));
    let mut statements = vec![insert];
    statements.extend(login_names(user).into_iter().map(|(canonical, _)| {
        Statement::new("INSERT INTO login_names (canonical, user_id) VALUES ($1, $2)")
            .text(canonical)
            .text(user.id.as_str())
    }));
    Ok(statements)
}

pub(super) async fn user(engine: &impl Engine, id: &UserId) -> Found<User> {
    let statement = Statement::new(select_users!("WHERE id = $1")).text(id.as_str());
    one(engine, statement, rows::user).await
}

pub(super) async fn user_by_login(engine: &impl Engine, login: &Login) -> Found<User> {
    let statement = Statement::new(select_users!(
        "WHERE id = (SELECT user_id FROM login_names WHERE canonical = $1)"
    ));
    one(engine, statement.text(login.canonical()), rows::user).await
}

pub(super) async fn users(
    engine: &impl Engine,
    after: Option<&UserId>,
    limit: usize,
) -> Several<User> {
    // No id is empty, so all come after nothing.
    let statement = Statement::new(select_users!("WHERE id > $1 ORDER BY id LIMIT $2"))
        .text(after.map_or("", UserId::as_str))
        .number(i64::try_from(limit).unwrap_or(i64::MAX));
    readable(engine, statement, rows::user).await
}

pub(super) async fn change_user(engine: &impl Engine, user: &User, read: UnixTime) -> Existed {
    let names = login_names(user);
    let update = Statement::new(
        "UPDATE users SET username = $1, email = $2, email_verified = $3, full_name = $4, \
         kind = $5, state = $6, roles = $7, scopes = $8, claims = $9, properties = $10, \
         updated = $11 WHERE id = $12 AND updated = $13",
    );
    let update = rows::bind_user(update, user).text(user.id.as_str()).number(to_millis(read));
    let forget = Statement::new("DELETE FROM login_names WHERE user_id = $1");
    let mut statements = vec![update.required(), forget.text(user.id.as_str())];
    statements.extend(names.iter().map(|(canonical, _)| {
        Statement::new(
            "INSERT INTO login_names (canonical, user_id) SELECT $1, id FROM users WHERE id = $2",
        )
        .text(*canonical)
        .text(user.id.as_str())
    }));
    let before = statements.len() - names.len();
    let taken = |index: usize| {
        let name = index.checked_sub(before).and_then(|index| names.get(index));
        name.map_or("name", |(_, what)| what)
    };
    touched(written(engine.run(statements).await, taken))
}

pub(super) async fn set_state(
    engine: &impl Engine,
    id: &UserId,
    state: UserState,
    at: UnixTime,
) -> Existed {
    let statement =
        Statement::new(concat!("UPDATE users SET state = $2, ", updated!("$3"), " WHERE id = $1"));
    let statement = statement.text(id.as_str()).text(state.as_str()).number(to_millis(at));
    change(engine, statement).await
}

pub(super) async fn set_password(
    engine: &impl Engine,
    id: &UserId,
    hash: &Secret,
    instead_of: Option<&Secret>,
    at: UnixTime,
) -> Existed {
    let statement = Statement::new(concat!(
        "UPDATE users SET password = $2, ",
        updated!("$3"),
        " WHERE id = $1 AND ($4 IS NULL OR password = $4)"
    ));
    let statement = statement
        .text(id.as_str())
        .text(rows::hash(hash)?)
        .number(to_millis(at))
        .optional_text(instead_of.map(rows::hash).transpose()?);
    change(engine, statement).await
}

pub(super) async fn record_login(engine: &impl Engine, id: &UserId, at: UnixTime) -> Done {
    let statement = Statement::new(
        "UPDATE users SET last_login = $2 \
         WHERE id = $1 AND (last_login IS NULL OR last_login < $2)",
    );
    change(engine, statement.text(id.as_str()).number(to_millis(at))).await.map(drop)
}

pub(super) async fn record_sent(
    engine: &impl Engine,
    id: &UserId,
    mail: SentMail,
    at: UnixTime,
) -> Done {
    let statement = Statement::new(match mail {
        SentMail::Verification => {
            "UPDATE users SET verification_sent = $2 \
             WHERE id = $1 AND (verification_sent IS NULL OR verification_sent < $2)"
        }
        SentMail::Reset => {
            "UPDATE users SET reset_sent = $2 \
             WHERE id = $1 AND (reset_sent IS NULL OR reset_sent < $2)"
        }
    });
    change(engine, statement.text(id.as_str()).number(to_millis(at))).await.map(drop)
}

pub(super) async fn delete_user(engine: &impl Engine, id: &UserId) -> Existed {
    // Names and API keys go with it, by their foreign keys.
    let delete = Statement::new("DELETE FROM users WHERE id = $1").text(id.as_str());
    let mut statements = vec![delete.required()];
    statements.extend(user_numbers::retire(id));
    touched(written(engine.run(statements).await, |_| "value"))
}
