//! Rotations that are cut off at each of their steps.

use std::collections::HashMap;
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard};

use super::*;
use crate::opaque::TokenKind;
use crate::session::{SessionId, UserId};

type All = HashMap<TokenDigest, TokenRecord>;
/// All records, and in how many steps which fault comes.
type State = (All, Option<(usize, Fault)>);

/// A way in which a step fails.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Nothing is done.
    Lost,
    /// It is done, and nobody hears of it.
    Unanswered,
}

/// Records in memory, of which no step is done after one that fails.
#[derive(Clone, Default)]
struct FaultyRecords(Arc<Mutex<State>>);

impl FaultyRecords {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no step panics")
    }

    fn step<T>(&self, work: impl FnOnce(&mut All) -> T) -> Result<T, StoreError> {
        let (records, fault) = &mut *self.lock();
        match fault {
            None => return Ok(work(records)),
            Some((0, Fault::Lost)) => {}
            Some((0, kind)) => {
                *kind = Fault::Lost;
                work(records);
            }
            Some((left, _)) => {
                *left -= 1;
                return Ok(work(records));
            }
        }
        Err(StoreError::TimedOut)
    }
}

#[async_trait]
impl TokenRecords for FaultyRecords {
    async fn read(&self, digest: &TokenDigest) -> Result<Option<TokenRecord>, StoreError> {
        self.step(|all| all.get(digest).cloned())
    }

    async fn add(
        &self,
        token: &OpaqueToken,
        parent: Option<&TokenDigest>,
    ) -> Result<bool, StoreError> {
        let (token, parent) = (token.clone(), parent.copied());
        let record = TokenRecord { token, parent, successors: Vec::new() };
        self.step(|all| all.insert(record.token.digest, record).is_none())
    }

    async fn commit(
        &self,
        digest: &TokenDigest,
        at: UnixTime,
        successors: &[TokenDigest],
    ) -> Result<Rotation, StoreError> {
        self.step(|all| {
            let record = all.get_mut(digest).expect("a test rotates what is there");
            (record.token.used, record.parent) = (Some(at), None);
            record.successors = successors.to_vec();
            Rotation::Rotated
        })
    }

    async fn clear_parent(&self, digest: &TokenDigest) -> Result<(), StoreError> {
        self.step(|all| all.get_mut(digest).expect("a successor is there").parent = None)
    }

    async fn delete(&self, digest: &TokenDigest) -> Result<bool, StoreError> {
        self.step(|all| all.remove(digest).is_some())
    }
}

fn token(name: &str) -> OpaqueToken {
    OpaqueToken {
        digest: TokenDigest::of(name),
        kind: TokenKind::Refresh,
        session: SessionId::parse("session").expect("id"),
        user: UserId::parse("alice").expect("user"),
        client: None,
        claims: serde_json::Map::new(),
        issued: UnixTime::from_secs(1),
        expires: UnixTime::from_secs(2),
        used: None,
    }
}

#[tokio::test]
async fn a_rotation_that_is_cut_off_at_any_step_has_happened_or_has_not() {
    let (mut happened, mut did_not) = (0, 0);
    for fault in (0..8).flat_map(|step| [(step, Fault::Lost), (step, Fault::Unanswered)]) {
        let records = FaultyRecords::default();
        let (first, old, at) = (token("first"), token("old"), UnixTime::from_secs(1));
        // The token to rotate was committed itself, and not read since.
        put(&records, slice::from_ref(&first), None).await.expect("put");
        put(&records, slice::from_ref(&old), Some(&first.digest)).await.expect("put");
        records.commit(&first.digest, at, &[old.digest]).await.expect("commit");
        records.lock().1 = Some(fault);
        let outcome = rotate(&records, &old.digest, at, &[token("a"), token("b")]).await;
        records.lock().1 = None;
        let is_used = find(&records, &old.digest).await.expect("find").expect("old").used.is_some();
        for name in ["a", "b"] {
            let found = find(&records, &TokenDigest::of(name)).await.expect("find");
            assert_eq!(found.is_some(), is_used, "{fault:?}: {name}");
        }
        assert!(is_used || outcome.is_err(), "{fault:?}: {outcome:?}");
        *if is_used { &mut happened } else { &mut did_not } += 1;
    }
    assert!(happened > 0 && did_not > 0, "{happened} happened, {did_not} did not");
}
