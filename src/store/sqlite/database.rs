//! One file as a store uses it: readers, one writer, and whether the file is still there.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqlitePool, SqliteRow};
use sqlx::{ConnectOptions as _, Row as _, SqlSafeStr as _, Sqlite, SqliteTransaction};
use tokio::time::Instant;

use super::{Failure, OpenError, Options, connect_options, open, pool_options};
use crate::clock::UnixTime;

/// The most rows that one transaction deletes, so that nobody waits long for the write lock.
const PURGE_BATCH: u32 = 200;
/// The least time for which a change stays in the log: much longer than a live reader takes.
const CHANGES_KEPT: Duration = Duration::from_secs(600);

/// The time for which a write probe is not repeated: anybody may ask for one.
const PROBE_LASTS: Duration = Duration::from_secs(1);

/// An open file. A clone is the same connections: stores of one process that share a file share
/// one of these, so that their writes queue for one connection and never for SQLite's lock, which
/// is only looked at now and then.
#[derive(Clone, Debug)]
pub struct Database {
    readers: SqlitePool,
    /// Apart from the readers: a write waits while another process writes, and reads, which the
    /// write-ahead log never makes wait, must not queue behind it.
    writer: SqlitePool,
    /// For who reads the log of changes; made when it is needed.
    change_reader: SqlitePool,
    path: PathBuf,
    /// Device and number of the file that was opened.
    opened: (u64, u64),
    /// The highest number in the log of changes, and when it was that; for a later visit to forget
    /// all up to there. So no time is kept in the file.
    changes_seen: Arc<Mutex<Option<(UnixTime, i64)>>>,
    /// The moment at which a write probe succeeded last.
    probed: Arc<tokio::sync::Mutex<Option<Instant>>>,
}

impl Database {
    /// Opens the file, making it where it is missing, and brings its schema up to date.
    ///
    /// # Errors
    /// [`OpenError`] where that is not possible.
    pub async fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        let readers = open(path, options).await?;
        let one = Options { max_connections: 1, ..options };
        let writer = open(path, one).await?;
        let quiet = connect_options(path, Options::default()).disable_statement_logging();
        let change_reader = pool_options(Options { max_connections: 1, ..Options::default() });
        Ok(Self {
            readers,
            writer,
            change_reader: change_reader.connect_lazy_with(quiet),
            path: path.to_owned(),
            opened: file_id(path).unwrap_or_default(),
            changes_seen: Arc::default(),
            probed: Arc::default(),
        })
    }

    /// For statements that only read.
    ///
    /// # Errors
    /// [`Failure`] where none is free in time, or the file is not in its place.
    pub async fn reader(&self) -> Result<PoolConnection<Sqlite>, Failure> {
        self.check_out(&self.readers).await
    }

    /// Runs a single statement that writes, and says how many rows it changed. It may have waited for
    /// the lock of another process: so it counts only where the file is still in its place.
    ///
    /// # Errors
    /// As of [`Self::reader`]; and where the statement failed.
    pub async fn execute(
        &self,
        statement: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<u64, Failure> {
        let done = statement.execute(&mut *self.check_out(&self.writer).await?).await?;
        self.check_same_file()?;
        Ok(done.rows_affected())
    }

    /// The same for a statement that returns the rows that it changed.
    ///
    /// # Errors
    /// As of [`Self::execute`].
    pub async fn execute_returning(
        &self,
        statement: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<Vec<SqliteRow>, Failure> {
        // To the last row: SQLite commits when the statement has ended, and may fail then.
        let rows = statement.fetch_all(&mut *self.check_out(&self.writer).await?).await?;
        self.check_same_file()?;
        Ok(rows)
    }

    /// A connection for who reads the log of changes, and nobody else.
    ///
    /// # Errors
    /// As of [`Self::reader`].
    pub(super) async fn change_reader(&self) -> Result<PoolConnection<Sqlite>, Failure> {
        self.check_out(&self.change_reader).await
    }

    /// A transaction that has the write lock from its beginning. One that is dropped before its
    /// commit changes nothing.
    ///
    /// # Errors
    /// [`Failure`] where the lock does not become free in time, or the file is not in its place.
    pub async fn begin(&self) -> Result<SqliteTransaction<'static>, Failure> {
        let writer = self.check_out(&self.writer).await?;
        let lock = Some("BEGIN IMMEDIATE".into_sql_str());
        let transaction = SqliteTransaction::begin(writer, lock).await?;
        // The lock may have been waited for.
        self.check_same_file()?;
        Ok(transaction)
    }

    /// A connection, while the file is the one that was opened: nothing reaches it on another way.
    /// The file is checked twice: no connection is made to another file, and none is used for which
    /// somebody waited meanwhile.
    async fn check_out(&self, pool: &SqlitePool) -> Result<PoolConnection<Sqlite>, Failure> {
        self.check_same_file()?;
        let mut connection = pool.acquire().await?;
        self.check_same_file().inspect_err(|_| connection.close_on_drop())?;
        Ok(connection)
    }

    /// Checks that the file is still the one that was opened. One that was deleted or replaced goes
    /// on to answer whoever has it open, and nobody can revoke anything in it.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] where it is not.
    pub(super) fn check_same_file(&self) -> Result<(), Failure> {
        if file_id(&self.path).is_ok_and(|now| now == self.opened) {
            return Ok(());
        }
        Err(Failure::Unavailable("its file was deleted or replaced; start again".to_owned()))
    }

    /// Checks that such a question is answered.
    ///
    /// # Errors
    /// [`Failure`] where it is not.
    pub async fn ping(&self, question: &'static str) -> Result<(), Failure> {
        sqlx::query(question).fetch_optional(&mut *self.reader().await?).await?;
        Ok(())
    }

    /// Makes a write, to show that it works: on a full disk, or one that was mounted read-only,
    /// reading goes on. It writes about as much as a login does, and not the same again, which
    /// SQLite would leave out.
    ///
    /// # Errors
    /// [`Failure`] where it does not.
    pub async fn probe_write(&self) -> Result<(), Failure> {
        const WRITE: &str = "INSERT INTO records (kind, name, value, expires) \
            VALUES ('probe', '?', hex(randomblob(8192)), 9223372036854775807) \
            ON CONFLICT (kind, name) DO UPDATE SET value = excluded.value";
        let mut probed = self.probed.lock().await;
        if probed.is_none_or(|at| at.elapsed() >= PROBE_LASTS) {
            self.execute(sqlx::query(WRITE)).await?;
            *probed = Some(Instant::now());
        }
        Ok(())
    }

    /// Runs a statement that deletes some of what lies at or before `bound`, over and over until
    /// it finds no more; says how many rows went. Its `?1` is the bound, its `?2` how many rows
    /// it may delete at most.
    ///
    /// # Errors
    /// [`Failure`]; the batches before it are gone.
    pub async fn delete_in_batches(&self, sql: &'static str, bound: i64) -> Result<u64, Failure> {
        let mut removed = 0;
        loop {
            let began = Instant::now();
            let gone = self.execute(sqlx::query(sql).bind(bound).bind(PURGE_BATCH)).await?;
            removed += gone;
            if gone < u64::from(PURGE_BATCH) {
                return Ok(removed);
            }
            // Our own writers queue for the connection, but those of other processes only look
            // now and then whether the lock is free: half of the time it is.
            tokio::time::sleep(began.elapsed()).await;
        }
    }

    /// Forgets changes that were in the log at a visit ten minutes before `at` or more; says how many.
    /// The last one stays, so that whoever reads the log sees that none is missing.
    ///
    /// # Errors
    /// [`Failure`]; the log is longer than it need be.
    pub async fn forget_changes(&self, at: UnixTime) -> Result<u64, Failure> {
        const FORGET: &str = "DELETE FROM changes WHERE seq IN \
            (SELECT seq FROM changes WHERE seq <= ?1 \
             AND seq < (SELECT max(seq) FROM changes) ORDER BY seq LIMIT ?2)";
        let seen = *self.changes_seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_some_and(|(when, _)| at.since(when) < CHANGES_KEPT) {
            return Ok(0);
        }
        let highest = "SELECT coalesce(max(seq), 0) FROM changes";
        let highest = sqlx::query(highest).fetch_one(&mut *self.reader().await?).await?;
        let highest: i64 = highest.try_get(0)?;
        let forgotten = match seen {
            Some((_, bound)) => self.delete_in_batches(FORGET, bound).await?,
            None => 0,
        };
        let visit = Some((at, highest));
        *self.changes_seen.lock().unwrap_or_else(PoisonError::into_inner) = visit;
        Ok(forgotten)
    }

    /// Waits for the statements under way and closes the file. The log is then folded into the
    /// database, if no other process uses it.
    pub async fn close(&self) {
        for pool in [&self.change_reader, &self.readers, &self.writer] {
            pool.close().await;
        }
    }

    /// The place of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn file_id(path: &Path) -> std::io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let file = std::fs::metadata(path)?;
    Ok((file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// A file that stands in the place of another for a moment.
    #[tokio::test]
    async fn no_connection_to_another_file_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let [ours, others, aside] =
            ["ours.db", "others.db", "aside.db"].map(|name| folder.path().join(name));
        let database = Database::open(&ours, Options::default()).await.expect("open");
        Database::open(&others, Options::default()).await.expect("open").close().await;
        // The write-ahead log is found by its path: the other file must not find any of ours.
        database.readers.close().await;
        let mut writer = database.check_out(&database.writer).await.expect("the writer");
        for made in ["CREATE TABLE ours (x)", "PRAGMA wal_checkpoint(TRUNCATE)"] {
            sqlx::query(made).fetch_all(&mut *writer).await.expect(made);
        }
        let mut waiting = Box::pin(database.begin());
        assert!((&mut waiting).now_or_never().is_none(), "there is one writer");
        std::fs::rename(&ours, &aside).expect("moved");
        std::fs::rename(&others, &ours).expect("moved");
        // Whoever waits has to connect anew.
        writer.close_on_drop();
        drop(writer);
        let told = waiting.await;
        assert!(matches!(told, Err(Failure::Unavailable(_))), "this is another file");
        std::fs::rename(&ours, &others).expect("moved");
        std::fs::rename(&aside, &ours).expect("moved");
        let mut transaction = database.begin().await.expect("it is back");
        sqlx::query("SELECT x FROM ours").fetch_all(&mut *transaction).await.expect("our table");
    }

    #[tokio::test]
    async fn a_write_that_waits_while_its_file_is_replaced_is_not_acknowledged() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("db");
        let database = Database::open(&path, Options::default()).await.expect("open");
        let other = open(&path, Options::default()).await.expect("open");
        let lock = other.begin_with("BEGIN IMMEDIATE").await.expect("lock");
        let writing = tokio::spawn({
            let database = database.clone();
            async move {
                let write = sqlx::query("INSERT INTO records VALUES ('lease', 'n', '{}', 1)");
                database.execute(write).await
            }
        });
        // It has its connection, and waits for the lock.
        while database.writer.num_idle() > 0 {
            tokio::task::yield_now().await;
        }
        std::fs::rename(&path, folder.path().join("old")).expect("rename");
        std::fs::write(&path, "").expect("another file");
        lock.rollback().await.expect("rollback");
        let written = writing.await.expect("task");
        assert!(matches!(written, Err(Failure::Unavailable(_))), "{written:?}");
    }
}
