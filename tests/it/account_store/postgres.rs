//! Tests of PostgreSQL beyond the contract: its schema, TLS, deadlines, and a server that
//! goes away.

use std::time::Duration;

use portcullis::account::{AccountError, AccountStore as _, PostgresAccounts};
use portcullis::store::postgres::{OpenError, Options};

use super::{id, open_postgres, secret, user};
use crate::support::in_repository;
use crate::support::issuer::{Issuer, SCOPES};
use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::{PASSWORD, PostgresServer};
use crate::support::realm::Realm;

async fn open(url: &str, options: Options) -> Result<PostgresAccounts, OpenError> {
    PostgresAccounts::open(&secret(url), options).await
}

/// The number of steps of the schema.
fn steps() -> i64 {
    let steps = std::fs::read_dir(in_repository("src/store/migrations/postgres"));
    steps.expect("the steps").count().try_into().expect("a number")
}

/// An error and all that it stands on, as an operator reads it.
fn error_text(error: &OpenError) -> String {
    let source = std::error::Error::source(error).map_or_else(String::new, ToString::to_string);
    format!("{error}: {source} {error:?}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_may_open_a_new_database_at_once() {
    let Some(server) = PostgresServer::shared() else { return };
    // Which of them waits for which is chance, so it is tried several times.
    for _ in 0..5 {
        let url = server.database();
        let opening: Vec<_> = (0..12)
            .map(|_| {
                let url = url.clone();
                tokio::spawn(async move { open(&url, Options::default()).await })
            })
            .collect();
        for opened in opening {
            let store = opened.await.expect("task").expect("open");
            assert_eq!(store.ping().await, Ok(()));
            store.close().await;
        }
        let steps = steps().to_string();
        assert_eq!(server.psql(&url, "SELECT version FROM portcullis_schema"), steps);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_may_open_a_new_database_at_once_behind_pgbouncer() {
    let Some(server) = PostgresServer::shared() else { return };
    let Some(bouncer) = PgBouncer::before(&server) else { return };
    let url = format!("{}&pgbouncer=true", bouncer.url(&server.database()));
    let opening: Vec<_> = (0..12)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { open(&url, Options::default()).await })
        })
        .collect();
    for opened in opening {
        let store = opened.await.expect("task").expect("open");
        assert_eq!(store.ping().await, Ok(()));
    }
}

/// Without the parameter it may work for a while; when it does not, the error says what to write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_pgbouncer_an_error_names_the_parameter() {
    let Some(server) = PostgresServer::shared() else { return };
    let Some(bouncer) = PgBouncer::before(&server) else { return };
    let url = bouncer.url(&server.database());
    let mut error_text = Vec::new();
    for _ in 0..20 {
        let store = match open(&url, Options::default()).await {
            Ok(store) => store,
            Err(error) => panic!("it starts: {}", self::error_text(&error)),
        };
        for name in ["alice", "bob"] {
            error_text.extend(store.user(&id(name)).await.err().map(|error| error.to_string()));
        }
    }
    assert!(!error_text.is_empty(), "pgbouncer in transaction mode remembers statements by now");
    let has_cure = |error_text: &String| error_text.contains("?pgbouncer=true");
    assert!(error_text.iter().any(has_cure), "{error_text:?}");
}

#[test]
fn a_database_that_takes_no_writes_refuses_no_login() {
    let Some(server) = PostgresServer::shared() else { return };
    let url = server.database();
    let realm = Realm::issuing().with("ACCOUNTS_URL", &url);
    realm.with_alice_and_demo();
    let key = realm.ask(&["apikey", "add", "alice"]);
    server.psql(
        &url,
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', \
         current_database()); END $$",
    );
    let issuer = Issuer::start(&realm);
    issuer.log_in();
    let fields = [("grant_type", "urn:portcullis:grant-type:api-key"), ("api_key", &key)];
    let by_key = issuer.form("/token", &[&fields[..], &[("scope", SCOPES[0])]].concat(), &[]);
    assert_eq!(by_key.status, 200, "{by_key:?}");
    issuer.gate.wait_for_log("cannot be noted");
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let Some(server) = PostgresServer::shared() else { return };
    let url = server.database();
    open_postgres(&url).await.close().await;
    server.psql(&url, "UPDATE portcullis_schema SET version = 99");
    for _ in 0..2 {
        let refused = open(&url, Options::default()).await;
        let Err(OpenError::NewerSchema(newer)) = refused else { panic!("{refused:?}") };
        assert_eq!((newer.found, newer.known), (99, steps()));
    }
    assert_eq!(server.psql(&url, "SELECT version FROM portcullis_schema"), "99");
}

#[tokio::test]
async fn a_role_that_may_make_no_tables_can_use_what_is_there() {
    let Some(server) = PostgresServer::shared() else { return };
    let url = server.database();
    open_postgres(&url).await.close().await;
    server.psql(
        &url,
        "CREATE ROLE modest LOGIN PASSWORD 'x'; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO modest",
    );
    let modest = url.replace(&format!("portcullis:{PASSWORD}@"), "modest:x@");
    let store = open_postgres(&modest).await;
    store.add_user(&user("alice")).await.expect("add");
    assert!(store.user(&id("alice")).await.expect("user").is_some());
    store.close().await;
    server.psql(&url, "DROP OWNED BY modest; DROP ROLE modest");
}

#[tokio::test]
async fn a_server_that_refuses_is_told_without_credentials() {
    let Some(server) = PostgresServer::shared() else { return };
    let url = server.url();
    let options = Options { open_timeout: Duration::from_secs(5), ..Options::default() };
    for (bad, expected) in [
        (url.replace(PASSWORD, "hunter2"), "password authentication failed"),
        (url.replace("/postgres?", "/nowhere?"), "does not exist"),
        ("postgres://x:hunter2@127.0.0.1:1/x".to_owned(), "postgres 127.0.0.1:1/x"),
    ] {
        let error = open(&bad, options).await.expect_err("refused");
        let error_text = error_text(&error);
        assert!(error_text.contains(expected), "{error_text}");
        assert!(
            !error_text.contains("hunter2") && !error_text.contains("of-nobody"),
            "{error_text}"
        );
    }
}

#[tokio::test]
async fn tls_is_as_sslmode_says() {
    let Some(server) = PostgresServer::shared() else { return };
    let url = server.database();
    let ca = server.ca_file().display().to_string();
    let is_encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                        WHERE ssl AND datname = current_database()";
    for (mode, encrypted) in [
        ("sslmode=disable".to_owned(), "0"),
        ("sslmode=require".to_owned(), "1"),
        (format!("sslmode=verify-full&sslrootcert={ca}"), "1"),
    ] {
        let store = open_postgres(&url.replace("sslmode=disable", &mode)).await;
        store.ping().await.expect("ping");
        assert_eq!(server.psql(&url, is_encrypted), encrypted, "{mode}");
        store.close().await;
    }
    // Nobody has signed the server's certificate but itself.
    let strict = url.replace("sslmode=disable", "sslmode=verify-full");
    let refused = open(&strict, Options::default()).await;
    assert!(matches!(refused, Err(OpenError::Refused { .. })), "{refused:?}");
}

#[tokio::test]
async fn what_takes_too_long_is_given_up_here_and_there() {
    let Some(server) = PostgresServer::shared() else { return };
    let url = server.database();
    let options = Options { timeout: Duration::from_millis(500), ..Options::default() };
    let (store, patient) = (open(&url, options).await.expect("open"), open_postgres(&url).await);
    patient.add_user(&user("alice")).await.expect("add");
    let raw = sqlx::PgPool::connect(&url).await.expect("connect");
    let mut lock = raw.begin().await.expect("begin");
    let sql = "LOCK TABLE users IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(sql).execute(&mut *lock).await.expect("lock");
    assert_eq!(store.user(&id("alice")).await, Err(AccountError::TimedOut));
    assert_eq!(store.add_user(&user("bob")).await, Err(AccountError::TimedOut));
    let waiting = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    crate::support::poll("the server gives up too", crate::support::PATIENCE, || {
        (server.psql(&url, waiting) == "0").then_some(())
    });
    lock.rollback().await.expect("rollback");
    assert_eq!(patient.user(&id("bob")).await, Ok(None), "nothing half-done is left");
    assert!(patient.user(&id("alice")).await.expect("user").is_some());
    raw.close().await;
}

#[tokio::test]
async fn a_server_that_came_back_answers_again() {
    let Some(mut server) = PostgresServer::start() else { return };
    let store = open_postgres(&server.url()).await;
    store.add_user(&user("alice")).await.expect("add");
    server.stop();
    let gone = store.user(&id("alice")).await;
    assert!(matches!(gone, Err(AccountError::Unavailable(_) | AccountError::TimedOut)), "{gone:?}");
    server.restart();
    assert!(store.user(&id("alice")).await.expect("user").is_some());
}
