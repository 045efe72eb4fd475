//! The memory of proofs: one that was seen is refused until it would be too old anyway (RFC 9449,
//! section 11.1).
//!
//! It never forgets early. Where there is no room for one more, or no answer of the store, the proof
//! is refused: 503.

mod process;

use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::clock::{Clock, UnixTime};
use crate::gate::denial::DenialCode;
use crate::store::Operation;
use crate::store::records::{Record, Records};
use crate::token::dpop::DpopProof;
pub use process::ProcessMemory;

/// What remembers proofs, as the operator sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayScope {
    /// Each process for itself.
    Process,
    /// The store, for all that share it.
    Store,
}

impl ReplayScope {
    /// Reads the setting.
    ///
    /// # Errors
    /// The texts that may be written instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "process" => Ok(Self::Process),
            "store" => Ok(Self::Store),
            _ => Err("write `process` or `store`"),
        }
    }
}

/// The place where proofs are remembered.
#[derive(Debug)]
pub enum ReplayMemory {
    /// This process: another one does not know what it saw.
    Process(ProcessMemory),
    /// The store, for all processes that share it.
    Store(Records),
}

/// A proof that was seen, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SeenProof {
    /// In milliseconds since the Unix epoch.
    end: u64,
}

impl Record for SeenProof {
    const KIND: &'static str = "proof";
    /// There is one for each request. By so much the clocks of the instances may differ.
    const MARGIN: Duration = Duration::from_secs(60);

    fn end(&self) -> UnixTime {
        UnixTime::from_millis(self.end)
    }
}

impl ReplayMemory {
    /// Remembers a proof until `end`.
    ///
    /// # Errors
    /// [`DenialCode::DpopProofReplayed`] where it was seen before;
    /// [`DenialCode::ReplayMemoryUnavailable`] where it cannot be remembered.
    pub(super) async fn remember(
        &self,
        proof: &DpopProof,
        end: UnixTime,
        clock: &dyn Clock,
    ) -> Result<(), DenialCode> {
        let (name, now) = (name(proof), clock.now());
        match self {
            Self::Process(memory) => memory.remember(name, end, (clock.monotonic(), now)),
            Self::Store(records) => remember_in(records, name, end, now).await,
        }
    }
}

async fn remember_in(
    records: &Records,
    name: Name,
    end: UnixTime,
    now: UnixTime,
) -> Result<(), DenialCode> {
    let decide = move |seen: Option<SeenProof>| match seen {
        Some(seen) if seen.end() > now => (Err(DenialCode::DpopProofReplayed), None),
        _ => (Ok(()), Some(SeenProof { end: end.as_millis() })),
    };
    let name = URL_SAFE_NO_PAD.encode(name);
    let changed = records.change(Operation::RememberProof, &name, now, decide).await;
    changed.unwrap_or(Err(DenialCode::ReplayMemoryUnavailable))
}

/// The name of a proof among those of all keys.
type Name = [u8; 32];

fn name(proof: &DpopProof) -> Name {
    let text = format!("{} {}", proof.key, proof.id);
    let mut name = [0; 32];
    name.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    name
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::ManualClock;
    use crate::store::records::MemoryRecordStore;
    use crate::store::{StoreKind, StoreMetrics};
    use crate::token::Thumbprint;

    #[tokio::test]
    async fn the_store_keeps_a_proof_until_a_minute_after_its_end_and_no_longer() {
        let at = UnixTime::from_secs;
        let clock = Arc::new(ManualClock::at(at(100)));
        let metrics = StoreMetrics::unregistered(StoreKind::Limits);
        let store = Arc::new(MemoryRecordStore::new());
        let records = Records::new(store, Duration::from_secs(60), clock.clone(), metrics);
        let memory = ReplayMemory::Store(records.clone());
        let proof = DpopProof {
            key: Thumbprint::of(b"key"),
            method: "GET".to_owned(),
            url: "https://app.test/".to_owned(),
            issued: at(100),
            id: "one".to_owned(),
            token: Thumbprint::of(b"token"),
        };
        let remember = async || memory.remember(&proof, at(160), clock.as_ref()).await;
        assert_eq!(remember().await, Ok(()));
        assert_eq!(remember().await, Err(DenialCode::DpopProofReplayed));
        assert_eq!(records.purge(at(219)).await, Ok(0));
        assert_eq!(remember().await, Err(DenialCode::DpopProofReplayed));
        assert_eq!(records.purge(at(220)).await, Ok(1));
    }
}
