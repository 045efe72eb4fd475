use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::clock::{ManualClock, UnixTime};
use crate::secret::SystemRandom;
use crate::token::rotation::State;

const NOW: u64 = 1_800_000_000;
const TIMES: RotationTimes =
    RotationTimes { publish_ahead: Duration::from_secs(600), overlap: Duration::from_secs(1500) };

struct Fixture {
    folder: TempDir,
    clock: ManualClock,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    Fixture { folder, clock: ManualClock::at(UnixTime::from_secs(NOW)) }
}

impl Fixture {
    fn path(&self) -> PathBuf {
        self.folder.path().join("ring.json")
    }

    fn try_rotate(&self, new: NewKey) -> Result<RotationSchedule<RingKey>, KeyFileError> {
        let others = OtherKeys::Retire(TIMES);
        rotate(&self.path(), new, others, &self.clock, &SystemRandom)
            .map(|rotated| rotated.schedule)
    }

    fn rotate(&self) -> RotationSchedule<RingKey> {
        self.try_rotate(NewKey::Generate(None)).unwrap()
    }

    fn states(&self) -> Vec<State> {
        let (schedule, _) = read(&self.path()).unwrap();
        schedule.states(self.clock.now()).map(|(state, _)| state).collect()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path()).unwrap()).unwrap()
    }

    fn mode(&self) -> u32 {
        fs::metadata(self.path()).unwrap().permissions().mode() & 0o777
    }

    fn set_mode(&self, mode: u32) {
        fs::set_permissions(self.path(), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The file with another content, as private as before.
    fn write(&self, content: &str) {
        fs::write(self.path(), content).unwrap();
        self.set_mode(0o600);
    }
}

fn pem(algorithm: Algorithm) -> Secret {
    key::generate(algorithm, &SystemRandom).unwrap()
}

#[test]
fn what_is_written_is_read_again_key_for_key() {
    let fixture = fixture();
    for algorithm in [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, Algorithm::PS256] {
        fixture.try_rotate(NewKey::Generate(Some(algorithm))).unwrap();
    }
    let written = fixture.rotate();
    let (read, _) = read(&fixture.path()).unwrap();
    assert_eq!(written.entries().len(), 5);
    for ((lifetime, key), (read_lifetime, read_key)) in written.entries().iter().zip(read.entries())
    {
        assert_eq!((lifetime, key.key().algorithm()), (read_lifetime, read_key.key().algorithm()));
        let token = key.key().sign(&json!({})).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        assert!(read_key.verifying().verifies(message.as_bytes(), signature));
    }
    // The last took the algorithm of the key that signs: the first, the others are to come.
    assert_eq!(written.entries()[4].1.key().algorithm(), Algorithm::ES256);
}

#[test]
fn the_file_is_for_its_owner_alone_or_for_whom_the_operator_let_in() {
    let fixture = fixture();
    fixture.rotate();
    assert_eq!(fixture.mode(), 0o600);
    fixture.set_mode(0o640);
    fixture.rotate();
    assert_eq!(fixture.mode(), 0o640, "its readers can read it after a rotation too");
    for mode in [0o644, 0o602, 0o601] {
        fixture.set_mode(mode);
        assert!(matches!(read(&fixture.path()), Err(KeyFileError::OpenToAll)), "{mode:o}");
    }
    let left: Vec<_> = fs::read_dir(fixture.folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing lies beside it: {left:?}");
}

#[test]
fn an_imported_key_keeps_its_algorithm_and_serves_tokens_with_any_name() {
    for (algorithm, named) in [
        (Algorithm::ES256, None),
        (Algorithm::ES384, None),
        (Algorithm::EdDSA, None),
        (Algorithm::RS256, None),
        (Algorithm::PS384, Some(Algorithm::PS384)),
    ] {
        let fixture = fixture();
        let pem = pem(algorithm);
        let schedule = fixture.try_rotate(NewKey::Import(pem.clone(), named)).unwrap();
        let (_, key) = &schedule.entries()[0];
        assert_eq!((key.key().algorithm(), key.verifying().id()), (algorithm, None));
        let made = fixture.rotate();
        assert!(made.entries()[1].1.verifying().id().is_some());
        let again = fixture.try_rotate(NewKey::Import(pem, named));
        assert!(matches!(again, Err(KeyFileError::Duplicate(_))), "{again:?}");
    }
}

#[test]
fn keys_that_cannot_be_taken_leave_the_file_as_it_was() {
    let fixture = fixture();
    fixture.rotate();
    let before = fs::read(fixture.path()).unwrap();
    let key = SigningKey::from_private_pem(Algorithm::ES256, &pem(Algorithm::ES256)).unwrap();
    let public = Secret::new(key.public_pem().unwrap());
    for (new, expected) in [
        (NewKey::Generate(Some(Algorithm::HS256)), "cannot be published"),
        (NewKey::Import(pem(Algorithm::HS512), Some(Algorithm::HS512)), "cannot be published"),
        (NewKey::Import(public, None), "this is a public key"),
        (NewKey::Import(pem(Algorithm::EdDSA), Some(Algorithm::ES256)), "does not fit"),
        (NewKey::Import(Secret::new("rubbish"), None), "not one key in PEM"),
    ] {
        let error = fixture.try_rotate(new).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(fs::read(fixture.path()).unwrap(), before);
    }
}

#[test]
fn a_file_that_is_not_in_every_part_as_it_should_be_is_refused_and_not_quoted() {
    let fixture = fixture();
    fixture.rotate();
    fixture.rotate();
    let good = fixture.json();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed.to_string()
    };
    let half = good.to_string().split_at(200).0.to_owned();
    for (content, expected) in [
        (String::new(), "no key ring"),
        (half, "no key ring"),
        ("[]".to_owned(), "no key ring"),
        (r#"{"keys":[]}"#.to_owned(), "holds no key"),
        (r#"{"keys":["hunter2"]}"#.to_owned(), "no key ring"),
        (with(&|ring| ring["keys"][0]["hunter2"] = json!(1)), "no key ring"),
        (with(&|ring| ring["keys"][0]["signs_from"] = json!(-1)), "no key ring"),
        (with(&|ring| ring["keys"][0]["retires"] = json!("hunter2")), "no key ring"),
        (with(&|ring| ring["keys"][1]["algorithm"] = json!("hunter2")), "its key 2"),
        (with(&|ring| ring["keys"][1]["algorithm"] = json!("HS256")), "its key 2"),
        (with(&|ring| ring["keys"][1]["algorithm"] = json!("ES384")), "its key 2"),
        (with(&|ring| ring["keys"][1]["private_pem"] = json!("hunter2")), "its key 2"),
        (with(&|ring| ring["keys"][0]["kid"] = json!("hunter2")), "its key 1"),
        (with(&|ring| ring["keys"][1] = ring["keys"][0].clone()), "in it already"),
    ] {
        fixture.write(&content);
        let error = read(&fixture.path()).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        assert!(fixture.try_rotate(NewKey::Generate(None)).is_err(), "{content}");
        assert_eq!(fs::read_to_string(fixture.path()).unwrap(), content, "nothing is lost");
    }
    fixture.write(&good.to_string());
    assert!(read(&fixture.path()).is_ok());
}

#[test]
fn what_is_no_regular_file_is_no_key_ring() {
    let fixture = fixture();
    assert!(matches!(read(&fixture.path()), Err(KeyFileError::Missing)));
    assert!(matches!(read(fixture.folder.path()), Err(KeyFileError::Read(_))));
    let nowhere = fixture.folder.path().join("nowhere/ring.json");
    let (new, others) = (NewKey::Generate(None), OtherKeys::Retire(TIMES));
    let outcome = rotate(&nowhere, new, others, &fixture.clock, &SystemRandom);
    assert!(matches!(outcome, Err(KeyFileError::Write(_))));
}

#[test]
fn a_link_stays_a_link_and_what_a_killed_process_left_is_removed() {
    let fixture = fixture();
    let link = fixture.folder.path().join("link.json");
    fixture.rotate();
    std::os::unix::fs::symlink(fixture.path(), &link).unwrap();
    let aside = fixture.folder.path().join(".ring.json.new");
    fs::write(&aside, "half a ring").unwrap();
    let (new, others) = (NewKey::Generate(None), OtherKeys::Retire(TIMES));
    rotate(&link, new, others, &fixture.clock, &SystemRandom).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink() && !aside.exists());
    assert_eq!(fixture.states().len(), 2);
}

#[test]
fn a_rewritten_file_has_another_version() {
    let fixture = fixture();
    fixture.rotate();
    let (_, version) = read(&fixture.path()).unwrap();
    assert_eq!(FileVersion::of(&fixture.path()), Some(version));
    fixture.rotate();
    assert_ne!(FileVersion::of(&fixture.path()), Some(version));
    fs::remove_file(fixture.path()).unwrap();
    assert_eq!(FileVersion::of(&fixture.path()), None);
}

#[test]
fn no_key_material_is_in_debug_output() {
    let fixture = fixture();
    let schedule = fixture.rotate();
    let json = fixture.json();
    let pem = json["keys"][0]["private_pem"].as_str().unwrap();
    let shown = format!("{schedule:?}");
    assert!(shown.contains("[secret]"), "{shown}");
    assert!(!pem.lines().any(|line| shown.contains(line)), "{shown}");
}
