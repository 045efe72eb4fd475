//! `[[issuers]]` in the file: further sources of tokens, each with keys and rules of its own.

use std::time::Duration;

use super::file_permissions;
use super::introspection::{ONE_WAY, endpoint_of_table};
use super::jwks::{JwksConfig, problem_of_key_set, read_key_file, read_secret_file};
use super::reader::Reader;
use super::sources;
use super::tables::{IssuerTable, KeyTable, field};
use super::texts;
use super::tokens::{IssuerConfig, KeysConfig};
use crate::gate::introspection::IntrospectedIssuer;
use crate::secret::Secret;
use crate::token::jwks::Location;
use crate::token::ring::MAX_CANDIDATES;
use crate::token::{Issuer, KeyId, SessionRule, VerifyingKey, algorithm};

/// Rules of a table that says nothing else.
pub(super) struct IssuerDefaults {
    pub(super) leeway: Duration,
    pub(super) sessions: SessionRule,
    pub(super) at_jwt_only: bool,
    pub(super) introspection_timeout: Duration,
}

/// An issuer of the file: one whose tokens are signed, or one that is asked about them.
pub(super) enum TableIssuer {
    Signing(IssuerConfig),
    Introspected(IntrospectedIssuer),
}

/// Reads an issuer of the file.
pub(super) fn from_table(
    reader: &mut Reader<'_>,
    table: &IssuerTable,
    place: usize,
    usual: &IssuerDefaults,
    jwks: &JwksConfig,
) -> Option<TableIssuer> {
    let name = table.name.clone().unwrap_or_else(|| table.issuer.clone());
    let at = format!("issuers[{place}] ({name})");
    warn_of_open_files(reader, table, &at);
    let mut wrong = |problem: String| reader.mistakes.add(&at, problem);
    if table.issuer.is_empty() {
        wrong("`issuer` is empty".to_owned());
    }
    if table.audiences.iter().any(|audience| audience.trim().is_empty()) {
        wrong("`audiences` holds an empty name".to_owned());
    }
    let sessions =
        field(table.session_rule.as_deref(), SessionRule::parse, "session_rule: ", &mut wrong);
    let at_jwt_only = field(
        table.access_token_type.as_deref(),
        texts::at_jwt_only,
        "access_token_type: ",
        &mut wrong,
    );
    let user_prefix =
        field(table.user_prefix.as_deref(), texts::user_prefix, "user_prefix: ", &mut wrong);
    let is_asked = table.introspection_url.is_some();
    let usual_sessions = if is_asked { SessionRule::Ignored } else { usual.sessions };
    let issuer = Issuer {
        name: name.into(),
        iss: Some(table.issuer.clone()),
        audiences: table.audiences.clone(),
        default_audience: None,
        at_jwt_only: at_jwt_only.unwrap_or(usual.at_jwt_only),
        user_prefix: user_prefix.unwrap_or_default(),
        has_accounts: false,
        leeway: usual.leeway,
        sessions: sessions.unwrap_or(usual_sessions),
        keys: (),
    };
    if is_asked {
        let endpoint = endpoint_of_table(table, usual.introspection_timeout, &mut wrong)?;
        return Some(TableIssuer::Introspected(issuer.with_keys(endpoint)));
    }
    if table.has_parts_of_introspection() {
        wrong("`token_prefix` and `introspection_client_*` go with `introspection_url`".to_owned());
    }
    let keys = keys_of_table(table, jwks, &mut wrong)?;
    Some(TableIssuer::Signing(issuer.with_keys(keys)))
}

/// Warns of files that others may read, or replace.
fn warn_of_open_files(reader: &mut Reader<'_>, table: &IssuerTable, at: &str) {
    let keys = &table.keys;
    let secrets = keys.iter().filter_map(|key| key.secret_key_file.as_deref());
    let secrets = secrets.chain(table.introspection_client_secret_file.as_deref());
    for path in secrets.chain(table.secret_key_file.as_deref()) {
        file_permissions::warn_of_secret(&mut reader.mistakes, at, path);
    }
    let public = keys.iter().filter_map(|key| key.public_key_file.as_deref());
    let public = public.chain(table.public_key_file.as_deref());
    for path in public.chain(table.jwks_file.as_deref()) {
        file_permissions::warn_of_public(&mut reader.mistakes, at, path);
    }
}

fn keys_of_table(
    table: &IssuerTable,
    jwks: &JwksConfig,
    wrong: &mut impl FnMut(String),
) -> Option<KeysConfig> {
    let algorithm = field(table.algorithm.as_deref(), algorithm::parse, "", wrong);
    let own_key = table.algorithm.as_ref().map(|algorithm| KeyTable {
        kid: None,
        algorithm: algorithm.clone(),
        public_key: table.public_key.clone(),
        public_key_file: table.public_key_file.clone(),
        secret_key_file: table.secret_key_file.clone(),
    });
    let has_own_key = table.public_key.is_some()
        || table.public_key_file.is_some()
        || table.secret_key_file.is_some();
    if table.algorithm.is_some() && !table.keys.is_empty() {
        wrong("`algorithm` is without effect beside `keys`, each of which has its own".to_owned());
    }
    if has_own_key && own_key.is_none() {
        wrong("a key needs its `algorithm`".to_owned());
    }
    let url = field(table.jwks_url.as_deref(), |url| jwks.location(url), "jwks_url ", wrong);
    let location = url.or_else(|| table.jwks_file.clone().map(Location::File));
    if let Some(problem) =
        table.jwks_file.as_deref().and_then(|path| problem_of_key_set(path, algorithm))
    {
        wrong(format!("jwks_file: {problem}"));
    }
    let keys = own_key.iter().filter(|_| has_own_key).chain(&table.keys);
    let keys: Vec<_> = keys.filter_map(|key| key_from_table(key, wrong)).collect();
    check_number_of_keys(&keys, wrong);
    let ways =
        [has_own_key, !table.keys.is_empty(), table.jwks_file.is_some(), table.jwks_url.is_some()];
    if ways.iter().filter(|way| **way).count() != 1 {
        wrong(ONE_WAY.to_owned());
        return None;
    }
    if let Some(location) = location {
        return Some(KeysConfig::Published(jwks.source(location, algorithm)));
    }
    (!keys.is_empty()).then_some(KeysConfig::Fixed(keys))
}

/// Of keys that cannot be told apart, a bounded number is tried for a token; more would be idle.
fn check_number_of_keys(keys: &[VerifyingKey], wrong: &mut impl FnMut(String)) {
    for key in keys {
        let alike =
            |other: &&VerifyingKey| other.id() == key.id() && other.algorithm() == key.algorithm();
        if keys.iter().filter(alike).count() > MAX_CANDIDATES {
            wrong(format!("more than {MAX_CANDIDATES} keys share a `kid`, or have none"));
            return;
        }
    }
}

fn key_from_table(table: &KeyTable, wrong: &mut impl FnMut(String)) -> Option<VerifyingKey> {
    let id = table.kid.as_deref().map(KeyId::new);
    let key = algorithm::parse(&table.algorithm).map_err(|error| error.to_string()).and_then(
        |algorithm| match (&table.public_key, &table.public_key_file, &table.secret_key_file) {
            (Some(pem), None, None) => VerifyingKey::from_public_pem(id, algorithm, pem.as_bytes())
                .map_err(|error| error.to_string()),
            (None, Some(path), None) => {
                VerifyingKey::from_public_pem(id, algorithm, &read_key_file(path)?)
                    .map_err(|error| error.to_string())
            }
            (None, None, Some(path)) => {
                let secret = sources::without_line_end(&read_secret_file(path)?).to_vec();
                VerifyingKey::from_secret(id, algorithm, &Secret::new(secret))
                    .map_err(|error| error.to_string())
            }
            _ => Err("give exactly one of public_key, public_key_file, secret_key_file".to_owned()),
        },
    );
    key.map_err(wrong).ok()
}
