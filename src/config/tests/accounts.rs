//! The place of accounts, and the rules of passwords.

use super::*;
use crate::account::password::HashConfig;
use crate::account::policy::PasswordPolicy;

fn accounts(values: &[(&str, &str)]) -> Result<AccountsConfig, Mistakes> {
    let sources = Sources { environment: pairs(values), ..Sources::default() };
    Config::load_accounts(&sources).map(|(accounts, _)| accounts)
}

#[test]
fn accounts_are_beside_the_sessions_unless_they_are_said_to_be_elsewhere() {
    for (values, expected) in [
        (&[][..], "portcullis-data/portcullis.db"),
        (&[("DATA_DIR", "/x")], "/x/portcullis.db"),
        (&[("DB_URL", "sqlite:/y/s.db")], "/y/s.db"),
        (&[("DB_URL", "redis://127.0.0.1"), ("DATA_DIR", "/x")], "/x/portcullis.db"),
        (&[("DB_URL", "sqlite:/y/s.db"), ("ACCOUNTS_URL", "sqlite:///z/a.db")], "/z/a.db"),
    ] {
        let store = accounts(values).unwrap().store;
        assert!(
            matches!(&store, AccountStoreConfig::Sqlite(path) if path.as_os_str() == expected),
            "{values:?}: {store:?}"
        );
    }
    let url = "postgres://portcullis:hunter2@db/accounts";
    let store = accounts(&[("ACCOUNTS_URL", url)]).unwrap().store;
    assert!(matches!(&store, AccountStoreConfig::Postgres(kept) if *kept == Secret::new(url)));
    assert!(!format!("{store:?}").contains("hunter2"));
}

#[test]
fn passwords_are_hashed_as_in_the_older_systems_unless_configured() {
    let config = accounts(&[]).unwrap();
    assert_eq!(config.hashing, HashConfig::default());
    assert_eq!(config.policy, PasswordPolicy::default());
    let config = accounts(&[
        ("PASSWORD_MEMORY_KIB", "1024"),
        ("PASSWORD_PASSES", "2"),
        ("PASSWORD_LANES", "1"),
        ("PASSWORD_THREADS", "3"),
        ("PASSWORD_QUEUE", "5"),
        ("PASSWORD_MIN_LENGTH", "8"),
        ("PASSWORD_MAX_SIMILARITY", "70"),
        ("PASSWORD_MAX_CHAR_FREQUENCY", "0.5"),
    ]);
    let config = config.unwrap();
    let hashing = HashConfig { memory_kib: 1024, passes: 2, lanes: 1, threads: 3, queue: 5 };
    assert_eq!(config.hashing, hashing);
    let policy =
        PasswordPolicy { min_length: 8, max_similarity_percent: 70, max_character_frequency: 0.5 };
    assert_eq!(config.policy, policy);
}

#[test]
fn mistakes_about_accounts_are_told_without_credentials() {
    for (name, value, told) in [
        ("ACCOUNTS_URL", "mysql://u:hunter2@h/x", "no kind"),
        ("ACCOUNTS_URL", "sqlite::memory:", "names no file"),
        ("ACCOUNTS_URL", "postgres://u:hunter2@h/x?passwd=hunter2", "after the ?"),
        ("PASSWORD_MEMORY_KIB", "31", "8 KiB for each"),
        ("PASSWORD_PASSES", "0", "not a whole number"),
        ("PASSWORD_MAX_SIMILARITY", "101", "not a whole number"),
        ("PASSWORD_MAX_CHAR_FREQUENCY", "1.5", "from 0 to 1"),
    ] {
        let mistakes = accounts(&[(name, value)]).expect_err(value).lines();
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(mistakes[0].starts_with(name) && mistakes[0].contains(told), "{mistakes:?}");
        assert!(!mistakes[0].contains("hunter2"), "{mistakes:?}");
    }
    let flags = pairs(&[("ACCOUNTS_URL", "postgres://u:hunter2@h/x")]);
    let mistakes = Config::load_accounts(&Sources { flags, ..Sources::default() });
    let told = mistakes.expect_err("a password as a flag").to_string();
    assert!(told.contains("--accounts-url-file") && !told.contains("hunter2"), "{told}");
}
