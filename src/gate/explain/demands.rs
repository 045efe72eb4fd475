//! The steps of what a route demands, and of its limit.

use super::Steps;
use crate::policy::{Allowance, Facts, Policy, RequestLimit, Requirement, RouteMatch, Unmet};

/// One step for each condition; where there is none, what the token may do.
pub(super) fn take_requirement_steps(
    requirement: &Requirement,
    facts: &Facts<'_>,
    steps: &mut Steps<'_>,
) -> Option<()> {
    let granted: Vec<_> = facts.token.scopes.iter().collect();
    let granted = format!("the token grants [{}]", granted.join(" "));
    if requirement.is_empty() {
        return steps.record("scopes", Ok(format!("{granted}, which suffices")));
    }
    requirement.conditions().iter().try_for_each(|condition| {
        let (name, demand) = (condition.name(), condition.asked_of(facts));
        let outcome = match (condition.check(facts), name) {
            (Ok(()), "authorize") => {
                Ok(format!("needed is {demand}; that is taken for granted, and not asked here"))
            }
            (Ok(()), "scopes") => Ok(format!("{granted}, which suffices")),
            (Ok(()), _) => Ok(format!("needed is {demand}, and it is so")),
            (Err(Unmet::Scope(needed)), _) => Err(format!("{granted}; needed are [{needed}]")),
            (Err(Unmet::Undecided(question)), _) => Err(format!(
                "needed is {demand}; the authorizer would be asked: {question} It is not asked here: \
                 --authorizer allow or deny says how to go on"
            )),
            (Err(unmet), _) => Err(format!("needed is {demand}; {unmet}")),
        };
        steps.record(name, outcome)
    })
}

/// The step of a route's limit, where it has one.
pub(super) fn take_limit_step(
    route: &RouteMatch<'_>,
    facts: &Facts<'_>,
    steps: &mut Steps<'_>,
) -> Option<()> {
    let Some(limit) = route.limit else { return Some(()) };
    record_limit(limit, facts.allowance(limit), steps)
}

/// The same of whoever shows no credential.
pub(super) fn take_step_of_nobody(
    policy: &Policy,
    route: &RouteMatch<'_>,
    steps: &mut Steps<'_>,
) -> Option<()> {
    let Some(limit) = route.limit else { return Some(()) };
    record_limit(limit, policy.allowance_of_nobody(limit), steps)
}

fn record_limit(limit: &RequestLimit, allowance: Allowance, steps: &mut Steps<'_>) -> Option<()> {
    let RequestLimit { name, period } = limit;
    let whose = if allowance.is_by_address { "address" } else { "user" };
    steps.record(
        "limit",
        match allowance.requests {
            None => Ok(format!("{name} does not hold for the user's roles")),
            Some(0) => Err(format!("{name} allows the user's roles no request")),
            Some(requests) => Ok(format!(
                "{name} allows {requests} requests a {}, counted by {whose}; this one is not counted",
                period.as_str()
            )),
        },
    )
}
