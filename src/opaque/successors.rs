//! Rotation over a store that changes one record at a time: a commit in two phases.
//!
//! The successors are added *pending*, each with the name of its parent. Then the parent becomes used
//! and names its successors, in one step on one record. This is the commit: of any number of callers
//! one carries it out. At last the successors lose the name of their parent, so that they outlive
//! it. A pending token is there only if its parent names it as a successor.
//!
//! Interrupted before the commit, the successors are left for the server to forget. After it,
//! nothing is missing: whoever reads a successor has the name of its parent taken away, and does not
//! wait for that.

#[cfg(test)]
mod tests;

use async_trait::async_trait;
use futures_util::future::join_all;

use super::record::{OpaqueToken, TokenDigest};
use super::store::{Rotation, check_distinct, collision};
use crate::clock::UnixTime;
use crate::store::StoreError;

/// A token as such a store keeps it.
#[derive(Clone, Debug)]
pub(super) struct TokenRecord {
    pub(super) token: OpaqueToken,
    /// The token that it follows: it is pending, or was committed and never read since.
    pub(super) parent: Option<TokenDigest>,
    /// The tokens that it was rotated into.
    pub(super) successors: Vec<TokenDigest>,
}

/// Operations of a store on one record, each of them one step. A clone is the same store.
#[async_trait]
pub(super) trait TokenRecords: Clone + Send + Sync + 'static {
    async fn read(&self, digest: &TokenDigest) -> Result<Option<TokenRecord>, StoreError>;

    /// Adds a token, a pending one if it has a parent. `false`: its digest is taken.
    async fn add(
        &self,
        token: &OpaqueToken,
        parent: Option<&TokenDigest>,
    ) -> Result<bool, StoreError>;

    /// Marks a token as used `at`, names its successors and takes the name of its parent away, if it
    /// is there and was not used.
    async fn commit(
        &self,
        digest: &TokenDigest,
        at: UnixTime,
        successors: &[TokenDigest],
    ) -> Result<Rotation, StoreError>;

    /// Takes the name of its parent away from a token that is there.
    async fn clear_parent(&self, digest: &TokenDigest) -> Result<(), StoreError>;

    /// Deletes a token. Says whether it was there, pending or not.
    async fn delete(&self, digest: &TokenDigest) -> Result<bool, StoreError>;
}

/// Adds tokens, all or none, as far as the store answers.
pub(super) async fn put(
    records: &impl TokenRecords,
    tokens: &[OpaqueToken],
    parent: Option<&TokenDigest>,
) -> Result<(), StoreError> {
    check_distinct(tokens)?;
    let added = join_all(tokens.iter().map(|token| records.add(token, parent))).await;
    let mut failure = None;
    let mut ours = Vec::new();
    for (token, added) in tokens.iter().zip(added) {
        match added {
            Ok(true) => ours.push(token.digest),
            // Somebody else's, and to be left alone.
            Ok(false) => failure = Some(collision()),
            Err(error) => {
                ours.push(token.digest);
                failure = Some(error);
            }
        }
    }
    let Some(failure) = failure else { return Ok(()) };
    roll_back(records, &ours).await;
    Err(failure)
}

/// Reads a token that is there; a pending one is not.
pub(super) async fn find(
    records: &impl TokenRecords,
    digest: &TokenDigest,
) -> Result<Option<OpaqueToken>, StoreError> {
    let Some(record) = records.read(digest).await? else { return Ok(None) };
    let Some(parent) = &record.parent else { return Ok(Some(record.token)) };
    let parent = records.read(parent).await?;
    let names_it =
        |parent: TokenRecord| parent.token.used.is_some() && parent.successors.contains(digest);
    if !parent.is_some_and(names_it) {
        return Ok(None);
    }
    let (records, digest) = (records.clone(), *digest);
    tokio::spawn(async move { clear_parents(&records, &[digest]).await });
    Ok(Some(record.token))
}

/// Rotates a token, both or nothing: see above.
pub(super) async fn rotate(
    records: &impl TokenRecords,
    old: &TokenDigest,
    at: UnixTime,
    successors: &[OpaqueToken],
) -> Result<Rotation, StoreError> {
    // Most who come late write nothing.
    match find(records, old).await? {
        None => return Ok(Rotation::Unknown),
        Some(token) if token.used.is_some() => return Ok(Rotation::AlreadyUsed),
        Some(_) => {}
    }
    put(records, successors, Some(old)).await?;
    let added: Vec<TokenDigest> = successors.iter().map(|token| token.digest).collect();
    // Without an answer nobody knows, and nothing is taken back: the parent's record decides.
    let outcome = records.commit(old, at, &added).await?;
    match outcome {
        Rotation::Rotated => clear_parents(records, &added).await,
        Rotation::AlreadyUsed | Rotation::Unknown => roll_back(records, &added).await,
    }
    Ok(outcome)
}

/// Lets committed tokens be there without their parent. Where that fails, they are as good with it.
async fn clear_parents(records: &impl TokenRecords, digests: &[TokenDigest]) {
    let cleared = join_all(digests.iter().map(|digest| records.clear_parent(digest))).await;
    for error in cleared.into_iter().filter_map(Result::err) {
        tracing::debug!(%error, "the token keeps the name of its parent until somebody reads it");
    }
}

async fn roll_back(records: &impl TokenRecords, digests: &[TokenDigest]) {
    let deleted = join_all(digests.iter().map(|digest| records.delete(digest))).await;
    for error in deleted.into_iter().filter_map(Result::err) {
        tracing::warn!(%error, "a token that nobody was told of is left until its end");
    }
}
