//! Rotation of a token whose successors are on other servers of a cluster: two phases, pending and
//! committed.
//!
//! The successors are written first, each with the name of its parent, and are *pending*: a token
//! with a parent is there only if the parent's record names it as a successor. Then the parent is
//! marked as used and names its successors, in one step on one server: this is the commit, and of
//! any number of callers one carries it out. At last the successors lose their parent, so that they
//! outlive it; where that fails whoever reads one does it.
//!
//! Interrupted before the step, the successors are left for the server to forget; after it, nothing
//! is missing.

use redis::RedisResult;

use super::record::Record;
use super::{Connection, RedisTokenStore, on, rotation_of, unnamed};
use crate::clock::UnixTime;
use crate::opaque::record::{OpaqueToken, TokenDigest};
use crate::opaque::store::{Rotation, collision};
use crate::store::StoreError;
use crate::store::redis::{Call, invoke_all};

/// The field of a pending successor that names the token that it follows.
const PARENT: &str = "parent";
/// The field of a used token that names its successors.
const SUCCESSORS: &str = "heirs";

impl RedisTokenStore {
    /// Adds tokens one by one, and takes back those that were added where one cannot be.
    pub(super) async fn put_cross_slot(
        &self,
        tokens: &[OpaqueToken],
        parent: Option<&TokenDigest>,
    ) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        let calls: Vec<Call<'_>> = tokens
            .iter()
            .map(|token| {
                let mut call = self.put.call();
                self.add(&mut call, token, parent.map(|parent| (PARENT, parent.name())));
                call
            })
            .collect();
        let added = invoke_all::<bool>(&calls, &mut connection).await;
        let added = added.unwrap_or_else(|error| vec![Err(error); tokens.len()]);
        let mut failure = None;
        let mut perhaps = Vec::new();
        for (token, added) in tokens.iter().zip(added) {
            match added {
                Ok(true) => perhaps.push(token.digest),
                // Somebody else's, and to be left alone.
                Ok(false) => failure = Some(collision()),
                Err(error) => {
                    perhaps.push(token.digest);
                    failure = Some(on(&token.digest)(error));
                }
            }
        }
        let Some(failure) = failure else { return Ok(()) };
        self.roll_back(&perhaps, &mut connection).await;
        Err(failure)
    }

    /// Rotates a token, both or nothing: see above.
    pub(super) async fn rotate_cross_slot(
        &self,
        old: &TokenDigest,
        at: UnixTime,
        successors: &[OpaqueToken],
    ) -> Result<Rotation, StoreError> {
        // Most who come late write nothing.
        match self.state(old).await? {
            State::Pending => return Ok(Rotation::Unknown),
            State::Used => return Ok(Rotation::AlreadyUsed),
            State::Open => {}
        }
        self.put_cross_slot(successors, Some(old)).await?;
        let added: Vec<TokenDigest> = successors.iter().map(|token| token.digest).collect();
        let names: Vec<String> = added.iter().map(TokenDigest::name).collect();
        let mut connection = self.connection().await?;
        let mut call = self.commit.key(self.key(old));
        call.arg(at.as_millis()).arg(names.join(" "));
        // Without an answer nobody knows, and nothing is taken back: the parent's record decides.
        let outcome: RedisResult<String> = self.redis.change(&call, &mut connection).await;
        let outcome = rotation_of(old, &outcome.map_err(on(old))?);
        if outcome == Ok(Rotation::Rotated) {
            self.clear_pending(&added, &mut connection).await;
        } else {
            self.roll_back(&added, &mut connection).await;
        }
        outcome
    }

    /// Says whether a token is not pending: it has no parent, or one that names it. Asks nobody on
    /// a single server, where no token has a parent.
    pub(super) async fn is_committed(
        &self,
        digest: &TokenDigest,
        record: &Record,
    ) -> Result<bool, StoreError> {
        let Some(parent) = record.get(PARENT) else { return Ok(true) };
        let parent = std::str::from_utf8(parent).ok().and_then(TokenDigest::parse_name);
        let Some(parent) = parent else { return Ok(false) };
        let mut connection = self.connection().await?;
        let mut command = redis::cmd("HGET");
        command.arg(self.key(&parent)).arg(SUCCESSORS);
        let successors: RedisResult<Option<String>> = command.query_async(&mut connection).await;
        let successors = successors.map_err(on(&parent))?.unwrap_or_default();
        let is_committed = successors.split(' ').any(|name| name == digest.name());
        if is_committed {
            self.clear_pending(&[*digest], &mut connection).await;
        }
        Ok(is_committed)
    }

    /// Whether a token is there for whoever changes it; on a single server the change itself says.
    pub(super) async fn is_there(&self, digest: &TokenDigest) -> Result<bool, StoreError> {
        Ok(!self.redis.is_cluster() || self.state(digest).await? != State::Pending)
    }

    async fn state(&self, digest: &TokenDigest) -> Result<State, StoreError> {
        let mut command = redis::cmd("HMGET");
        command.arg(self.key(digest)).arg(PARENT).arg("used");
        let fields: RedisResult<(Field, Field)> =
            command.query_async(&mut self.connection().await?).await;
        match fields {
            Ok((Some(parent), _)) => {
                let record = Record::from([(PARENT.to_owned(), parent)]);
                let is_committed = self.is_committed(digest, &record).await?;
                Ok(if is_committed { State::Open } else { State::Pending })
            }
            Ok((None, Some(_))) => Ok(State::Used),
            Ok((None, None)) => Ok(State::Open),
            Err(error) if error.code() == Some("WRONGTYPE") => Ok(State::Open),
            Err(error) => Err(on(digest)(error)),
        }
    }

    /// Takes the mark of a pending token away: from now on they are there without their parent.
    async fn clear_pending(&self, successors: &[TokenDigest], connection: &mut Connection) {
        let mut pipeline = redis::pipe();
        for successor in successors {
            pipeline.hdel(self.key(successor), PARENT).ignore();
        }
        if !successors.is_empty()
            && let Err(error) = pipeline.exec_async(connection).await
        {
            let error = unnamed(error);
            tracing::debug!(%error, "whoever reads the token takes the name of its parent away");
        }
    }

    async fn roll_back(&self, tokens: &[TokenDigest], connection: &mut Connection) {
        let mut pipeline = redis::pipe();
        for digest in tokens {
            pipeline.del(self.key(digest)).ignore();
        }
        if !tokens.is_empty()
            && let Err(error) = pipeline.exec_async(connection).await
        {
            let error = unnamed(error);
            tracing::warn!(%error, "a token that nobody was told of is left until its end");
        }
    }
}

/// A field, where there is one.
type Field = Option<Vec<u8>>;

/// State of a token at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A successor that was not committed.
    Pending,
    /// It was rotated.
    Used,
    /// Neither; gone, perhaps, or of another kind: whoever changes it will be told.
    Open,
}
