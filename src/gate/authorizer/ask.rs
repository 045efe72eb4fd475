//! The questions that only the authorizer can answer, asked by the gate when all else is clear.

use crate::gate::denial::{Denial, DenialCode};
use crate::gate::mode::Mode;
use crate::gate::{Gate, unmet_by};
use crate::policy::{DecisionRequest, Decisions, Facts, Requirement, Unmet, check_all};

impl Gate {
    /// Asks the authorizer what it alone decides, one question after the other, until nothing is open.
    ///
    /// # Errors
    /// The [`Denial`]: a no, or that there is no answer. A dry run has none.
    pub(in crate::gate) async fn ask_authorizer(
        &self,
        first: Box<DecisionRequest>,
        requirements: &[&Requirement],
        facts: &Facts<'_>,
        mode: Mode,
    ) -> Result<(), Denial> {
        let unavailable = |code: DenialCode| Denial::from(code).of(&facts.token.subject);
        mode.begin_waiting().await;
        let authorizer = self.authorizer.as_ref().filter(|_| !matches!(mode, Mode::DryRun { .. }));
        let Some(authorizer) = authorizer else {
            return Err(unavailable(DenialCode::AuthorizerUnavailable));
        };
        let (mut question, mut decisions) = (first, Decisions::default());
        loop {
            let is_allowed = authorizer.decide(&question).await.map_err(unavailable)?;
            decisions.record(*question, is_allowed);
            // Each question is another one, so they come to an end.
            match check_all(requirements, &facts.with_decisions(&decisions)) {
                Err(Unmet::Undecided(next)) => question = next,
                outcome => return outcome.map_err(|unmet| unmet_by(facts, unmet)),
            }
        }
    }
}
