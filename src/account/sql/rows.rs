//! Conversion of records from rows and into statements. A value that cannot be read is an error,
//! never guessed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::engine::{BadColumn, Row, Statement};
use crate::account::{
    AccountError, ApiKey, Client, ClientSecret, KeyDigest, Login, User, UserKind, UserState,
};
use crate::clock::UnixTime;
use crate::secret::Secret;
use crate::session::UserId;

/// Signed integers end 292 million years from now; a later time is stored as that end.
pub(super) fn to_millis(time: UnixTime) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// The text of a password's hash.
///
/// # Errors
/// [`AccountError::Unavailable`] where it is no text; it is never stored cut or empty.
pub(super) fn hash(hash: &Secret) -> Result<&str, AccountError> {
    let problem = || AccountError::Unavailable("the hash of the password is no text".to_owned());
    hash.expose_str().ok_or_else(problem)
}

/// Appends the columns that `change_user` may change, in their order.
pub(super) fn bind_user(statement: Statement, user: &User) -> Statement {
    statement
        .text(user.username.as_str())
        .optional_text(user.email.as_ref().map(Login::as_str))
        .boolean(user.email_verified)
        .optional_text(user.full_name.as_deref())
        .text(user.kind.as_str())
        .text(user.state.as_str())
        .text(list(&user.roles))
        .text(list(&user.scopes))
        .text(Value::Object(user.claims.clone()).to_string())
        .text(Value::Object(user.properties.clone()).to_string())
        .number(to_millis(user.updated))
}

/// Appends the columns that `change_client` may change, in their order.
pub(super) fn bind_client(statement: Statement, client: &Client) -> Statement {
    let secrets: Vec<_> = client.secrets.iter().map(StoredSecret::of).collect();
    statement
        .optional_text(client.label.as_deref())
        .text(serde_json::to_string(&secrets).unwrap_or_default())
        .optional_text(client.jwks.as_ref().map(Value::to_string).as_deref())
        .text(list(&client.grants))
        .text(list(&client.scopes))
        .text(list(&client.audiences))
        .boolean(client.introspects)
}

/// A JSON array.
pub(super) fn list(members: &[String]) -> String {
    Value::from(members.to_vec()).to_string()
}

/// A client's secret as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredSecret {
    digest: String,
    expires: Option<u64>,
}

impl StoredSecret {
    fn of(secret: &ClientSecret) -> Self {
        let expires = secret.expires.map(UnixTime::as_millis);
        Self { digest: secret.digest.as_str().to_owned(), expires }
    }

    fn into_client_secret(self) -> ClientSecret {
        let expires = self.expires.map(UnixTime::from_millis);
        ClientSecret { digest: KeyDigest::from_store(self.digest), expires }
    }
}

/// Reads a user; the error names the record.
pub(super) fn user<R: Row>(row: &R) -> Result<User, AccountError> {
    record(row, "user", |row| {
        let login = |text: String, column| Login::parse(&text).map_err(|_| BadColumn(column));
        let email = row.optional_text("email")?;
        Ok(User {
            id: user_id(row, "id")?,
            username: login(row.text("username")?, "username")?,
            email: email.map(|email| login(email, "email")).transpose()?,
            email_verified: row.boolean("email_verified")?,
            full_name: row.optional_text("full_name")?,
            kind: UserKind::parse(&row.text("kind")?).ok_or(BadColumn("kind"))?,
            state: UserState::parse(&row.text("state")?).ok_or(BadColumn("state"))?,
            roles: json(row, "roles")?,
            scopes: json(row, "scopes")?,
            claims: json::<_, Map<String, Value>>(row, "claims")?,
            properties: json::<_, Map<String, Value>>(row, "properties")?,
            password: row.optional_text("password")?.map(Secret::new),
            created: time(row, "created")?,
            updated: time(row, "updated")?,
            last_login: optional_time(row, "last_login")?,
            verification_sent: optional_time(row, "verification_sent")?,
            reset_sent: optional_time(row, "reset_sent")?,
        })
    })
}

/// Reads an API key; the error names the record.
pub(super) fn key<R: Row>(row: &R) -> Result<ApiKey, AccountError> {
    record(row, "API key", |row| {
        Ok(ApiKey {
            id: row.text("id")?,
            user: user_id(row, "user_id")?,
            digest: KeyDigest::from_store(row.text("digest")?),
            label: row.optional_text("label")?,
            scopes: json(row, "scopes")?,
            created: time(row, "created")?,
            expires: optional_time(row, "expires")?,
            last_used: optional_time(row, "last_used")?,
        })
    })
}

/// Reads a client; the error names the record.
pub(super) fn client<R: Row>(row: &R) -> Result<Client, AccountError> {
    record(row, "client", |row| {
        let secrets: Vec<StoredSecret> = json(row, "secrets")?;
        let jwks = row.optional_text("jwks")?;
        let jwks = jwks.map(|text| serde_json::from_str(&text)).transpose();
        Ok(Client {
            id: row.text("id")?,
            label: row.optional_text("label")?,
            secrets: secrets.into_iter().map(StoredSecret::into_client_secret).collect(),
            jwks: jwks.map_err(|_| BadColumn("jwks"))?,
            grants: json(row, "grants")?,
            scopes: json(row, "scopes")?,
            audiences: json(row, "audiences")?,
            introspects: row.boolean("introspects")?,
            created: time(row, "created")?,
        })
    })
}

/// Names the record where one of its columns cannot be read.
pub(super) fn record<R: Row, T>(
    row: &R,
    what: &'static str,
    read: impl Fn(&R) -> Result<T, BadColumn>,
) -> Result<T, AccountError> {
    read(row).map_err(|BadColumn(column)| AccountError::Corrupt {
        what,
        id: row.text("id").unwrap_or_else(|_| "?".to_owned()),
        reason: format!("bad column {column}"),
    })
}

fn user_id<R: Row>(row: &R, column: &'static str) -> Result<UserId, BadColumn> {
    UserId::parse(&row.text(column)?).map_err(|_| BadColumn(column))
}

fn json<R: Row, T: for<'d> Deserialize<'d>>(row: &R, column: &'static str) -> Result<T, BadColumn> {
    serde_json::from_str(&row.text(column)?).map_err(|_| BadColumn(column))
}

pub(super) fn time<R: Row>(row: &R, column: &'static str) -> Result<UnixTime, BadColumn> {
    let millis = u64::try_from(row.number(column)?).map_err(|_| BadColumn(column))?;
    Ok(UnixTime::from_millis(millis))
}

fn optional_time<R: Row>(row: &R, column: &'static str) -> Result<Option<UnixTime>, BadColumn> {
    let number = row.optional_number(column)?;
    let millis = number.map(u64::try_from).transpose().map_err(|_| BadColumn(column))?;
    Ok(millis.map(UnixTime::from_millis))
}
