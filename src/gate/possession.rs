//! Proof of possession: what a token demands of its sender besides itself (RFC 7800), and what its
//! session is bound to (SESSION_BINDING).
//!
//! Every credential is looked at here, on every request: what a sender proves is never a part of the
//! cached decision, whose key is the token alone.

use super::Gate;
use super::cached_decision::CachedDecision;
use super::credential::{CredentialSource, Found, Located};
use super::denial::{Denial, DenialCode};
use super::inquiry::Inquiry;
use super::mode::Mode;
use crate::session::Session;
use crate::token::{Confirmation, Thumbprint, Verified};

impl Gate {
    /// Checks that the client is the one to which the session is bound, where there is a session.
    ///
    /// # Errors
    /// [`DenialCode::SessionBound`] and [`DenialCode::BindingNotTold`].
    pub(super) fn check_binding(
        &self,
        session: Option<&Session>,
        inquiry: &Inquiry<'_>,
    ) -> Result<(), DenialCode> {
        let binding = self.decisions.sessions().binding();
        match session.filter(|_| !binding.is_none()) {
            Some(session) => Ok(binding.check(&session.device, &inquiry.shown_client())?),
            None => Ok(()),
        }
    }

    /// Checks that the sender proved all that the token demands.
    ///
    /// # Errors
    /// The reason why the token is not taken from this sender.
    pub(super) async fn check_possession(
        &self,
        found: &Located<'_>,
        decision: &CachedDecision,
        inquiry: &Inquiry<'_>,
        mode: Mode,
    ) -> Result<(), Denial> {
        if !decision.is_bound {
            let is_bearer = found.source != CredentialSource::Dpop;
            let _ = inquiry.certificates.client?;
            return if is_bearer { Ok(()) } else { Err(DenialCode::DpopUnbound.into()) };
        }
        match (demanded_key(found.source, &decision.token, inquiry)?, &self.dpop) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(DenialCode::DpopRequired.into()),
            // Boxed: most tokens are bound to nothing.
            (Some(key), Some(dpop)) => {
                // A proof is good once.
                mode.begin_waiting().await;
                Box::pin(dpop.check(key, found.read()?.credential, inquiry)).await
            }
        }
    }

    /// The same, but for what was seen before; nothing is remembered.
    ///
    /// # Errors
    /// The reason why the token is not taken from this sender.
    pub(super) fn check_shown(
        &self,
        found: &Found<'_>,
        token: &Verified,
        inquiry: &Inquiry<'_>,
    ) -> Result<(), Denial> {
        match (demanded_key(found.source, token, inquiry)?, &self.dpop) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(DenialCode::DpopRequired.into()),
            (Some(key), Some(dpop)) => dpop.check_proof(key, found.credential, inquiry).map(drop),
        }
    }
}

/// The key of which a proof is still needed. All else that the token demands was shown.
fn demanded_key(
    source: CredentialSource<'_>,
    token: &Verified,
    inquiry: &Inquiry<'_>,
) -> Result<Option<Thumbprint>, DenialCode> {
    let shown = inquiry.certificates.client?;
    let demanded = Confirmation::of(&token.claims)?;
    if demanded.certificate.is_some() && demanded.certificate != shown {
        return Err(DenialCode::CertificateMismatch);
    }
    // RFC 9449, sections 7.1 and 7.2: the scheme says which kind of token it is, and must be right.
    let is_dpop = source == CredentialSource::Dpop;
    match demanded.key {
        Some(_) if !is_dpop => Err(DenialCode::DpopRequired),
        None if is_dpop => Err(DenialCode::DpopUnbound),
        key => Ok(key),
    }
}
