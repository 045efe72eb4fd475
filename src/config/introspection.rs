//! Issuers of the file that are asked about their tokens (RFC 7662).

use std::time::Duration;

use super::jwks::read_secret_file;
use super::mistakes::Mistakes;
use super::sources;
use super::tables::{IssuerTable, field};
use super::texts::hook_url;
use crate::account::KEY_PREFIX;
use crate::gate::introspection::{IntrospectedIssuer, IntrospectionEndpoint};
use crate::secret::Secret;

/// The ways in which an issuer's tokens can be checked.
pub(super) const ONE_WAY: &str =
    "give exactly one of: a key, `keys`, `jwks_file`, `jwks_url`, `introspection_url`";
/// The longest beginning of tokens.
const MAX_PREFIX_BYTES: usize = 64;
/// The beginning of every signed token: the base64url of a brace and a quotation mark.
const SIGNED: &str = "ey";

/// The endpoint at which the issuer of a table is asked. Mistakes leave parts out, and are told.
pub(super) fn endpoint_of_table(
    table: &IssuerTable,
    timeout: Duration,
    wrong: &mut impl FnMut(String),
) -> Option<IntrospectionEndpoint> {
    let url = field(table.introspection_url.as_deref(), hook_url, "introspection_url ", wrong);
    let token_prefix = field(table.token_prefix.as_deref(), prefix, "token_prefix ", wrong);
    if table.has_keys() {
        wrong(ONE_WAY.to_owned());
    }
    if table.algorithm.is_some() || table.access_token_type.is_some() {
        wrong(
            "`algorithm` and `access_token_type` say nothing of tokens that are asked about"
                .to_owned(),
        );
    }
    let secret = table.introspection_client_secret_file.as_deref().map(|path| {
        let secret = read_secret_file(path)?;
        let secret = sources::without_line_end(&secret);
        if secret.is_empty() {
            Err("the secret's file is empty".to_owned())
        } else {
            Ok(Secret::new(secret))
        }
    });
    let secret = secret.and_then(|read| read.map_err(&mut *wrong).ok());
    let id = table.introspection_client_id.clone().filter(|id| !id.is_empty());
    if id.is_none() || table.introspection_client_secret_file.is_none() {
        wrong("`introspection_url` needs `introspection_client_id` and `introspection_client_secret_file`".to_owned());
    }
    Some(IntrospectionEndpoint { url: url?, client: (id?, secret?), token_prefix, timeout })
}

fn prefix(text: &str) -> Result<String, String> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    if text.is_empty() || text.len() > MAX_PREFIX_BYTES || !is_plain {
        return Err(format!("is 1 to {MAX_PREFIX_BYTES} visible characters of ASCII"));
    }
    if [SIGNED, KEY_PREFIX].iter().any(|own| text.starts_with(own) || own.starts_with(text)) {
        return Err(format!(
            "would send signed tokens or our own API keys there: none may begin with {SIGNED} or {KEY_PREFIX}"
        ));
    }
    Ok(text.to_owned())
}

/// Of several, each must be told by the beginning of its tokens: a token is sent to its issuer alone.
pub(super) fn check_distinct_tokens(mistakes: &mut Mistakes, issuers: &[IntrospectedIssuer]) {
    if issuers.len() < 2 {
        return;
    }
    for (place, issuer) in issuers.iter().enumerate() {
        let Some(prefix) = &issuer.keys.token_prefix else {
            let problem =
                "several issuers are asked about their tokens: each needs its `token_prefix`";
            mistakes.add(&format!("issuers ({})", issuer.name), problem);
            continue;
        };
        let others = issuers.iter().enumerate().filter(|(other, _)| *other != place);
        let mut prefixes = others.filter_map(|(_, other)| other.keys.token_prefix.as_ref());
        if prefixes.any(|other| other.starts_with(prefix)) {
            let problem = format!("token_prefix: {prefix:?} is the beginning of another one");
            mistakes.add(&format!("issuers ({})", issuer.name), problem);
        }
    }
}
