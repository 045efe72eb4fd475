//! What is a name with a password, and which two are one.

use super::*;
use crate::secret::SystemRandom;
use crate::store::sqlite::Options;

fn encoded(text: impl AsRef<[u8]>) -> String {
    STANDARD.encode(text)
}

#[test]
fn a_name_and_a_password_are_read_as_rfc_7617_has_them() {
    for (text, login, password) in [
        ("Aladdin:open sesame", "Aladdin", "open sesame"),
        ("test:123\u{a3}", "test", "123\u{a3}"),
        ("J\u{fc}rgen:\u{4f60}\u{597d}", "J\u{fc}rgen", "\u{4f60}\u{597d}"),
        ("alice:a:b::c", "alice", "a:b::c"),
        ("alice:", "alice", ""),
        (":secret", "", "secret"),
        (":", "", ""),
        ("alice@example.com: x ", "alice@example.com", " x "),
    ] {
        let read = BasicCredentials::parse(&encoded(text)).map(|it| (it.login, it.password));
        assert_eq!(read, Ok((login.to_owned(), Secret::new(password))), "{text:?}");
    }
}

#[test]
fn what_is_no_name_with_a_password_is_malformed() {
    let no_utf8 = encoded(b"alice:\xa3");
    let no_padding = encoded("a:bc").trim_end_matches('=').to_owned();
    for bad in [
        &encoded("alice"),
        &encoded(""),
        &encoded("alice:a\nb"),
        &encoded("alice:a\0b"),
        &encoded("al\tice:x"),
        &encoded("alice:\u{7f}"),
        &no_utf8,
        &no_padding,
        "",
        "!",
        "YTpiYw",
        "YTpiYx==",
        "YTpiYw===",
        "YTpi-_==",
    ] {
        let read = BasicCredentials::parse(bad);
        assert_eq!(read, Err(DenialCode::MalformedCredentials), "{bad:?}");
    }
}

/// The keyed digests under which these are cached and asked about.
fn digests(basic: &BasicAccounts, texts: &[&str]) -> Vec<[u8; 32]> {
    let read = |text: &&str| BasicCredentials::parse(&encoded(text)).expect("credentials");
    texts.iter().map(|text| basic.digest(&read(text))).collect()
}

#[derive(Debug)]
struct NobodysPasswords;

#[async_trait]
impl PasswordVerifier for NobodysPasswords {
    async fn verify(
        &self,
        _: &str,
        _: &Secret,
        _: Option<IpAddr>,
    ) -> Result<User, PasswordRefused> {
        Err(PasswordRefused::Wrong)
    }
}

async fn basic(folder: &tempfile::TempDir) -> BasicAccounts {
    let file = folder.path().join("accounts.db");
    let accounts = crate::account::SqliteAccounts::open(&file, Options::default()).await;
    let (accounts, passwords) = (Arc::new(accounts.expect("a file")), Arc::new(NobodysPasswords));
    BasicAccounts::new(accounts, passwords, Arc::default(), &SystemRandom).expect("chance")
}

/// CVE-2026-71326: a cache whose key was the name and the password in one text.
#[tokio::test]
async fn a_with_bc_is_not_ab_with_c() {
    let folder = tempfile::tempdir().expect("a folder");
    let basic = basic(&folder).await;
    let mut found = digests(&basic, &["a:bc", "ab:c", "a:b:c", "abc:", ":abc", "a:bc "]);
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 6);
    assert_eq!(digests(&basic, &["a:bc"]), digests(&basic, &["a:bc"]));
}

#[tokio::test]
async fn a_digest_says_nothing_without_the_key_of_its_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, other) = (basic(&folder).await, basic(&folder).await);
    assert_ne!(digests(&one, &["a:bc"]), digests(&other, &["a:bc"]));
    let shown = format!("{one:?} {:?}", BasicCredentials::parse(&encoded("a:hunter2")));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn who_was_checked_before_waits_for_a_turn_to_be_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let basic = basic(&folder).await;
    let credentials = BasicCredentials::parse(&encoded("nobody:x")).expect("credentials");
    let evidence = PasswordEvidence { user: UserId::parse("u").expect("an id"), hash: [0; 32] };
    let all = basic.reads.acquire_many(64).await.expect("never closed");
    let late = basic.recheck(&credentials, &evidence, Duration::ZERO).await;
    assert_eq!(late.map(|found| found.is_some()), Err(BasicError::Busy));
    let mut waiting =
        std::pin::pin!(basic.recheck(&credentials, &evidence, Duration::from_secs(60)));
    assert!(futures_util::future::poll_immediate(waiting.as_mut()).await.is_none());
    drop(all);
    assert_eq!(waiting.await.map(|found| found.is_some()), Ok(false));
}
