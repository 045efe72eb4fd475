//! An exchange whose tokens are on different servers of a cluster.
//!
//! The successors are written first, each with the name of its parent, and are nobody's: a token
//! with a parent is there only if the parent's record names it among its heirs. Then the parent is
//! marked as used and names its heirs, in one step on one server: this is the exchange, and of any
//! number of callers one carries it out. At last the successors lose their parent, so that they
//! outlive it; where that fails whoever reads one does it.
//!
//! Interrupted before the step, the successors are left for the server to forget; after it, nothing
//! is missing.

use redis::RedisResult;

use super::record::Record;
use super::{Connection, RedisOpaque, exchanged, on, unnamed};
use crate::clock::UnixTime;
use crate::opaque::record::{OpaqueToken, TokenDigest};
use crate::opaque::store::{Exchange, taken};
use crate::session::StoreError;
use crate::storage::redis::{Call, invoke_all};

/// The field of a successor that names whom it may inherit from.
const PARENT: &str = "parent";
/// The field of a used token that names who does.
const HEIRS: &str = "heirs";

impl RedisOpaque {
    /// Adds tokens one by one, and takes back those that were added where one cannot be.
    pub(super) async fn put_apart(
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
                Ok(false) => failure = Some(taken()),
                Err(error) => {
                    perhaps.push(token.digest);
                    failure = Some(on(&token.digest)(error));
                }
            }
        }
        let Some(failure) = failure else { return Ok(()) };
        self.take_back(&perhaps, &mut connection).await;
        Err(failure)
    }

    /// Both or nothing: see above.
    pub(super) async fn exchange_apart(
        &self,
        old: &TokenDigest,
        at: UnixTime,
        successors: &[OpaqueToken],
    ) -> Result<Exchange, StoreError> {
        // Most who come late write nothing.
        match self.state(old).await? {
            State::Dormant => return Ok(Exchange::Unknown),
            State::Used => return Ok(Exchange::Used),
            State::Open => {}
        }
        self.put_apart(successors, Some(old)).await?;
        let heirs: Vec<TokenDigest> = successors.iter().map(|token| token.digest).collect();
        let names: Vec<String> = heirs.iter().map(TokenDigest::name).collect();
        let mut connection = self.connection().await?;
        let mut call = self.bequeath.key(self.key(old));
        call.arg(at.as_millis()).arg(names.join(" "));
        // Without an answer nobody knows, and nothing is taken back: the parent's record decides.
        let outcome: RedisResult<String> = self.redis.change(&call, &mut connection).await;
        let outcome = exchanged(old, &outcome.map_err(on(old))?);
        if outcome == Ok(Exchange::Done) {
            self.come_of_age(&heirs, &mut connection).await;
        } else {
            self.take_back(&heirs, &mut connection).await;
        }
        outcome
    }

    /// Whether a token is nobody's successor, or one that its parent names. Asks nobody on a single
    /// server, where no token has a parent.
    pub(super) async fn is_heir(
        &self,
        digest: &TokenDigest,
        record: &Record,
    ) -> Result<bool, StoreError> {
        let Some(parent) = record.get(PARENT) else { return Ok(true) };
        let parent = std::str::from_utf8(parent).ok().and_then(TokenDigest::parse_name);
        let Some(parent) = parent else { return Ok(false) };
        let mut connection = self.connection().await?;
        let mut command = redis::cmd("HGET");
        command.arg(self.key(&parent)).arg(HEIRS);
        let heirs: RedisResult<Option<String>> = command.query_async(&mut connection).await;
        let heirs = heirs.map_err(on(&parent))?.unwrap_or_default();
        let is_heir = heirs.split(' ').any(|heir| heir == digest.name());
        if is_heir {
            self.come_of_age(&[*digest], &mut connection).await;
        }
        Ok(is_heir)
    }

    /// Whether a token is there for whoever changes it; on a single server the change itself says.
    pub(super) async fn is_there(&self, digest: &TokenDigest) -> Result<bool, StoreError> {
        Ok(!self.redis.is_cluster() || self.state(digest).await? != State::Dormant)
    }

    async fn state(&self, digest: &TokenDigest) -> Result<State, StoreError> {
        let mut command = redis::cmd("HMGET");
        command.arg(self.key(digest)).arg(PARENT).arg("used");
        let fields: RedisResult<(Field, Field)> =
            command.query_async(&mut self.connection().await?).await;
        match fields {
            Ok((Some(parent), _)) => {
                let record = Record::from([(PARENT.to_owned(), parent)]);
                let is_heir = self.is_heir(digest, &record).await?;
                Ok(if is_heir { State::Open } else { State::Dormant })
            }
            Ok((None, Some(_))) => Ok(State::Used),
            Ok((None, None)) => Ok(State::Open),
            Err(error) if error.code() == Some("WRONGTYPE") => Ok(State::Open),
            Err(error) => Err(on(digest)(error)),
        }
    }

    /// From now on they are there without their parent.
    async fn come_of_age(&self, heirs: &[TokenDigest], connection: &mut Connection) {
        let mut pipeline = redis::pipe();
        for heir in heirs {
            pipeline.hdel(self.key(heir), PARENT).ignore();
        }
        if !heirs.is_empty()
            && let Err(error) = pipeline.exec_async(connection).await
        {
            let error = unnamed(error);
            tracing::debug!(%error, "whoever reads the token makes it independent");
        }
    }

    async fn take_back(&self, tokens: &[TokenDigest], connection: &mut Connection) {
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

/// How a token is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A successor, and nobody's.
    Dormant,
    /// It was exchanged.
    Used,
    /// Neither; gone, perhaps, or of another kind: whoever changes it will be told.
    Open,
}
