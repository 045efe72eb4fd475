//! Whose tokens are accepted, with which keys; and the key that signs, where there is one.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::identities;
use super::issuer_conflicts;
use super::issuers::{IssuerDefaults, from_table};
use super::jwks::{JwksConfig, published};
use super::reader::Reader;
use super::ring;
use super::tables::IssuerTable;
use super::tokens::{IssuerConfig, KeysConfig, TokenConfig, TokenMode};
use crate::secret::Secret;
use crate::token::key::{self, KeyError};
use crate::token::{Algorithm, SessionRule, SigningKey, VerifyingKey, algorithm};

/// The file in DATA_DIR that `dev` keeps its signing key in.
pub const DEV_KEY_FILE: &str = "signing-key.pem";
/// The algorithm of that key: short signatures, and every library reads it.
pub const DEV_KEY_ALGORITHM: Algorithm = Algorithm::ES256;
/// The file beside it with the name that `dev` issues under.
pub const DEV_ISSUER_FILE: &str = "issuer";

/// What is wrong where something has to be signed and nothing can.
pub(super) const NO_SIGNER: &str = "there is no key that signs: set KEY_RING_FILE (`portcullis key rotate` \
                                    makes it), PRIVATE_KEY_FILE or SECRET_KEY_FILE";
/// Where such a key would be.
const SIGNERS: [&str; 4] = ["KEY_RING_FILE", "PRIVATE_KEY", "RSA_PRIVATE_KEY", "SECRET_KEY"];

/// Whether no key signs, and no mistake about one was told already.
pub(super) fn lacks_signer(reader: &Reader<'_>, tokens: &TokenConfig) -> bool {
    let is_reported =
        !reader.mistakes.is_empty() && SIGNERS.iter().any(|name| reader.is_named(name));
    tokens.signing.is_none() && tokens.ring.is_none() && !is_reported
}

/// The unit of LEEWAY.
const MINUTE: Duration = Duration::from_secs(60);
/// More than this is hardly what clocks differ by; it is tp-auth's default.
const MUCH_LEEWAY: Duration = Duration::from_secs(600);

/// The settings that say where keys are.
pub(super) const SOURCES: [&str; 8] = [
    "KEY_RING_FILE",
    "PUBLIC_KEY",
    "PRIVATE_KEY",
    "SECRET_KEY",
    "RSA_PUBLIC_KEY",
    "RSA_PRIVATE_KEY",
    "JWKS_FILE",
    "JWKS_URL",
];

/// Reads everything about tokens. Where no key is configured, the one that `dev` made serves those
/// who name the folder it is in.
pub(super) fn read(
    reader: &mut Reader<'_>,
    tables: &[IssuerTable],
    dev_key_in: Option<&Path>,
) -> TokenConfig {
    let mode = reader.parsed("TOKEN_MODE", TokenMode::parse);
    let mut config = TokenConfig { mode, ..TokenConfig::default() };
    let material = KeyMaterial::read(reader);
    let jwks = JwksConfig::read(reader);
    let published = published(reader, &jwks, material.algorithm_if_set);
    let has_key = material.has_any();
    if has_key && published.is_some() {
        let name = if reader.found("JWKS_URL").is_some() { "JWKS_URL" } else { "JWKS_FILE" };
        reader.wrong(name, "a key is set too; give each issuer its own in [[issuers]]");
    }
    config.ring = ring::file(reader);
    // Looked at in any case: what is wrong with it is told, whether it is used or not.
    let of_material = if has_key { material.keys(reader) } else { (None, None) };
    let mut devs_issuer = None;
    let (keys, signing) = if config.ring.is_some() {
        (Some(KeysConfig::Ring), None)
    } else if let Some(source) = published {
        (Some(KeysConfig::Published(source)), None)
    } else if has_key {
        of_material
    } else if tables.is_empty() && reader.is_whole() && !names_a_key(reader) {
        devs_issuer = dev_key_in.and_then(dev_issuer);
        dev_key(reader, dev_key_in)
    } else {
        (None, None)
    };
    config.signing = signing;
    if let Some(KeysConfig::Fixed(own)) = &keys {
        config.own_keys.clone_from(own);
    }
    if !tables.is_empty() {
        issuer_conflicts::check(reader, tables, keys.is_some(), mode);
    }
    let iss = devs_issuer
        .filter(|_| reader.found("ISSUER").is_none())
        .or_else(|| issuer_text(reader, material.is_of_jwthenticator));
    let audiences = reader.list("JWT_AUDIENCE");
    let leeway = leeway(reader);
    let sessions = reader.parsed("SESSION_RULE", SessionRule::parse);
    let at_jwt_only = reader.parsed("ACCESS_TOKEN_TYPE", identities::at_jwt_only);
    let user_prefix = reader.parsed("USER_PREFIX", identities::user_prefix);
    if let Some(keys) = keys {
        let name = iss.clone().unwrap_or_else(|| "any".to_owned());
        // Whoever holds these keys may be our own issuer, which names itself in `aud`.
        let default_audience = iss.clone().filter(|_| !matches!(keys, KeysConfig::Published(_)));
        config.issuers.push(IssuerConfig {
            name,
            iss,
            audiences,
            default_audience,
            at_jwt_only,
            user_prefix,
            leeway,
            sessions,
            keys,
        });
    }
    let usual = IssuerDefaults { leeway, sessions, at_jwt_only };
    for (place, table) in tables.iter().enumerate() {
        config.issuers.extend(from_table(reader, table, place, &usual, &jwks));
    }
    check_together(reader, &config.issuers);
    identities::check_distinct_users(reader, &config.issuers);
    config
}

/// By how much clocks may differ. It is read in minutes, as tp-auth does: whoever means seconds
/// is told.
pub(super) fn leeway(reader: &mut Reader<'_>) -> Duration {
    let leeway = reader.duration("LEEWAY", MINUTE, 0.0, 1_440.0);
    if leeway > MUCH_LEEWAY {
        let minutes = leeway.as_secs_f64() / MINUTE.as_secs_f64();
        reader.warn(
            "LEEWAY",
            format!("is {minutes} minutes, not seconds: tokens are good for so long after `exp`"),
        );
    }
    leeway
}

/// Whether some setting says where keys are, be it wrongly.
fn names_a_key(reader: &Reader<'_>) -> bool {
    SOURCES.iter().any(|name| reader.is_named(name))
}

/// ISSUER; jwthenticator's tokens carry no `iss`, so with its names alone none is expected.
fn issuer_text(reader: &Reader<'_>, is_of_jwthenticator: bool) -> Option<String> {
    if reader.found("ISSUER").is_none() && is_of_jwthenticator {
        return None;
    }
    reader.optional("ISSUER")
}

/// Two issuers must not go by one name, and one that is not checked stands alone.
fn check_together(reader: &mut Reader<'_>, issuers: &[IssuerConfig]) {
    if issuers.len() > 1 && issuers.iter().any(|issuer| issuer.iss.is_none()) {
        reader.wrong("ISSUER", "with several issuers each must be named; this one is not checked");
    }
    for (place, issuer) in issuers.iter().enumerate() {
        if issuers[..place].iter().any(|earlier| earlier.iss == issuer.iss) {
            let name = issuer.iss.as_deref().unwrap_or("(not checked)");
            reader.mistakes.add("issuers", format!("{name:?} is there twice"));
        }
    }
}

/// The key material of the flat settings, under the names of both older systems.
struct KeyMaterial {
    public: Option<(&'static str, Vec<u8>)>,
    private: Option<(&'static str, Secret)>,
    secret: Option<Secret>,
    /// `None` where the name that was set is none.
    algorithm: Option<Algorithm>,
    algorithm_if_set: Option<Algorithm>,
    is_of_jwthenticator: bool,
}

impl KeyMaterial {
    fn read(reader: &mut Reader<'_>) -> Self {
        let public = one_of(reader, "PUBLIC_KEY", "RSA_PUBLIC_KEY");
        let private = one_of(reader, "PRIVATE_KEY", "RSA_PRIVATE_KEY");
        let is_of_jwthenticator = [&public, &private]
            .iter()
            .any(|found| found.as_ref().is_some_and(|(name, _)| name.starts_with("RSA_")));
        let set = reader.found("ALGORITHM").map(|found| found.text.trim().to_owned());
        let is_set = set.is_some();
        let algorithm_if_set = set.and_then(|name| match algorithm::parse(&name) {
            Ok(algorithm) => Some(algorithm),
            Err(error) => {
                let upper = name.to_ascii_uppercase();
                let problem = if upper == "NONE" {
                    "`none` would let everybody in: unsigned tokens are never accepted".to_owned()
                } else if algorithm::parse(&upper).is_ok() {
                    format!("names of algorithms are in capitals: write {upper}")
                } else {
                    error.to_string()
                };
                reader.wrong("ALGORITHM", problem);
                None
            }
        });
        let usual = if is_of_jwthenticator { Algorithm::RS256 } else { Algorithm::HS256 };
        Self {
            public: public.map(|(name, text)| (name, text.expose().to_vec())),
            private,
            secret: reader.secret("SECRET_KEY"),
            algorithm: if is_set { algorithm_if_set } else { Some(usual) },
            algorithm_if_set,
            is_of_jwthenticator,
        }
    }

    fn has_any(&self) -> bool {
        self.public.is_some() || self.private.is_some() || self.secret.is_some()
    }

    /// The keys for the configured algorithm. The rest of the material is not used, as in the
    /// older systems, where deployments set more than they need.
    fn keys(&self, reader: &mut Reader<'_>) -> (Option<KeysConfig>, Option<SigningKey>) {
        if let Some((name, pem)) = &self.public
            && key::is_private_pem(pem)
        {
            reader.wrong(name, KeyError::PrivateWherePublic.to_string());
            return (None, None);
        }
        let Some(algorithm) = self.algorithm else {
            return (None, None);
        };
        self.check_used(reader, algorithm);
        if algorithm::is_symmetric(algorithm) {
            return self.symmetric(reader, algorithm);
        }
        let signing = self.private.as_ref().and_then(|(name, pem)| {
            let key = SigningKey::from_private_pem(algorithm, pem);
            key.map_err(|error| reader.wrong(name, error.to_string())).ok()
        });
        let public = self.public.as_ref().and_then(|(name, pem)| {
            let key = VerifyingKey::from_public_pem(None, algorithm, pem);
            key.map_err(|error| reader.wrong(name, error.to_string())).ok()
        });
        if let (Some(signing), Some(public)) = (&signing, &public)
            && !signing.verifying().same_as(public)
        {
            reader.wrong("PRIVATE_KEY", "does not belong to PUBLIC_KEY: they are no pair");
        }
        if self.public.is_none() && self.private.is_none() {
            let name = algorithm::name(algorithm);
            reader.wrong("ALGORITHM", format!("{name} needs PUBLIC_KEY, and it is not set"));
        }
        let verifying = public.or_else(|| signing.as_ref().map(|key| key.verifying().clone()));
        (verifying.map(|key| KeysConfig::Fixed(vec![key])), signing)
    }

    /// Which of two kinds of keys is used is for ALGORITHM to say, and what is not used is told.
    fn check_used(&self, reader: &mut Reader<'_>, algorithm: Algorithm) {
        let pair = self.public.as_ref().map(|(name, _)| *name);
        let pair = pair.or(self.private.as_ref().map(|(name, _)| *name));
        let (Some(pair), true) = (pair, self.secret.is_some()) else { return };
        let name = algorithm::name(algorithm);
        if reader.found("ALGORITHM").is_none() {
            let problem = format!("{pair} is set too: ALGORITHM has to say which of them is used");
            reader.wrong("SECRET_KEY", problem);
        } else if algorithm::is_symmetric(algorithm) {
            reader.warn(pair, format!("is not used: ALGORITHM is {name}, which takes SECRET_KEY"));
        } else {
            reader.warn("SECRET_KEY", format!("is not used: ALGORITHM is {name}, for {pair}"));
        }
    }

    fn symmetric(
        &self,
        reader: &mut Reader<'_>,
        algorithm: Algorithm,
    ) -> (Option<KeysConfig>, Option<SigningKey>) {
        let name = algorithm::name(algorithm);
        let Some(secret) = &self.secret else {
            let problem = format!(
                "{name} needs SECRET_KEY, and it is not set; a key in PEM needs ALGORITHM, \
                 for example RS256"
            );
            reader.wrong("ALGORITHM", problem);
            return (None, None);
        };
        match SigningKey::from_secret(algorithm, secret) {
            Ok(key) => (Some(KeysConfig::Fixed(vec![key.verifying().clone()])), Some(key)),
            Err(error) => {
                reader.wrong("SECRET_KEY", error.to_string());
                (None, None)
            }
        }
    }
}

/// The value that goes by one of two names; where both are set they must agree.
fn one_of(
    reader: &mut Reader<'_>,
    name: &'static str,
    other: &'static str,
) -> Option<(&'static str, Secret)> {
    let read = |name| reader.secret(name).map(|secret| trimmed(&unpack_base64(&secret)));
    let same_layer = reader.layer(name) == reader.layer(other);
    match (read(name), read(other)) {
        (Some(_), Some(second)) if reader.layer(other) > reader.layer(name) => {
            Some((other, second))
        }
        (Some(first), Some(second)) if same_layer && first != second => {
            reader.wrong(other, format!("disagrees with {name}: they are two names for one thing"));
            Some((name, first))
        }
        (Some(first), _) => Some((name, first)),
        (None, second) => second.map(|second| (other, second)),
    }
}

/// PEM as it is; what is not PEM is taken for base64 of PEM, tp-auth's form.
fn unpack_base64(text: &Secret) -> Secret {
    if key::looks_like_pem(text.expose()) {
        return text.clone();
    }
    let packed: Vec<u8> =
        text.expose().iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(packed).map_or_else(|_| text.clone(), Secret::new)
}

/// Without the line ends that editors leave: two copies of one key are one key.
fn trimmed(text: &Secret) -> Secret {
    Secret::new(text.expose().trim_ascii().to_vec())
}

/// The name that `dev` issued under when it last ran here.
fn dev_issuer(data_dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(data_dir.join(DEV_ISSUER_FILE)).ok()?;
    Some(text.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The key that `dev` made, where it may be used; else there is none, which is a mistake.
fn dev_key(
    reader: &mut Reader<'_>,
    data_dir: Option<&Path>,
) -> (Option<KeysConfig>, Option<SigningKey>) {
    let path = data_dir.map(|folder| folder.join(DEV_KEY_FILE));
    let pem = path.as_ref().and_then(|path| std::fs::read(path).ok());
    let (Some(path), Some(pem)) = (path, pem) else {
        if reader.boolean("AUTHORIZATION_SERVER") {
            reader.mistakes.add("AUTHORIZATION_SERVER", NO_SIGNER);
            return (None, None);
        }
        let way_out = if data_dir.is_some() {
            "or run `portcullis dev` first, which makes one"
        } else {
            "the key that `portcullis dev` made is never used unasked"
        };
        let problem = format!(
            "there is no key: set ALGORITHM and PUBLIC_KEY_FILE (or RSA_PUBLIC_KEY_PATH), \
             SECRET_KEY_FILE, JWKS_URL or JWKS_FILE; {way_out}"
        );
        reader.mistakes.add("PUBLIC_KEY", problem);
        return (None, None);
    };
    match SigningKey::from_private_pem(DEV_KEY_ALGORITHM, &Secret::new(pem)) {
        Ok(key) => (Some(KeysConfig::Fixed(vec![key.verifying().clone()])), Some(key)),
        Err(error) => {
            reader.mistakes.add(&path.display().to_string(), error.to_string());
            (None, None)
        }
    }
}
