//! Who rotates a token in this process: one at a time for each token, so that only one asks the
//! stores for more than the token. Nobody stands in line behind another token's.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::opaque::TokenDigest;

/// The tokens that are being rotated.
#[derive(Debug, Default)]
pub(in crate::issuer) struct Turns(Mutex<HashMap<TokenDigest, CancellationToken>>);

/// The right to rotate a token; over when it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'t> {
    turns: &'t Turns,
    digest: TokenDigest,
    over: CancellationToken,
}

/// Another has it.
#[derive(Debug)]
pub(super) struct Taken(CancellationToken);

impl Turns {
    /// The turn for this token, where nobody has it.
    pub(super) fn take(&self, digest: &TokenDigest) -> Result<Turn<'_>, Taken> {
        let mut taken = self.lock();
        if let Some(over) = taken.get(digest) {
            return Err(Taken(over.clone()));
        }
        let over = CancellationToken::new();
        taken.insert(*digest, over.clone());
        Ok(Turn { turns: self, digest: *digest, over })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TokenDigest, CancellationToken>> {
        // Nothing that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.lock().remove(&self.digest);
        self.over.cancel();
    }
}

impl Taken {
    /// Whether that turn is over by then. All who wait for it go on at once.
    pub(super) async fn is_over_by(&self, deadline: Instant) -> bool {
        timeout_at(deadline, self.0.cancelled()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_has_the_turn_of_a_token_and_another_token_has_its_own() {
        let turns = Turns::default();
        let [one, other] = ["one", "other"].map(TokenDigest::of);
        let turn = turns.take(&one).expect("nobody has it");
        let _other = turns.take(&other).expect("nobody has that one");
        let soon = || Instant::now() + Duration::from_millis(10);
        assert!(!turns.take(&one).expect_err("it is taken").is_over_by(soon()).await);
        let waiting = [(); 2].map(|()| turns.take(&one).expect_err("it is taken"));
        drop(turn);
        for taken in waiting {
            assert!(taken.is_over_by(soon()).await, "all go on at once");
        }
        drop(turns.take(&one).expect("it is free again"));
        assert_eq!(turns.lock().len(), 1, "what is over leaves nothing behind");
    }
}
