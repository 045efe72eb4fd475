//! Limits on the requests of a user, where a route says so: counted for all processes that share a
//! store, after all that the route demands is met.
//!
//! Where requests cannot be counted, nobody passes.

use std::net::IpAddr;
use std::sync::Arc;

use super::Gate;
use super::denial::{Denial, DenialCode};
use super::inquiry::Inquiry;
use super::mode::Mode;
use crate::clock::Clock;
use crate::limit::Limits;
use crate::policy::{Allowance, Facts, Policy, RequestLimit};
use crate::wire::budget::customer;

/// The counts of requests.
#[derive(Debug)]
pub struct RequestLimits {
    limits: Limits,
    clock: Arc<dyn Clock>,
}

/// The sender of a request: the user where there is one, and the address.
#[derive(Clone, Debug)]
struct Sender {
    user: Option<String>,
    address: Option<IpAddr>,
}

impl Gate {
    /// Counts a request of whoever shows no credential.
    ///
    /// # Errors
    /// The [`Denial`]: the limit is reached, or nobody can say.
    pub(super) async fn count_nobody(
        &self,
        policy: &Policy,
        limit: &RequestLimit,
        inquiry: &Inquiry<'_>,
        mode: Mode,
    ) -> Result<(), Denial> {
        let sender = Sender { user: None, address: inquiry.counted_address() };
        self.count(limit, policy.allowance_of_nobody(limit), &sender, mode).await
    }

    /// Counts a request of a user.
    ///
    /// # Errors
    /// The [`Denial`]: the limit is reached, or nobody can say.
    pub(super) async fn count_user(
        &self,
        facts: &Facts<'_>,
        limit: &RequestLimit,
        inquiry: &Inquiry<'_>,
        mode: Mode,
    ) -> Result<(), Denial> {
        let (user, address) = (Some(facts.counted_user()), inquiry.counted_address());
        let sender = Sender { user, address };
        let counted = self.count(limit, facts.allowance(limit), &sender, mode).await;
        counted.map_err(|denial| denial.of(&facts.token.subject))
    }

    async fn count(
        &self,
        limit: &RequestLimit,
        allowance: Allowance,
        sender: &Sender,
        mode: Mode,
    ) -> Result<(), Denial> {
        mode.begin_waiting().await;
        match (&self.request_limits, mode) {
            (_, Mode::DryRun { .. }) => Ok(check_allowance(allowance)?),
            (Some(limits), _) => limits.count(limit, allowance, sender).await,
            (None, _) => Err(DenialCode::RequestLimitUnavailable.into()),
        }
    }
}

impl RequestLimits {
    /// Limits that are counted in `limits`.
    pub fn new(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        Self { limits, clock }
    }

    /// Counts a request of whoever may send so many.
    ///
    /// # Errors
    /// The [`Denial`]: the limit is reached, or nobody can say.
    async fn count(
        &self,
        limit: &RequestLimit,
        allowance: Allowance,
        sender: &Sender,
    ) -> Result<(), Denial> {
        check_allowance(allowance)?;
        let Some(requests) = allowance.requests else { return Ok(()) };
        let name = counted_name(limit, allowance, sender);
        let (now, period) = (self.clock.now(), limit.period.length());
        match self.limits.count_request(&name, now, requests, period).await {
            Ok(None) => Ok(()),
            Ok(Some(wait)) => {
                let seconds = wait.as_nanos().div_ceil(1_000_000_000);
                let retry_after = u64::try_from(seconds).ok();
                Err(Denial { retry_after, ..DenialCode::TooManyRequests.into() })
            }
            Err(_) => Err(DenialCode::RequestLimitUnavailable.into()),
        }
    }
}

/// Checks that some request is allowed at all: waiting would not help.
///
/// # Errors
/// [`DenialCode::PermissionDenied`].
pub(super) fn check_allowance(allowance: Allowance) -> Result<(), DenialCode> {
    if allowance.requests == Some(0) { Err(DenialCode::PermissionDenied) } else { Ok(()) }
}

/// The name of a count. The length keeps names apart that read the same when they are joined.
fn counted_name(limit: &RequestLimit, allowance: Allowance, sender: &Sender) -> String {
    let (name, period) = (&limit.name, limit.period.as_str());
    let who = match &sender.user {
        Some(user) if !allowance.is_by_address => format!("user:{user}"),
        // Where nobody knows the address either, all such requests are counted together.
        _ => {
            let address = sender.address.map(|address| customer(address).to_string());
            format!("address:{}", address.unwrap_or_default())
        }
    };
    format!("{}:{name}:{period}:{who}", name.len())
}

#[cfg(test)]
mod tests;
