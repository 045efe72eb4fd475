//! jwthenticator's table of registered keys, in SQLite or PostgreSQL. It is only read.

use std::collections::HashSet;

use anyhow::{Context as _, anyhow, bail};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::super::accounts::{Accounts, failed, load};
use super::super::apikey::new_id;
use super::super::output::Output;
use super::super::progress::Progress;
use super::super::settings::SettingFlags;
use super::super::{Failure, Outcome, clock_and_random};
use super::{Counts, ImportOutcome, add_user};
use crate::account::{AccountError, AccountStore, ApiKey, KeyDigest, Login, User, UserKind};
use crate::clock::UnixTime;
use crate::secret::{Random, Secret};
use crate::session::UserId;
use crate::store::postgres;

/// The number of keys that are read at once.
const PAGE: i64 = 500;
/// The label of the imported keys, and in the audit log of the import.
const LABEL: &str = "jwthenticator";
/// SHA-512 in hex.
const HASH_DIGITS: usize = 128;
/// A UUID in hex.
const UUID_DIGITS: usize = 32;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Its database: sqlite:PATH, or postgres://USER@HOST/DATABASE with the password in PGPASSWORD
    #[arg(long, value_name = "URL")]
    from: String,
    /// Print an object with the counts
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

/// A row of `keys`, as it stands there.
type Row = (i64, String, String, Option<i64>);

/// A key that can be taken over.
#[derive(Debug, PartialEq, Eq)]
struct Registered {
    digest: KeyDigest,
    /// Its owner: the UUID with dashes.
    user: UserId,
    expires: UnixTime,
}

enum Source {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

pub(super) async fn import(args: &Args) -> Outcome {
    // A mistake in the settings is told before anything is opened.
    load(&args.settings)?;
    let mut source = Source::open(&args.from).await?;
    let total = source.count().await.map_err(Failure::unavailable)?;
    let (accounts, log) = Accounts::open_to_change(&args.settings).await?;
    let (clock, random) = clock_and_random();
    let mut key_import = KeyImport {
        store: accounts.store.as_ref(),
        random: random.as_ref(),
        now: clock.now(),
        users: HashSet::new(),
        counts: Counts::default(),
    };
    let taken = key_import.import_all(&mut source, u64::try_from(total).unwrap_or_default()).await;
    key_import.counts.audit(&log, LABEL);
    taken?;
    let users = key_import.users.len();
    Output::say(&format!("{users} identifiers are users of kind service"));
    key_import.counts.report("keys", args.json)
}

/// An import of keys, as far as it came.
struct KeyImport<'a> {
    store: &'a dyn AccountStore,
    random: &'a dyn Random,
    now: UnixTime,
    users: HashSet<UserId>,
    counts: Counts,
}

impl KeyImport<'_> {
    async fn import_all(&mut self, source: &mut Source, total: u64) -> Result<(), Failure> {
        let mut progress = Progress::new(total);
        let mut after = i64::MIN;
        loop {
            let page = source.page(after).await.map_err(Failure::unavailable)?;
            let Some((last, ..)) = page.last() else { break };
            after = *last;
            for row in &page {
                self.import_one(row).await?;
                progress.step();
            }
        }
        progress.finish();
        Ok(())
    }

    async fn import_one(&mut self, row: &Row) -> Result<(), Failure> {
        let Some(key) = read(row) else {
            Output::say(&format!("key {}: it cannot be read", row.0));
            self.counts.count(ImportOutcome::Conflict);
            return Ok(());
        };
        if !self.users.contains(&key.user) {
            if add_user(self.store, &service(&key.user, self.now)?).await?
                == ImportOutcome::Conflict
            {
                Output::say(&format!("key {}: {} is another user's id or name", row.0, key.user));
                self.counts.count(ImportOutcome::Conflict);
                return Ok(());
            }
            self.users.insert(key.user.clone());
        }
        let added = self.store.add_key(&self.api_key(key)?).await;
        self.counts.count(match added {
            Ok(()) => ImportOutcome::Added,
            Err(AccountError::Taken(_)) => ImportOutcome::AlreadyPresent,
            Err(error) => return Err(failed(error)),
        });
        Ok(())
    }

    fn api_key(&self, key: Registered) -> anyhow::Result<ApiKey> {
        Ok(ApiKey {
            id: new_id(self.random)?,
            user: key.user,
            digest: key.digest,
            label: Some(LABEL.to_owned()),
            scopes: Vec::new(),
            created: self.now,
            expires: Some(key.expires),
            last_used: None,
        })
    }
}

/// The user that an identifier becomes.
fn service(id: &UserId, now: UnixTime) -> anyhow::Result<User> {
    let username = Login::parse(id.as_str())?;
    Ok(User { kind: UserKind::Service, ..User::new(id.clone(), username, now) })
}

/// A key without an end was never good in jwthenticator, so it is not taken for one without end.
fn read((_, hash, identifier, expires): &Row) -> Option<Registered> {
    let is_hash = hash.len() == HASH_DIGITS && hash.bytes().all(|b| b.is_ascii_hexdigit());
    let expires = u64::try_from((*expires)?).ok()?;
    let user = UserId::parse(&dashed(identifier)?).ok()?;
    let digest = KeyDigest::from_sha512_hex(hash);
    is_hash.then_some(Registered { digest, user, expires: UnixTime::from_millis(expires) })
}

/// A UUID as RFC 9562 writes it.
fn dashed(uuid: &str) -> Option<String> {
    let digits: String = uuid.trim().chars().filter(|char| *char != '-').collect();
    if digits.len() != UUID_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let d = digits.to_ascii_lowercase();
    Some([&d[..8], &d[8..12], &d[12..16], &d[16..20], &d[20..]].join("-"))
}

impl Source {
    async fn open(from: &str) -> Result<Self, Failure> {
        match from.split_once(':') {
            Some(("sqlite", path)) => {
                let path = path.strip_prefix("//").unwrap_or(path);
                let options = SqliteConnectOptions::new().filename(path).read_only(true);
                let opened = options.connect().await;
                let opened = opened.with_context(|| format!("cannot open {path}"));
                Ok(Self::Sqlite(opened.map_err(Failure::unavailable)?))
            }
            Some(("postgres" | "postgresql", _)) => {
                without_password(from).map_err(Failure::usage)?;
                let options = postgres::connect_options(&Secret::new(from));
                let opened = PgConnection::connect_with(&options.map_err(Failure::usage)?).await;
                let opened = opened.context("cannot open jwthenticator's database");
                Ok(Self::Postgres(opened.map_err(Failure::unavailable)?))
            }
            _ => Err(Failure::usage(anyhow!("--from is sqlite:PATH or postgres://..."))),
        }
    }

    async fn count(&mut self) -> anyhow::Result<i64> {
        let sql = "SELECT count(*) FROM keys";
        Ok(match self {
            Self::Sqlite(connection) => sqlx::query_scalar(sql).fetch_one(connection).await?,
            Self::Postgres(connection) => sqlx::query_scalar(sql).fetch_one(connection).await?,
        })
    }

    /// The next keys. Its times have no zone and mean UTC.
    async fn page(&mut self, after: i64) -> anyhow::Result<Vec<Row>> {
        Ok(match self {
            Self::Sqlite(connection) => {
                let rows = sqlx::query_as(
                    "SELECT id, coalesce(key_hash, ''), CAST(identifier AS TEXT), \
                     CAST(strftime('%s', expires_at) AS INTEGER) * 1000 \
                     FROM keys WHERE id > $1 ORDER BY id LIMIT $2",
                );
                rows.bind(after).bind(PAGE).fetch_all(connection).await?
            }
            Self::Postgres(connection) => {
                let rows = sqlx::query_as(
                    "SELECT CAST(id AS BIGINT), coalesce(key_hash, ''), CAST(identifier AS TEXT), \
                     CAST(floor(extract(epoch FROM expires_at)) * 1000 AS BIGINT) \
                     FROM keys WHERE id > $1 ORDER BY id LIMIT $2",
                );
                rows.bind(after).bind(PAGE).fetch_all(connection).await?
            }
        })
    }
}

/// Every user of the host can read a command line.
fn without_password(url: &str) -> anyhow::Result<()> {
    let parsed = url::Url::parse(url).context("--from")?;
    if parsed.password().is_some() || parsed.query_pairs().any(|(name, _)| name == "password") {
        bail!("--from holds a password, which every user of this host could read; use PGPASSWORD");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_taken_over_or_refused() {
        let hash = "AB".repeat(64);
        let uuid = "0123456789ABCDEF0123456789abcdef";
        let dashed = "01234567-89ab-cdef-0123-456789abcdef";
        for identifier in [uuid, dashed, " 0123456789abcdef0123456789abcdef"] {
            let key = read(&(1, hash.clone(), identifier.to_owned(), Some(5_000)));
            let key = key.expect(identifier);
            assert_eq!(key.user.as_str(), dashed);
            assert_eq!(key.digest.as_str(), format!("sha512:{}", "ab".repeat(64)));
            assert_eq!(key.expires, UnixTime::from_secs(5));
        }
        for (hash, identifier, expires) in [
            ("", uuid, Some(1)),
            ("zz", uuid, Some(1)),
            (&hash[1..], uuid, Some(1)),
            (hash.as_str(), "", Some(1)),
            (&hash, "0123456789abcdef0123456789abcdeg", Some(1)),
            (&hash, "ä123456789abcdef0123456789abcde", Some(1)),
            (&hash, uuid, None),
            (&hash, uuid, Some(-1)),
        ] {
            let row = (1, hash.to_owned(), identifier.to_owned(), expires);
            assert_eq!(read(&row), None, "{row:?}");
        }
    }

    #[test]
    fn a_password_on_the_command_line_is_refused() {
        for bad in ["postgres://u:hunter2@h/x", "postgres://u@h/x?password=hunter2", "postgres://["]
        {
            let told = without_password(bad).map_err(|error| format!("{error:#}"));
            assert!(told.as_ref().is_err_and(|told| !told.contains("hunter2")), "{bad}: {told:?}");
        }
        assert!(without_password("postgres://u@h/x?sslmode=require").is_ok());
    }
}
