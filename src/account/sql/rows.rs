//! Conversion of records from rows and into statements. A value that cannot be read is an error,
//! never guessed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::engine::{BadColumn, Row, Statement};
use crate::account::{
    AccountError, AddressRange, ApiKey, Client, ClientSecret, KeyBounds, KeyDigest, KeyRefresh,
    Login, User, UserKind, UserState,
};
use crate::clock::UnixTime;
use crate::secret::Secret;
use crate::session::{SessionId, UserId};
use crate::wire::json;

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

/// Appends all columns of an API key, in the order in which they are inserted.
pub(super) fn bind_key(statement: Statement, key: &ApiKey) -> Statement {
    let (bounds, refresh) = (&key.bounds, key.refresh.as_ref());
    statement
        .text(&key.id)
        .text(key.user.as_str())
        .text(key.digest.as_str())
        .optional_text(key.label.as_deref())
        .text(list(&key.scopes))
        .optional_text(key.session.as_ref().map(SessionId::as_str))
        .optional_text(bounds.issuer.as_deref())
        .optional_text(bounds.audience.as_deref())
        .optional_text(bounds.subject.as_deref())
        .optional_text(bounds.address.map(|range| range.to_string()).as_deref())
        .optional_text(key.version.as_deref())
        .number(to_millis(key.created))
        .optional_number(key.not_before.map(to_millis))
        .optional_number(key.expires.map(to_millis))
        .optional_number(key.last_used.map(to_millis))
        .optional_text(refresh.map(|refresh| refresh.digest.as_str()))
        .optional_text(refresh.map(|refresh| refresh.family.as_str()))
        .optional_number(refresh.and_then(|refresh| refresh.not_before).map(to_millis))
        .optional_number(refresh.map(|refresh| to_millis(refresh.expires)))
        .optional_text(key.replaced_by.as_deref())
}

/// Reads an API key; the error names the record.
pub(super) fn key<R: Row>(row: &R) -> Result<ApiKey, AccountError> {
    record(row, "API key", |row| {
        let session = row.optional_text("session")?.map(|id| SessionId::parse(&id)).transpose();
        Ok(ApiKey {
            id: row.text("id")?,
            user: user_id(row, "user_id")?,
            digest: KeyDigest::from_store(row.text("digest")?),
            label: row.optional_text("label")?,
            scopes: json(row, "scopes")?,
            session: session.map_err(|_| BadColumn("session"))?,
            bounds: key_bounds(row)?,
            version: row.optional_text("version")?,
            created: time(row, "created")?,
            not_before: optional_time(row, "not_before")?,
            expires: optional_time(row, "expires")?,
            last_used: optional_time(row, "last_used")?,
            refresh: key_refresh(row)?,
            replaced_by: row.optional_text("replaced_by")?,
        })
    })
}

fn key_bounds<R: Row>(row: &R) -> Result<KeyBounds, BadColumn> {
    let address = row.optional_text("address")?.map(|text| text.parse::<AddressRange>());
    Ok(KeyBounds {
        issuer: row.optional_text("issuer")?,
        audience: row.optional_text("audience")?,
        subject: row.optional_text("subject")?,
        address: address.transpose().map_err(|_| BadColumn("address"))?,
    })
}

fn key_refresh<R: Row>(row: &R) -> Result<Option<KeyRefresh>, BadColumn> {
    // SQLite gives an empty text, and a zero, for what is missing and is not asked for so.
    let Some(digest) = row.optional_text("refresh_digest")? else { return Ok(None) };
    Ok(Some(KeyRefresh {
        digest: KeyDigest::from_store(digest),
        family: row.optional_text("family")?.ok_or(BadColumn("family"))?,
        not_before: optional_time(row, "refresh_not_before")?,
        expires: optional_time(row, "refresh_expires")?.ok_or(BadColumn("refresh_expires"))?,
    }))
}

/// Reads a client; the error names the record.
pub(super) fn client<R: Row>(row: &R) -> Result<Client, AccountError> {
    record(row, "client", |row| {
        let secrets: Vec<StoredSecret> = json(row, "secrets")?;
        let jwks = row.optional_text("jwks")?;
        let jwks = jwks.map(|text| json::from_str(&text)).transpose();
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

pub(super) fn json<R: Row, T: for<'d> Deserialize<'d>>(
    row: &R,
    column: &'static str,
) -> Result<T, BadColumn> {
    json::from_str(&row.text(column)?).map_err(|_| BadColumn(column))
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
