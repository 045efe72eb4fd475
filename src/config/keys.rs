//! Issuers whose tokens are accepted, their keys, and the key that signs, where there is one.

use super::introspection::check_distinct_tokens;
use super::issuer_conflicts;
use super::issuers::{IssuerDefaults, TableIssuer, from_table};
use super::jwks::{JwksConfig, published};
use super::key_material::KeyMaterial;
use super::lifetimes::leeway;
use super::reader::Reader;
use super::settings::{self, KEY_SOURCES};
use super::signer::{Pair, dev_issuer, dev_key, ring_file};
use super::tokens::{IssuerConfig, KeysConfig, TokenConfig};
use crate::token::Issuer;

/// Reads everything about tokens. Where no key is configured, the one that `dev` made serves those
/// who ask for it.
pub(super) fn read(reader: &mut Reader<'_>, with_dev_key: bool) -> TokenConfig {
    let tables = &reader.sources().issuers;
    let mode = reader.get(settings::TOKEN_MODE);
    let material = KeyMaterial::read(reader);
    let jwks = JwksConfig::read(reader);
    let ring = ring_file(reader);
    let mut config = TokenConfig { mode, ring, ..TokenConfig::default() };
    let Own { pair: (keys, signing), dev_issuer } =
        Own::read(reader, &material, &jwks, config.ring.is_some(), with_dev_key);
    config.signing = signing;
    if let Some(KeysConfig::Fixed(own)) = &keys {
        config.own_keys.clone_from(own);
    }
    if !tables.is_empty() {
        issuer_conflicts::check(reader, tables, keys.is_some(), mode);
    }
    let usual = IssuerDefaults {
        leeway: leeway(reader),
        sessions: reader.get(settings::SESSION_RULE),
        at_jwt_only: reader.get(settings::ACCESS_TOKEN_TYPE),
        introspection_timeout: reader.get(settings::INTROSPECTION_TIMEOUT),
    };
    let iss = match dev_issuer {
        Some(name) if !reader.is_set(settings::ISSUER) => Some(name),
        // jwthenticator's tokens carry no `iss`, so with its names alone none is expected.
        _ if material.is_of_jwthenticator => reader.if_set(settings::ISSUER).flatten(),
        _ => reader.get(settings::ISSUER),
    };
    config.issuers.extend(of_settings(reader, keys, iss, &usual));
    for (place, table) in tables.iter().enumerate() {
        match from_table(reader, table, place, &usual, &jwks) {
            Some(TableIssuer::Signing(issuer)) => config.issuers.push(issuer),
            Some(TableIssuer::Introspected(issuer)) => config.introspected.push(issuer),
            None => {}
        }
    }
    let signing = config.issuers.iter().map(|issuer| issuer.with_keys(()));
    let asked = config.introspected.iter().map(|issuer| issuer.with_keys(()));
    let all: Vec<Issuer<()>> = signing.chain(asked).collect();
    check_together(reader, &all);
    check_distinct_users(reader, &all);
    check_distinct_tokens(&mut reader.mistakes, &config.introspected);
    config
}

/// The keys of the issuer that the settings are about.
struct Own {
    pair: Pair,
    /// The name that `dev` issued under, where it is its key.
    dev_issuer: Option<String>,
}

impl Own {
    fn read(
        reader: &mut Reader<'_>,
        material: &KeyMaterial,
        jwks: &JwksConfig,
        has_ring: bool,
        with_dev_key: bool,
    ) -> Self {
        let published = published(reader, jwks, material.algorithm_if_set);
        let has_key = material.has_any();
        if has_key && published.is_some() {
            let problem = "a key is set too; give each issuer its own in [[issuers]]";
            if reader.is_set(settings::JWKS_URL) {
                reader.wrong(settings::JWKS_URL, problem);
            } else {
                reader.wrong(settings::JWKS_FILE, problem);
            }
        }
        // Looked at in any case: what is wrong with it is told, whether it is used or not.
        let of_material = if has_key { material.keys(reader) } else { (None, None) };
        let is_named = KEY_SOURCES.iter().any(|source| reader.is_named(*source));
        let mut name = None;
        let pair = if has_ring {
            (Some(KeysConfig::Ring), None)
        } else if let Some(source) = published {
            (Some(KeysConfig::Published(source)), None)
        } else if has_key {
            of_material
        } else if reader.sources().issuers.is_empty() && reader.sources().is_whole && !is_named {
            let data_dir = with_dev_key.then(|| reader.get(settings::DATA_DIR));
            name = data_dir.as_deref().and_then(dev_issuer);
            dev_key(reader, data_dir.as_deref())
        } else {
            (None, None)
        };
        Self { pair, dev_issuer: name }
    }
}

/// The issuer that the settings are about, where it has keys.
fn of_settings(
    reader: &mut Reader<'_>,
    keys: Option<KeysConfig>,
    iss: Option<String>,
    usual: &IssuerDefaults,
) -> Option<IssuerConfig> {
    let audiences = reader.get(settings::JWT_AUDIENCE);
    let user_prefix = reader.get(settings::USER_PREFIX);
    let keys = keys?;
    Some(IssuerConfig {
        name: iss.as_deref().unwrap_or("any").into(),
        // Whoever holds these keys may be our own issuer, which names itself in `aud`.
        default_audience: iss.clone().filter(|_| !matches!(keys, KeysConfig::Published(_))),
        iss,
        audiences,
        at_jwt_only: usual.at_jwt_only,
        user_prefix,
        has_accounts: false,
        leeway: usual.leeway,
        sessions: usual.sessions,
        keys,
    })
}

/// Two issuers must not go by one name, and one that is not checked stands alone.
fn check_together(reader: &mut Reader<'_>, issuers: &[Issuer<()>]) {
    if issuers.len() > 1 && issuers.iter().any(|issuer| issuer.iss.is_none()) {
        reader.wrong(
            settings::ISSUER,
            "with several issuers each must be named; this one is not checked",
        );
    }
    for (place, issuer) in issuers.iter().enumerate() {
        if issuers[..place].iter().any(|earlier| earlier.iss == issuer.iss) {
            let name = issuer.iss.as_deref().unwrap_or("(not checked)");
            reader.mistakes.add("issuers", format!("{name:?} is there twice"));
        }
    }
}

/// Warns where users of several issuers may go by one name. A name may itself begin like a prefix,
/// so that users are told apart only by prefixes of which none is the beginning of another.
fn check_distinct_users(reader: &mut Reader<'_>, issuers: &[Issuer<()>]) {
    let clashes = |(place, issuer): (usize, &Issuer<()>)| {
        let others = issuers.iter().enumerate().filter(|(other, _)| *other != place);
        others
            .map(|(_, other)| other)
            .any(|other| other.user_prefix.starts_with(&issuer.user_prefix))
    };
    if issuers.iter().enumerate().any(clashes) {
        reader.mistakes.warn(
            "issuers",
            "several issuers may name their users alike, and X-Auth-User does not tell them apart: \
             let the app look at X-Auth-Issuer too, or give each a `user_prefix` (USER_PREFIX for the \
             issuer outside [[issuers]]) of which none is the beginning of another",
        );
    }
}
