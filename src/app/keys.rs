//! The keys that the configuration names: our own, and those of the issuers whose tokens are accepted.

use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{KeysConfig, TokenConfig};
use crate::token::jwks::{Fetcher, Source, refresh_periodically};
use crate::token::{Issuer, KeyRing, SigningRing, UsableUntil, VerifyingKey};

/// A ring, and where its keys are published.
pub(super) type Published = (Arc<KeyRing>, Source);

pub(super) const NO_AUTHORITIES: &str = "cannot read the system's certificate authorities";

/// The keys of our own issuer.
///
/// # Errors
/// An error where the key ring cannot be read.
pub fn own_keys(config: &TokenConfig) -> anyhow::Result<SigningRing> {
    Ok(match (&config.ring, &config.signing) {
        (Some(path), _) => SigningRing::open(path)
            .with_context(|| format!("cannot use the key ring {}", path.display()))?,
        (None, Some(key)) => SigningRing::fixed(key.clone()),
        (None, None) => SigningRing::verifying_only(config.own_keys.clone()),
    })
}

/// The issuers, and those of their key rings that have to be looked after.
pub(super) struct Issuers {
    pub(super) all: Vec<Arc<Issuer>>,
    pub(super) published: Vec<Published>,
    pub(super) own_verifying: Option<Arc<KeyRing>>,
}

pub(super) fn issuers(configured: &TokenConfig, own_keys: &[VerifyingKey]) -> Issuers {
    let (mut published, mut own_verifying) = (Vec::new(), None);
    let issuers = configured.issuers.iter().map(|issuer| {
        let keys = Arc::new(match &issuer.keys {
            KeysConfig::Fixed(keys) => KeyRing::fixed(keys.clone()),
            KeysConfig::Ring => KeyRing::fixed(own_keys.to_vec()),
            KeysConfig::Published(_) => KeyRing::unfetched(),
        });
        match &issuer.keys {
            KeysConfig::Fixed(_) => {}
            KeysConfig::Ring => own_verifying = Some(Arc::clone(&keys)),
            KeysConfig::Published(source) => published.push((Arc::clone(&keys), source.clone())),
        }
        Arc::new(issuer.with_keys(keys))
    });
    let all = issuers.collect();
    Issuers { all, published, own_verifying }
}

/// Keeps published keys fresh in the background, until `stop`.
pub(super) fn start_fetching(
    published: Vec<Published>,
    clock: &Arc<dyn Clock>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    if published.is_empty() {
        return Ok(());
    }
    let fetcher = Fetcher::new().context(NO_AUTHORITIES)?;
    for (ring, source) in published {
        tokio::spawn(refresh_periodically(
            ring,
            source,
            fetcher.clone(),
            Arc::clone(clock),
            stop.clone(),
        ));
    }
    Ok(())
}

/// Reads published keys once.
///
/// # Errors
/// An error where a source cannot be read.
pub(super) async fn read_once(published: &[Published], clock: &dyn Clock) -> anyhow::Result<()> {
    if published.is_empty() {
        return Ok(());
    }
    let fetcher = Fetcher::new().context(NO_AUTHORITIES)?;
    for (ring, source) in published {
        let until = UsableUntil::after(source.max_age, clock);
        let set = fetcher.read(source).await;
        let set = set.with_context(|| format!("keys at {}", source.location))?;
        ring.replace(set.keys, until);
    }
    Ok(())
}
