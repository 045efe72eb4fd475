//! An answer that is given again must be worth something still: where the key that signed its access
//! token was dropped since, a new one is made, from what is true of its subject now.

use super::{RefreshRequest, grant_context_of};
use crate::issuer::Issuance;
use crate::issuer::error::IssueError;
use crate::issuer::issue::{Family, Issued};
use crate::opaque::OpaqueToken;
use crate::secret::Secret;
use crate::token::jws;

impl Issuance {
    /// The same answer, with an access token of a key that is still published.
    pub(super) async fn with_published_key(
        &self,
        request: &RefreshRequest<'_>,
        old: &OpaqueToken,
        answer: Issued,
    ) -> Result<Issued, IssueError> {
        if self.is_of_published_key(&answer.access_token) {
            return Ok(answer);
        }
        let context = grant_context_of(old)?;
        let (subject, scopes) = self.renewed(request, old, &context).await?;
        let client = old.client.as_deref();
        let audiences = self.audiences(request, &context)?;
        let family = Family { session: &old.session, client, context: &context, audiences };
        let access = self.access_token(&subject, &family, &scopes, self.clock.now())?;
        Ok(Issued { access_token: access.token, expires: access.expires, scopes, ..answer })
    }

    /// A handle is of no key, and a shared secret has no name and is never dropped.
    fn is_of_published_key(&self, access_token: &Secret) -> bool {
        let text = access_token.expose_str().unwrap_or_default();
        let Some(named) = jws::split(text, usize::MAX).ok().and_then(|it| it.header.key_id) else {
            return true;
        };
        self.signers.publishes(&named, self.clock.now())
    }
}
