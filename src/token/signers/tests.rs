use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::clock::ManualClock;
use crate::secret::SystemRandom;
use crate::token::issuer::{Issuer, SessionRule};
use crate::token::key_file::{NewKey, OtherKeys};
use crate::token::rotation::RotationTimes;
use crate::token::{Algorithm, TokenError, Verifier, key};

const NOW: u64 = 1_800_000_000;
const TIMES: RotationTimes =
    RotationTimes { publish_ahead: Duration::from_secs(600), overlap: Duration::from_secs(1500) };

/// A process that signs and verifies with the keys of one file.
struct Fixture {
    folder: TempDir,
    clock: Arc<ManualClock>,
    own: Arc<SigningRing>,
    watcher: KeyFileWatcher,
    verifier: Verifier,
}

fn rotate(folder: &TempDir, clock: &ManualClock) {
    let path = folder.path().join("ring.json");
    let others = OtherKeys::Retire(TIMES);
    key_file::rotate(&path, NewKey::Generate(None), others, clock, &SystemRandom).unwrap();
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(UnixTime::from_secs(NOW)));
    rotate(&folder, &clock);
    let own = Arc::new(SigningRing::open(&folder.path().join("ring.json")).unwrap());
    let keys = Arc::new(KeyRing::fixed(own.verifying(clock.now())));
    let watcher = KeyFileWatcher::new(own.clone(), keys.clone(), clock.clone()).unwrap();
    let issuer =
        Issuer { name: "test".into(), sessions: SessionRule::Ignored, keys, ..Issuer::default() };
    let verifier = Verifier::new(vec![Arc::new(issuer)], 8192, clock.clone());
    Fixture { folder, clock, own, watcher, verifier }
}

impl Fixture {
    fn rotate(&self) {
        rotate(&self.folder, &self.clock);
    }

    fn pass(&mut self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
        self.watcher.poll(false);
    }

    /// A token that does not expire: only its key may end it.
    fn token(&self) -> String {
        let key = self.own.signing(self.clock.now()).unwrap();
        key.sign(&json!({"sub": "alice", "exp": NOW * 2})).unwrap()
    }

    fn verdict(&self, token: &str) -> Result<(), TokenError> {
        self.verifier.verify(token).map(|_| ())
    }

    fn published(&self) -> usize {
        let set: Value = serde_json::from_str(&self.own.key_set_json(self.clock.now())).unwrap();
        set["keys"].as_array().unwrap().len()
    }
}

#[test]
fn a_rotation_is_followed_from_the_first_reading_to_the_last_token() {
    let mut fixture = fixture();
    let first = fixture.token();
    fixture.rotate();
    assert_eq!(fixture.published(), 1, "not looked at yet");
    fixture.pass(1);
    assert_eq!(fixture.published(), 2);
    let still_first = fixture.token();
    fixture.pass(599);
    let second = fixture.token();
    let kid = |token: &str| fixture.verifier.verify(token).unwrap().signature.unwrap().key.unwrap();
    assert_eq!(kid(&first), kid(&still_first));
    assert_ne!(kid(&first), kid(&second), "the second key signs");
    fixture.pass(1499);
    for token in [&first, &second] {
        assert_eq!(fixture.verdict(token), Ok(()));
    }
    fixture.pass(1);
    assert_eq!(fixture.verdict(&first), Err(TokenError::UnknownKey), "its key has retired");
    assert_eq!(fixture.verdict(&second), Ok(()));
    assert_eq!(fixture.published(), 1);
}

#[test]
fn what_was_found_good_with_a_key_falls_with_it() {
    let mut fixture = fixture();
    let verified = fixture.verifier.verify(&fixture.token()).unwrap();
    let stands =
        |fixture: &Fixture| verified.is_valid(fixture.clock.now(), fixture.clock.monotonic());
    fixture.pass(1);
    assert!(stands(&fixture), "a look that finds nothing new outdates nothing");
    fixture.rotate();
    fixture.pass(1);
    assert!(!stands(&fixture));
}

#[test]
fn a_file_that_went_bad_changes_nothing_until_it_is_good_again() {
    let mut fixture = fixture();
    let path = fixture.folder.path().join("ring.json");
    let good = fs::read(&path).unwrap();
    let token = fixture.token();
    for bad in [&b""[..], b"{}", &good[..good.len() / 2]] {
        fs::write(&path, bad).unwrap();
        fixture.pass(1);
        let reported = fixture.watcher.reported.clone();
        assert!(reported.is_some());
        fixture.pass(1);
        assert_eq!(fixture.watcher.reported, reported, "reported once");
        assert_eq!((fixture.verdict(&token), fixture.published()), (Ok(()), 1));
        assert_eq!(fixture.token().split('.').next(), token.split('.').next());
    }
    fs::remove_file(&path).unwrap();
    fixture.pass(1);
    assert_eq!(fixture.verdict(&token), Ok(()));
    let set_mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    fs::write(&path, &good).unwrap();
    set_mode(0o604);
    fixture.pass(1);
    let reported = fixture.watcher.reported.clone().unwrap().1;
    assert!(reported.contains("chmod"), "{reported}");
    set_mode(0o600);
    fixture.rotate();
    fixture.pass(1);
    assert_eq!((fixture.watcher.reported.clone(), fixture.published()), (None, 2));
}

#[test]
fn the_key_set_is_made_anew_only_when_it_changes() {
    let mut fixture = fixture();
    fixture.rotate();
    fixture.pass(1);
    let set = |fixture: &Fixture| fixture.own.key_set_json(fixture.clock.now());
    let (one, other) = (set(&fixture), set(&fixture));
    assert!(Arc::ptr_eq(&one, &other));
    fixture.pass(2097);
    assert!(Arc::ptr_eq(&one, &set(&fixture)));
    fixture.clock.advance(Duration::from_secs(2));
    let later = set(&fixture);
    assert!(!Arc::ptr_eq(&one, &later) && later.len() < one.len());
    fixture.clock.set_wall(UnixTime::from_secs(NOW));
    assert_eq!(set(&fixture), one, "also when the clock is set back");
}

#[test]
fn keys_of_the_settings_sign_and_are_published_for_ever() {
    let now = UnixTime::from_secs(NOW);
    let pem = key::generate(Algorithm::EdDSA, &SystemRandom).unwrap();
    let key = SigningKey::from_private_pem(Algorithm::EdDSA, &pem).unwrap();
    let public = SigningRing::verifying_only(vec![key.verifying().clone()]);
    assert!(public.signing(now).is_none());
    let ring = SigningRing::fixed(key);
    for at in [UnixTime::EPOCH, now, UnixTime::from_secs(u64::MAX)] {
        assert!(ring.signing(at).is_some());
        assert_eq!(ring.key_set_json(at), public.key_set_json(at));
        assert_eq!(ring.verifying(at).len(), 1);
    }
}

#[test]
fn a_shared_secret_signs_and_is_never_published() {
    let now = UnixTime::from_secs(NOW);
    let secret = key::generate(Algorithm::HS256, &SystemRandom).unwrap();
    let ring = SigningRing::fixed(SigningKey::from_secret(Algorithm::HS256, &secret).unwrap());
    assert!(ring.signing(now).is_some());
    assert_eq!(&*ring.key_set_json(now), r#"{"keys":[]}"#);
}

#[tokio::test]
async fn without_a_file_there_is_nothing_to_keep() {
    let fixture = fixture();
    let ring = Arc::new(SigningRing::verifying_only(Vec::new()));
    let keys = Arc::new(KeyRing::fixed(Vec::new()));
    watch_key_file(ring, keys, fixture.clock, CancellationToken::new()).await;
}
