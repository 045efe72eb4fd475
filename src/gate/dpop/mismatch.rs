//! The parts of a proof that are not those of its token and its request: for explanations, never for
//! the verdict.

use super::only_proof;
use crate::gate::inquiry::Inquiry;
use crate::policy::canonical::{CanonicalRequest, Told, canonical};
use crate::token::Thumbprint;
use crate::token::dpop::DpopProof;

/// The differences, each with what was expected. Queries are left out: there may be a secret in them.
pub(in crate::gate) fn mismatches(
    key: Thumbprint,
    token: &str,
    inquiry: &Inquiry<'_>,
) -> Vec<String> {
    let proof = only_proof(inquiry.headers).and_then(|text| DpopProof::verify(text).ok());
    let asked = inquiry.told().and_then(|told| canonical(&told));
    let (Some(proof), Ok(asked)) = (proof, asked) else { return Vec::new() };
    let mut found = Vec::new();
    if proof.key != key {
        found.push("`jwk` is not the key of the token's `jkt`".to_owned());
    }
    if proof.token != Thumbprint::of(token.as_bytes()) {
        found.push("`ath` is that of another token".to_owned());
    }
    if proof.method != asked.method {
        found.push(format!("`htm` is {}, the gateway told {}", proof.method, asked.method));
    }
    let (url, told) = (without_query(&proof.url), asked.url());
    if !is_of(url, &asked) {
        found.push(format!("`htu` is {url}, the gateway told {}", without_query(&told)));
    }
    found
}

fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// Returns whether this is the URL of a request, in whatever spelling.
fn is_of(url: &str, asked: &CanonicalRequest<'_>) -> bool {
    let told = Told::of_url(asked.method, url);
    let meant = told.and_then(|told| canonical(&told).ok());
    meant.is_some_and(|meant| {
        meant.scheme == asked.scheme
            && meant.authority == asked.authority
            && meant.path == asked.path
    })
}
