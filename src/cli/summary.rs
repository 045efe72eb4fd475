//! A configuration in words: accepted issuers, addresses, what is issued and where it is stored. `check-config` prints it, `serve` writes it to the log. It holds no secret.

use std::time::Duration;

use url::{Position, Url};

use crate::config::settings::ISSUER;
use crate::config::{
    AuditConfig, Config, GateConfig, IssuanceConfig, IssuerConfig, KeysConfig, TokenConfig,
};
use crate::gate::introspection::IntrospectedIssuer;
use crate::issuer::policy::RefreshPolicy;
use crate::policy::Access;
use crate::server::{Address, ListenerConfig};
use crate::session::SessionBinding;
use crate::telemetry::audit::AuditTarget;
use crate::token::{Algorithm, Issuer, SessionRule, VerifyingKey, algorithm, key_file};

/// Rules by which the tokens of an issuer are accepted.
pub(super) struct AcceptedIssuer {
    pub(super) issuer: String,
    pub(super) algorithms: String,
    pub(super) keys: String,
    pub(super) audiences: String,
    pub(super) sessions: &'static str,
    pub(super) leeway: String,
}

/// Those of every issuer.
pub(super) fn accepted(tokens: &TokenConfig) -> Vec<AcceptedIssuer> {
    let signing = tokens.issuers.iter().map(|issuer| AcceptedIssuer::of(issuer, tokens));
    signing.chain(tokens.introspected.iter().map(AcceptedIssuer::of_introspected)).collect()
}

impl AcceptedIssuer {
    fn of(issuer: &IssuerConfig, tokens: &TokenConfig) -> Self {
        let (algorithms, keys) = match &issuer.keys {
            KeysConfig::Fixed(keys) => {
                (names(keys.iter().map(VerifyingKey::algorithm)), "in the settings".to_owned())
            }
            KeysConfig::Published(source) => {
                let assumed = source.assumed.map(|it| format!(", else {}", algorithm::name(it)));
                let algorithms = format!("what its keys name{}", assumed.unwrap_or_default());
                (algorithms, format!("published at {}", source.location))
            }
            KeysConfig::Ring => (of_ring(tokens), "in the key ring".to_owned()),
        };
        Self::with(issuer, algorithms, keys)
    }

    fn of_introspected(issuer: &IntrospectedIssuer) -> Self {
        let place = format!("none: asked at {}", place_of(&issuer.keys.url));
        Self::with(issuer, "opaque".to_owned(), place)
    }

    fn with<K>(issuer: &Issuer<K>, algorithms: String, keys: String) -> Self {
        Self {
            issuer: match issuer.iss.as_deref() {
                None => "any (`iss` is not checked)".to_owned(),
                Some(iss) if iss == ISSUER.entry.default => {
                    format!("{iss} (the default of ISSUER)")
                }
                Some(iss) => iss.to_owned(),
            },
            algorithms,
            keys,
            audiences: audiences(issuer),
            sessions: match issuer.sessions {
                SessionRule::Required => "required",
                SessionRule::WhenPresent => "when-present",
                SessionRule::Ignored => "ignored",
            },
            leeway: time(issuer.leeway),
        }
    }

    fn line(&self) -> String {
        let Self { issuer, algorithms, keys, audiences, sessions, leeway } = self;
        format!(
            "tokens of {issuer}: {algorithms}, keys {keys}; audiences {audiences}; sessions \
             {sessions}; leeway {leeway}"
        )
    }
}

fn audiences<K>(issuer: &Issuer<K>) -> String {
    match (issuer.audiences.as_slice(), &issuer.default_audience) {
        ([], None) => "none (a token with `aud` is refused)".to_owned(),
        ([], Some(default)) => format!("{default}, or no `aud`"),
        (listed, _) => listed.join(", "),
    }
}

/// A URL without what may be a secret: the user before the host, the query.
fn place_of(url: &Url) -> String {
    format!("{}://{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPath])
}

/// The algorithms of the ring's keys, whether they sign now or not.
fn of_ring(tokens: &TokenConfig) -> String {
    let read = tokens.ring.as_deref().and_then(|path| key_file::read(path).ok());
    read.map_or_else(String::new, |(table, _)| {
        names(table.entries().iter().map(|(_, key)| key.key().algorithm()))
    })
}

/// Each name once.
fn names(algorithms: impl Iterator<Item = Algorithm>) -> String {
    let mut names: Vec<_> = algorithms.map(algorithm::name).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

/// A sentence about what is issued, if anything is.
pub(super) fn issued(config: &Config) -> Option<String> {
    let issuance = config.issuance.as_ref()?;
    let policy = &issuance.policy;
    let signs = config.tokens.signing.as_ref();
    let algorithm =
        signs.map_or_else(|| of_ring(&config.tokens), |key| names([key.algorithm()].into_iter()));
    let kind = if policy.opaque { "handles" } else { "tokens" };
    let refresh = match policy.refresh_policy {
        RefreshPolicy::Rotate => "work once",
        RefreshPolicy::Sliding => "slide",
        RefreshPolicy::Reusable => "are reusable",
    };
    let mut text = format!(
        "{kind} of {}, signed with {algorithm}, for {}; good for {}; refresh tokens {refresh}, for {}; \
         passwords checked by ",
        policy.iss,
        policy.audiences.join(", "),
        time(policy.access_lifetime),
        time(policy.refresh_lifetime),
    );
    match &issuance.hook {
        None => text.push_str("the built-in accounts"),
        // What stands behind the path may be a secret.
        Some(hook) => text.push_str(&place_of(&hook.url)),
    }
    Some(text)
}

/// Places of the stores, by what they keep.
pub(super) fn stores(config: &Config) -> Vec<(&'static str, String)> {
    let mut stores = vec![("sessions", config.sessions.store.to_string())];
    if let Some(issuance) = &config.issuance {
        stores.push(("accounts", config.accounts.store.to_string()));
        stores.push(("audit log", audit_log(&issuance.audit)));
    }
    stores
}

/// The places of audit events, and for how long they stay.
fn audit_log(audit: &AuditConfig) -> String {
    let lines = match &audit.target {
        AuditTarget::Off => "no lines".to_owned(),
        AuditTarget::Stderr => "standard error".to_owned(),
        AuditTarget::File(path) => path.display().to_string(),
    };
    let kept = audit.retention.map_or_else(|| "for ever".to_owned(), time);
    let table = audit.has_table.then(|| format!("; beside the accounts, kept {kept}"));
    let hashed = audit.pseudonyms.is_on().then_some("; names and addresses hashed");
    format!("{lines}{}{}", table.unwrap_or_default(), hashed.unwrap_or_default())
}

/// The whole, a line for each thing, as `check-config` prints it.
pub(super) fn lines(config: &Config) -> Vec<String> {
    let mut lines: Vec<_> =
        accepted(&config.tokens).iter().map(|it| line("accepts", &it.line())).collect();
    if let Some(issued) = issued(config) {
        lines.push(line("issues", &issued));
    }
    let gate = listener(&config.gate.listen);
    lines.push(line("gate", &format!("{gate}, paths below {}/", config.gate.prefix)));
    if !config.gate.ext_authz.addresses.is_empty() {
        lines.push(line("ext_authz", &listener(&config.gate.ext_authz)));
    }
    lines.push(line("gateways", &gateways(&config.gate)));
    lines.push(line("policy", &policy(&config.gate)));
    if let Some(told) = told_of_client(config.sessions.policy.binding) {
        lines.push(line("bound", told));
    }
    lines.push(line("metrics", &listener(&config.metrics_listen)));
    if let Some(issuance) = &config.issuance {
        lines.extend(listeners(issuance));
    }
    lines.extend(stores(config).iter().map(|(name, place)| line(name, place)));
    let (bound, stale_if_error) = (time(config.cache.staleness), time(config.cache.stale_if_error));
    lines.push(line(
        "believed",
        &format!("sessions for {bound}; while the store is down {stale_if_error}"),
    ));
    lines.extend(config.warnings.iter().map(|warning| line("warning", warning)));
    lines
}

/// The proofs by which gateways are told from others.
fn gateways(gate: &GateConfig) -> String {
    let proofs = [
        ("a client certificate", gate.listen.asks_for_certificates()),
        ("GATEWAY_SECRET", !gate.gateway_secrets.is_empty()),
        ("GATEWAY_NETWORKS", !gate.gateway_networks.is_empty()),
    ];
    let set: Vec<_> =
        proofs.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect();
    if set.is_empty() {
        "no proof is asked for".to_owned()
    } else {
        format!("proved by {}", set.join(" or "))
    }
}

/// The policy that is loaded, by its size.
fn policy(gate: &GateConfig) -> String {
    let loaded = gate.policy.as_ref();
    let routes = loaded.and_then(|loaded| Some((loaded, loaded.set.policy.as_ref()?)));
    let Some((loaded, policy)) = routes else {
        let suffices = "none: a good credential suffices";
        let anonymous = if gate.admits_anonymous { ", and so does none (ANONYMOUS)" } else { "" };
        return format!("{suffices}{anonymous}");
    };
    let default = match policy.default_access() {
        Access::Denied => "deny",
        Access::Public => "public",
        Access::Required(requirement) if requirement.is_empty() => "token",
        Access::Required(_) => "user",
    };
    format!("{} routes of {}, default {default}", policy.len(), loaded.source.names())
}

/// The binding of sessions, and what gateways must tell for it.
fn told_of_client(binding: SessionBinding) -> Option<&'static str> {
    match (binding.user_agent, binding.address) {
        (false, false) => None,
        (true, false) => Some("sessions to the User-Agent, which gateways must pass on"),
        (false, true) => {
            Some("sessions to the address in X-Forwarded-For, which gateways must set")
        }
        (true, true) => Some(
            "sessions to the User-Agent, which gateways must pass on, and the address in \
             X-Forwarded-For, which they must set",
        ),
    }
}

fn listeners(issuance: &IssuanceConfig) -> Vec<String> {
    let issuer = format!("{}, known as {}", listener(&issuance.listen), issuance.policy.iss);
    let mut lines = vec![
        line("issuer", &issuer),
        line("internal", &listener(&issuance.internal)),
        line("gRPC", &listener(&issuance.grpc)),
    ];
    lines.extend(issuance.authnzerver.iter().map(|it| line("authnzerver", &listener(&it.listen))));
    lines
}

/// The addresses of a listener, and whether connections are encrypted.
fn listener(at: &ListenerConfig) -> String {
    let tls = match &at.tls {
        Some(tls) if tls.client_ca.is_some() => ", TLS with client certificates",
        Some(_) => ", TLS",
        None => "",
    };
    format!("{}{tls}", list(&at.addresses))
}

fn line(what: &str, said: &str) -> String {
    format!("  {what:<10} {said}")
}

/// Addresses with commas between them.
pub(super) fn list(addresses: &[Address]) -> String {
    let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    if texts.is_empty() { "off".to_owned() } else { texts.join(", ") }
}

/// A time in the largest unit that it is a whole number of.
pub(super) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "days"), (3_600, "h"), (60, "min")];
    let whole =
        units.into_iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    match whole {
        Some((unit, name)) if time.subsec_nanos() == 0 => format!("{} {name}", seconds / unit),
        _ => format!("{} s", time.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_a_unit_that_people_read() {
        for (millis, told) in [
            (0, "0 s"),
            (500, "0.5 s"),
            (90_000, "90 s"),
            (60_000, "1 min"),
            (60_500, "60.5 s"),
            (5_400_000, "90 min"),
            (7_200_000, "2 h"),
            (604_800_000, "7 days"),
        ] {
            assert_eq!(time(Duration::from_millis(millis)), told);
        }
    }
}
