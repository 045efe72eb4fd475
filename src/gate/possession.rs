//! Proof of possession: what a token demands of its sender besides itself (RFC 7800).
//!
//! Every credential is looked at here, on every request: what a sender proves is never a part of the
//! cached decision, whose key is the token alone.

use super::denial::DenialCode;
use super::inquiry::Inquiry;
use crate::token::{Confirmation, Verified};

/// Checks that the sender proved all that the token demands.
///
/// # Errors
/// The reason why the token is not taken from this sender.
pub(super) fn check(token: &Verified, inquiry: &Inquiry<'_>) -> Result<(), DenialCode> {
    let shown = inquiry.certificates.client?;
    let demanded = Confirmation::of(&token.claims)?;
    if demanded.certificate.is_some() && demanded.certificate != shown {
        return Err(DenialCode::CertificateMismatch);
    }
    if demanded.key.is_some() { Err(DenialCode::UnknownConfirmation) } else { Ok(()) }
}
