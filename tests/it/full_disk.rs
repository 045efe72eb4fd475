//! A disk that is full, and has room again: what cannot be written is refused while it is, and nothing
//! is left behind that refuses it afterwards.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use portcullis::{
    clock::UnixTime,
    session::{Session, SessionId, SessionStore as _, SqliteStore, UserId},
    store::sqlite::Options,
};

use crate::support::{
    PATIENCE, http,
    issuer::{Issuer, SCOPES},
    poll,
    realm::Realm,
    require, stores,
};

/// Names the folder of the disk, in the environment of the process that may mount one there.
const DISK: &str = "PORTCULLIS_TEST_DISK";

/// Runs this very test again in namespaces of its own, where a small disk is mounted on a folder.
/// `None` where that was done, or cannot be.
fn on_a_small_disk() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os(DISK) {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(&folder)
            .status();
        assert!(mounted.expect("mount runs").success(), "mount {}", folder.display());
        return Some(folder.into());
    }
    let unshare = require("unshare")?;
    let folder = tempfile::tempdir().expect("folder");
    let this_test = std::thread::current().name().expect("a test has a name").to_owned();
    let again = Command::new(unshare)
        .args(["--map-root-user", "--mount"])
        .arg(std::env::current_exe().expect("this program"))
        .args([this_test.as_str(), "--exact", "--nocapture"])
        .env(DISK, folder.path())
        .output()
        .expect("unshare runs");
    let output =
        [again.stdout, again.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(again.status.success() && output[0].contains("1 passed"), "{}", output.concat());
    None
}

/// Takes all room that is left; gives it back when it is dropped.
struct Filler(PathBuf);

impl Filler {
    fn on(disk: &Path) -> Self {
        let path = disk.join("filler");
        let mut file = File::create(&path).expect("a file");
        for size in [4_096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        Self(path)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).expect("the filler goes");
    }
}

fn session(name: &str) -> Session {
    Session::new(
        SessionId::parse(name).expect("id"),
        UserId::parse("alice").expect("user"),
        UnixTime::from_secs(1),
        UnixTime::from_secs(1_000),
    )
}

#[tokio::test]
async fn a_store_whose_disk_was_full_writes_again_when_there_is_room() {
    let Some(disk) = on_a_small_disk() else { return };
    let store = SqliteStore::new(stores::sqlite_with(&disk, Options::default()).await);
    let kept = session("kept");
    store.put(&kept).await.expect("put");
    store.probe_write().await.expect("there is room");
    for round in 0..3 {
        let full = Filler::on(&disk);
        // What is left in the log is used up first.
        let mut count = 0..10_000;
        while store
            .put(&session(&format!("s{round}-{}", count.next().expect("full"))))
            .await
            .is_ok()
        {}
        // By a transaction too, which the error ends.
        let uses = |at| [(kept.id.clone(), UnixTime::from_secs(at))];
        let mut at = 10_000 * (round + 1);
        while store.touch(&uses(at)).await.is_ok() {
            at += 1;
        }
        assert!(store.revoke_user(&UserId::parse("bob").expect("id"), kept.created).await.is_err());
        assert!(store.get(&kept.user, &kept.id).await.expect("read").is_some());
        drop(full);
        store.touch(&uses(at)).await.expect("a use is noted again");
        let found = store.get(&kept.user, &kept.id).await.expect("get").expect("session");
        assert_eq!(found.last_seen, UnixTime::from_secs(at));
        store.put(&session(&format!("after-{round}"))).await.expect("put");
        store.probe_write().await.expect("there is room again");
    }
    store.close().await;
}

#[test]
fn an_issuer_whose_disk_was_full_serves_again_without_a_restart() {
    let Some(disk) = on_a_small_disk() else { return };
    let realm = Realm::issuing()
        .with("DB_URL", &format!("sqlite:{}", disk.join("portcullis.db").display()));
    realm.with_alice_and_demo();
    let issuer = Issuer::start(&realm);
    let login = issuer.log_in();
    let refresh = || {
        let token = login["refresh_token"].as_str().expect("a refresh token");
        issuer.form("/token", &[("grant_type", "refresh_token"), ("refresh_token", token)], &[])
    };
    let log_in = || {
        let (name, password) = crate::support::issuer::ALICE;
        let fields = [("grant_type", "password"), ("username", name), ("password", password)];
        issuer.form("/token", &[&fields[..], &[("scope", SCOPES[0])]].concat(), &[]).status
    };
    let is_ready = || http::get(issuer.public, "/ready", &[]).status;
    assert_eq!(is_ready(), 200);
    let full = Filler::on(&disk);
    poll("what is left in the log is used up", PATIENCE, || (log_in() == 503).then_some(()));
    assert_eq!(refresh().status, 503);
    poll("it says so", PATIENCE, || (is_ready() == 503).then_some(()));
    assert_eq!(http::get(issuer.gate.metrics, "/ready", &[]).status, 503);
    let token = login["access_token"].as_str().expect("a token");
    assert_eq!(issuer.check(token), 200, "reading goes on");
    drop(full);
    assert_eq!(log_in(), 200);
    assert_eq!(is_ready(), 200);
    poll("a refresh, once the lease of the one that failed is over", PATIENCE, || {
        (refresh().status == 200).then_some(())
    });
    let ended = issuer.form("/revoke", &[("token", token)], &[]);
    assert_eq!(ended.status, 200, "{ended:?}");
    assert_eq!(issuer.check(token), 401);
}
