//! The logic of conditions: each holds, does not hold, or is not decided yet (Kleene's three values).
//!
//! What does not hold counts before what is not decided, so that nobody is asked in vain; and an
//! alternative that holds needs no question.

use super::{Condition, Facts, Requirement, Unmet};

/// Checks all of these conditions.
pub(super) fn all<'c>(
    conditions: impl Iterator<Item = &'c Condition>,
    facts: &Facts<'_>,
) -> Result<(), Unmet> {
    let mut undecided = None;
    for condition in conditions {
        if let Err(unmet) = condition.check(facts) {
            if !matches!(unmet, Unmet::Undecided(_)) {
                return Err(unmet);
            }
            undecided.get_or_insert(unmet);
        }
    }
    undecided.map_or(Ok(()), Err)
}

/// Checks ways until one is open. Where none is, what the first one lacks is told; but where one of them
/// may be open, and nobody can be asked now, that.
pub(super) fn any_of(ways: &[Requirement], facts: &Facts<'_>) -> Result<(), Unmet> {
    let (mut lacking, mut undecided) = (None, None);
    for way in ways {
        match way.check(facts) {
            Ok(()) => return Ok(()),
            Err(open @ Unmet::Undecided(_)) => undecided = undecided.or(Some(open)),
            Err(Unmet::Unavailable) => lacking = Some(Unmet::Unavailable),
            Err(unmet) => lacking = lacking.or(Some(unmet)),
        }
    }
    // Without any way there is none that is open.
    Err(undecided.or(lacking).unwrap_or(Unmet::Claim))
}

/// Checks several requirements, all of which must be met.
///
/// # Errors
/// The first condition that does not hold; where all others hold, the first that is not decided.
pub fn check_all(requirements: &[&Requirement], facts: &Facts<'_>) -> Result<(), Unmet> {
    all(requirements.iter().flat_map(|requirement| requirement.conditions()), facts)
}
