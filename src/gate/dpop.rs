//! DPoP at the gate (RFC 9449, section 7): the proof beside a token is of the key that the token is
//! bound to, for this request and this token, made now, and was never seen before.
//!
//! There are no nonces (section 9): an answer of the gate does not always reach the client, and a
//! client that prepares proofs in advance gains the length of the window alone.

mod mismatch;
mod replay;

use std::sync::Arc;
use std::time::Duration;

pub(super) use mismatch::mismatches;
pub use replay::{ProcessMemory, ReplayMemory, ReplayScope};

use super::denial::{Denial, DenialCode};
use super::inquiry::Inquiry;
use crate::clock::Clock;
use crate::policy::canonical::{CanonicalRequest, Refusal, Told, canonical};
use crate::token::Thumbprint;
use crate::token::dpop::DpopProof;
use crate::wire::fields::Fields;

/// The header of a proof.
pub(super) const PROOF: &str = "dpop";

/// The judge of proofs.
#[derive(Debug)]
pub struct Dpop {
    /// The greatest difference between the time in a proof and ours, in either direction.
    window: Duration,
    memory: ReplayMemory,
    clock: Arc<dyn Clock>,
}

impl Dpop {
    /// A judge that accepts proofs in this window of time, each once as far as this memory reaches.
    pub fn new(window: Duration, memory: ReplayMemory, clock: Arc<dyn Clock>) -> Self {
        Self { window, memory, clock }
    }

    /// Checks the proof that goes with a token which is bound to this key, and remembers it.
    ///
    /// # Errors
    /// The [`Denial`]; where the proof cannot be remembered, it is refused.
    pub(super) async fn check(
        &self,
        key: Thumbprint,
        token: &str,
        inquiry: &Inquiry<'_>,
    ) -> Result<(), Denial> {
        let proof = self.check_proof(key, token, inquiry)?;
        let end = proof.issued.after(self.window);
        self.memory.remember(&proof, end, self.clock.as_ref()).await.map_err(Denial::from)
    }

    /// Checks all of a proof but whether it was seen before.
    ///
    /// # Errors
    /// The [`Denial`].
    pub(super) fn check_proof(
        &self,
        key: Thumbprint,
        token: &str,
        inquiry: &Inquiry<'_>,
    ) -> Result<DpopProof, Denial> {
        let text = only_proof(inquiry.headers).ok_or(DenialCode::BadDpopProof)?;
        let proof = DpopProof::read(text).map_err(|_| DenialCode::BadDpopProof)?;
        let claimed = proof.claimed();
        // Before the signature: a key that somebody chose may be one that costs much to check with.
        if claimed.key != key || claimed.token != Thumbprint::of(token.as_bytes()) {
            return Err(DenialCode::DpopProofMismatch.into());
        }
        let proof = proof.verify().map_err(|_| DenialCode::BadDpopProof)?;
        let asked = inquiry.told().and_then(|told| canonical(&told)).map_err(not_told)?;
        if !is_for(&proof, &asked) {
            return Err(DenialCode::DpopProofMismatch.into());
        }
        let now = self.clock.now();
        // What is remembered until its end is refused at its end.
        if now >= proof.issued.after(self.window) || proof.issued > now.after(self.window) {
            return Err(DenialCode::DpopProofExpired.into());
        }
        Ok(proof)
    }
}

/// The one proof of a request (RFC 9449, section 4.3).
fn only_proof(headers: Fields<'_>) -> Option<&str> {
    headers.one(PROOF).ok()??.to_str()
}

/// The denial where a gateway does not tell in full, or not clearly, which request it asks about.
fn not_told(refusal: Refusal) -> Denial {
    match refusal {
        Refusal::MissingMethod
        | Refusal::MissingScheme
        | Refusal::MissingHost
        | Refusal::MissingTarget => {
            Denial { refusal: Some(refusal), ..DenialCode::DpopNotTold.into() }
        }
        _ => refusal.into(),
    }
}

/// Returns whether a proof is for this request. Queries and fragments do not count, and spellings of
/// one URL are one (RFC 9449, section 4.3).
fn is_for(proof: &DpopProof, asked: &CanonicalRequest<'_>) -> bool {
    let url = proof.url.split(['?', '#']).next().unwrap_or_default();
    let told = Told::of_url(&proof.method, url);
    let meant = told.and_then(|told| canonical(&told).ok());
    meant.is_some_and(|meant| {
        meant.method == asked.method
            && meant.scheme == asked.scheme
            && meant.authority == asked.authority
            && meant.path == asked.path
    })
}

#[cfg(test)]
mod tests;
