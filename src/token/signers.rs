//! Our own keys in a running process: the one that signs, and those that are published.
//!
//! They come from the settings and never change, or from a key ring in a file, which is read again
//! when it changes. A file that cannot be read leaves the present keys in use.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::key::{KeyId, PublicJwk, SigningKey, VerifyingKey};
use super::key_file::{self, KeyFileError, RingKey};
use super::ring::{KeyRing, UsableUntil};
use super::rotation::{KeyLifetime, RotationSchedule};
use crate::clock::{Clock, UnixTime};
use crate::wire::file::FileVersion;

/// The interval at which the file is polled.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The keys of our own issuer. Their states depend on the time, which is an argument of each
/// method.
#[derive(Debug)]
pub struct SigningRing {
    file: Option<PathBuf>,
    keys: ArcSwap<Keys>,
    reread: Notify,
}

#[derive(Debug)]
struct Keys {
    schedule: RotationSchedule<OwnKey>,
    /// The version of the file that they were read from.
    version: Option<FileVersion>,
    key_set: ArcSwap<KeySet>,
}

/// A key; `signing` is `None` where its private half is elsewhere.
#[derive(Debug)]
struct OwnKey {
    signing: Option<Arc<SigningKey>>,
    verifying: VerifyingKey,
}

/// The published keys as text, and the period in which it stays the same.
#[derive(Debug)]
struct KeySet {
    since: UnixTime,
    until: Option<UnixTime>,
    json: Arc<str>,
}

impl SigningRing {
    /// One key that signs for ever.
    pub fn fixed(key: SigningKey) -> Self {
        let verifying = key.verifying().clone();
        let own = OwnKey { signing: Some(Arc::new(key)), verifying };
        Self::new(None, Keys::for_ever([own]))
    }

    /// Keys whose private halves are elsewhere: nothing signs.
    pub fn verifying_only(keys: Vec<VerifyingKey>) -> Self {
        let own = keys.into_iter().map(|verifying| OwnKey { signing: None, verifying });
        Self::new(None, Keys::for_ever(own))
    }

    /// The keys of a file, which [`watch_key_file`] reads again.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
        let (schedule, version) = key_file::read(path)?;
        Ok(Self::new(Some(path.to_owned()), Keys::of_file(schedule, version)))
    }

    fn new(file: Option<PathBuf>, keys: Keys) -> Self {
        Self { file, keys: ArcSwap::from_pointee(keys), reread: Notify::new() }
    }

    /// Has [`watch_key_file`] read the file again at once, whether it changed or not.
    pub fn request_reread(&self) {
        self.reread.notify_one();
    }

    /// The key that signs now. `None` where there is none; in a key ring that happens only where
    /// its lifetimes were written by hand.
    pub fn signing(&self, now: UnixTime) -> Option<Arc<SigningKey>> {
        self.keys.load().schedule.signing(now)?.signing.clone()
    }

    /// Returns whether a key of that name is published now.
    pub fn publishes(&self, name: &str, now: UnixTime) -> bool {
        let keys = self.keys.load();
        let mut published = keys.schedule.published(now);
        published.any(|key| key.verifying.public().is_some_and(|key| key.id().as_str() == name))
    }

    /// The keys that check our tokens now.
    pub fn verifying(&self, now: UnixTime) -> Vec<VerifyingKey> {
        let keys = self.keys.load();
        keys.schedule.published(now).map(|key| key.verifying.clone()).collect()
    }

    /// The published keys as a JWK Set (RFC 7517, section 5). It is made anew only when something
    /// in it changed.
    pub fn key_set_json(&self, now: UnixTime) -> Arc<str> {
        let keys = self.keys.load();
        let made = keys.key_set.load();
        if made.since <= now && made.until.is_none_or(|until| now < until) {
            return Arc::clone(&made.json);
        }
        let fresh = Arc::new(KeySet::of(&keys.schedule, now));
        keys.key_set.store(Arc::clone(&fresh));
        Arc::clone(&fresh.json)
    }
}

impl Keys {
    fn for_ever(keys: impl IntoIterator<Item = OwnKey>) -> Self {
        let lifetime =
            KeyLifetime { created: UnixTime::EPOCH, signs_from: UnixTime::EPOCH, retires: None };
        Self::new(keys.into_iter().map(|key| (lifetime, key)).collect(), None)
    }

    fn of_file(schedule: RotationSchedule<RingKey>, version: FileVersion) -> Self {
        let own = |key: RingKey| OwnKey {
            verifying: key.verifying(),
            signing: Some(Arc::clone(key.key())),
        };
        Self::new(schedule.map(own), Some(version))
    }

    fn new(schedule: RotationSchedule<OwnKey>, version: Option<FileVersion>) -> Self {
        let key_set = ArcSwap::from_pointee(KeySet::of(&schedule, UnixTime::EPOCH));
        Self { schedule, version, key_set }
    }
}

impl KeySet {
    fn of(schedule: &RotationSchedule<OwnKey>, now: UnixTime) -> Self {
        let keys = schedule.published(now).filter_map(|key| key.verifying.public());
        let keys: Vec<_> = keys.map(PublicJwk::jwk).collect();
        let (since, until) = schedule.unchanged_period(now);
        Self { since, until, json: json!({ "keys": keys }).to_string().into() }
    }
}

/// Watches the file of `own` until `stop`: reloads `own` when it changes, and `verifying`, the keys
/// that check our tokens, with it. Both follow within a second or so. Ends at once where there is
/// no file.
pub async fn watch_key_file(
    own: Arc<SigningRing>,
    verifying: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let Some(mut watcher) = KeyFileWatcher::new(Arc::clone(&own), verifying, clock) else {
        return;
    };
    let watch = async {
        loop {
            let is_forced = tokio::select! {
                () = own.reread.notified() => true,
                () = tokio::time::sleep(POLL_INTERVAL) => false,
            };
            // Reading a file may take long, and parsing an RSA key does.
            let polled = tokio::task::spawn_blocking(move || {
                watcher.poll(is_forced);
                watcher
            });
            let Ok(back) = polled.await else { return };
            watcher = back;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = watch => warn!("the key ring is no longer watched; its keys stay as they are"),
    }
}

/// The state of [`watch_key_file`] between two polls.
struct KeyFileWatcher {
    own: Arc<SigningRing>,
    file: PathBuf,
    verifying: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    /// The version of the file that the present keys are from.
    present: Option<FileVersion>,
    /// The last problem that was reported, and the version of the file that had it.
    reported: Option<(Option<FileVersion>, String)>,
    signs: Option<KeyId>,
}

impl KeyFileWatcher {
    fn new(own: Arc<SigningRing>, verifying: Arc<KeyRing>, clock: Arc<dyn Clock>) -> Option<Self> {
        let (file, present) = (own.file.clone()?, own.keys.load().version);
        let signs = own.signing(clock.now()).and_then(|key| key.id().cloned());
        Some(Self { own, file, verifying, clock, present, reported: None, signs })
    }

    fn poll(&mut self, is_forced: bool) {
        let version = FileVersion::of(&self.file);
        if is_forced {
            self.reported = None;
        }
        if is_forced || version.is_none() || version != self.present {
            self.read_again(version);
        }
        let now = self.clock.now();
        self.verifying.replace(self.own.verifying(now), UsableUntil::FOR_EVER);
        let signs = self.own.signing(now).and_then(|key| key.id().cloned());
        if signs != self.signs {
            info!(key = signs.as_ref().map(KeyId::as_str), "another key signs");
            self.signs = signs;
        }
    }

    /// Reads the file again. A problem is reported once, and the file is read again at every poll:
    /// the problem may be solved without a change of the file.
    fn read_again(&mut self, found: Option<FileVersion>) {
        let file = self.file.display();
        match key_file::read(&self.file) {
            Ok((schedule, version)) => {
                let count = schedule.entries().len();
                self.own.keys.store(Arc::new(Keys::of_file(schedule, version)));
                (self.present, self.reported) = (Some(version), None);
                info!(%file, count, "the key ring was read again");
            }
            Err(error) => {
                let reported = Some((found, error.to_string()));
                if self.reported != reported {
                    warn!(%file, %error, "the key ring cannot be used; the keys at hand stay in use");
                    self.reported = reported;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
