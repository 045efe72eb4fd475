//! authnzerver's wire, by the settings that authnzerver has.

use std::path::Path;

use super::listeners;
use super::reader::Reader;
use super::settings;
use super::sources::without_line_end;
use crate::issuer::authnzerver::{AuthnzerverConfig, MessageKey};
use crate::issuer::http::WebConfig;
use crate::secret::Secret;
use crate::server::ListenerConfig;
use crate::wire::file;

/// The wire's section.
#[derive(Debug)]
pub struct WireConfig {
    /// Its listener.
    pub listen: ListenerConfig,
    /// Its key, hosts and limits.
    pub service: AuthnzerverConfig,
}

/// Reads everything; `None` where the wire is off, or something of it is wrong.
pub(super) fn read(reader: &mut Reader<'_>, web: &WebConfig) -> Option<WireConfig> {
    let listen = listeners::authnzerver(reader);
    let key = key(reader);
    if listen.addresses.is_empty() {
        return None;
    }
    if !reader.is_named(settings::AUTHNZERVER_SECRET) {
        let problem = "needs AUTHNZERVER_SECRET_FILE, the key that its clients share with us";
        reader.wrong(settings::AUTHNZERVER_LISTEN, problem);
    }
    let is_limited = reader.get(settings::RATE_LIMITS);
    let limits = reader.get(settings::AUTHNZERVER_RATELIMITS).filter(|_| is_limited);
    let service = AuthnzerverConfig {
        key: key?,
        hosts: reader.get(settings::AUTHNZERVER_ALLOWEDHOSTS),
        limits,
        max_session: reader.get(settings::AUTHNZERVER_SESSIONEXPIRY),
        gateways: web.trusted_proxies.clone(),
    };
    Some(WireConfig { listen, service })
}

/// The key itself, or that in the file whose path stands in its place, as authnzerver has it: no key
/// begins like a path.
fn key(reader: &mut Reader<'_>) -> Option<MessageKey> {
    let set = reader.get(settings::AUTHNZERVER_SECRET)?;
    let path = set.expose_str().filter(|text| text.starts_with(['/', '.']));
    let secret = match path {
        None => Ok(set.clone()),
        Some(path) => match file::read(Path::new(path)) {
            Ok(content) => Ok(Secret::new(without_line_end(&content))),
            Err(error) => Err(format!("cannot read the file that it names: {error}")),
        },
    };
    let key = secret.and_then(|secret| {
        MessageKey::parse(&secret).ok_or_else(|| {
            "is no Fernet key: 32 random bytes in base64url, as `openssl rand -base64 32 | tr +/ -_` \
             writes them"
                .to_owned()
        })
    });
    reader.good(settings::AUTHNZERVER_SECRET, key)
}
