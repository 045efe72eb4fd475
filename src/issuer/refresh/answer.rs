//! Answers that are given again, and what they answered.

use serde::{Deserialize, Serialize};

use super::RefreshRequest;
use crate::clock::UnixTime;
use crate::issuer::error::IssueError;
use crate::issuer::grant::GrantContext;
use crate::issuer::issued::Issued;
use crate::issuer::sealed;
use crate::opaque::OpaqueToken;
use crate::secret::Secret;
use crate::wire::json;

/// Parameters of a refresh, sorted and without repeats: a parameter that is left out asks for all
/// that was granted (RFC 6749, section 6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RefreshParams {
    scopes: Vec<String>,
    audiences: Vec<String>,
}

impl RefreshParams {
    /// The parameters of this request for a family that was granted these audiences.
    pub(super) fn of(
        request: &RefreshRequest<'_>,
        context: &GrantContext,
        granted: &[String],
    ) -> Self {
        let scopes = request.scopes.unwrap_or(&context.scopes);
        let audiences = if request.audiences.is_empty() { granted } else { request.audiences };
        Self { scopes: in_order(scopes), audiences: in_order(audiences) }
    }

    /// The parameters of a login: all that it was granted.
    pub(super) fn all(context: &GrantContext, granted: &[String]) -> Self {
        Self { scopes: in_order(&context.scopes), audiences: in_order(granted) }
    }

    /// Checks that the answer to the `first` is an answer to this one.
    ///
    /// # Errors
    /// [`IssueError::InvalidScope`] or [`IssueError::InvalidTarget`] where it says something else.
    pub(super) fn check_same(&self, first: &Self) -> Result<(), IssueError> {
        if self.scopes != first.scopes {
            Err(IssueError::InvalidScope)
        } else if self.audiences != first.audiences {
            Err(IssueError::InvalidTarget)
        } else {
            Ok(())
        }
    }

    /// The text in which a lease holds it.
    pub(super) fn to_text(&self) -> Result<String, IssueError> {
        Ok(serde_json::to_string(self)?)
    }

    pub(super) fn from_text(text: &str) -> Option<Self> {
        json::from_str(text).ok()
    }
}

fn in_order(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names.dedup();
    names
}

/// An answer as it is sealed. Its family is that of the token that opens it.
#[derive(Serialize, Deserialize)]
pub(super) struct Answer {
    access: String,
    refresh: Option<String>,
    expires: u64,
    scopes: Vec<String>,
    /// The parameters that it answered; `None` in what an older version sealed.
    #[serde(default)]
    pub(super) asked: Option<RefreshParams>,
    /// Sliding: the ends that were moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) slid: Option<SlidingWindow>,
}

/// The ends that a refresh under the sliding policy moves, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct SlidingWindow {
    /// To where the ends of token and session are moved.
    pub(super) end: u64,
    /// Until when no other one takes effect.
    pub(super) window: u64,
}

impl Answer {
    pub(super) fn of(issued: &Issued, asked: RefreshParams) -> Self {
        Self {
            access: issued.access_token.to_text(),
            refresh: issued.refresh_token.as_ref().map(Secret::to_text),
            expires: issued.expires.as_millis(),
            scopes: issued.scopes.clone(),
            asked: Some(asked),
            slid: None,
        }
    }

    /// The same, of a refresh that moves these ends.
    pub(super) fn with_window(self, slid: SlidingWindow) -> Self {
        Self { slid: Some(slid), ..self }
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, IssueError> {
        Ok(serde_json::to_vec(self)?)
    }

    pub(super) fn unsealed(sealed: &str, token: &str) -> Option<Self> {
        json::from_slice(&sealed::open(sealed, token)?).ok()
    }

    /// The end of its access token.
    pub(super) fn expires(&self) -> UnixTime {
        UnixTime::from_millis(self.expires)
    }

    pub(super) fn into_issued(self, old: &OpaqueToken) -> Issued {
        Issued {
            access_token: Secret::new(self.access),
            expires: UnixTime::from_millis(self.expires),
            refresh_token: self.refresh.map(Secret::new),
            scopes: self.scopes,
            user: old.user.clone(),
            session: old.session.clone(),
        }
    }
}
