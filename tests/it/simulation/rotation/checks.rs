//! The rules that refreshes are held to: after each generation, and when all is well again.

use std::{collections::BTreeSet, time::Duration};

use portcullis::{
    clock::Clock as _,
    gate::Origin,
    opaque::{OpaqueTokenStore as _, TokenDigest},
};
use tokio::time::{sleep, timeout};

use super::{Outcome, STALENESS, Scenario, text};
use crate::simulation::oracle::{Credential, Rule};

impl Scenario {
    pub(super) fn check_generation(&self, ends: &[Outcome]) {
        let oracle = &self.cluster.oracle;
        let won: Vec<_> = ends
            .iter()
            .filter_map(|end| match end {
                Outcome::Issued(issued) => Some(issued),
                _ => None,
            })
            .map(|issued| (text(&issued.access_token), issued.refresh_token.as_ref().map(text)))
            .collect();
        let distinct = won.iter().collect::<BTreeSet<_>>().len();
        let most = if self.plan.grace.is_zero() { won.len() } else { distinct };
        if most > 1 {
            let what = format!("{} won with one token, {distinct} different pairs", won.len());
            oracle.broken(Rule::SingleWinner, what);
        }
        let refused = ends.iter().filter(|end| matches!(end, Outcome::Refused)).count();
        let is_one_answer = !self.plan.grace.is_zero() && self.plan.keeps_leases();
        if refused > 0 && is_one_answer && !oracle.is_overdue() {
            let what = format!("{refused} were refused within the grace, {} won", won.len());
            oracle.broken(Rule::SameAnswer, what);
        }
    }

    /// Shows the last token that anybody was given, when all is well again.
    pub(super) async fn final_refresh(&self, token: &str) {
        let oracle = &self.cluster.oracle;
        let digest = TokenDigest::of(token);
        let was_alive = self.family_lives().await;
        let kept = self.cluster.store.tokens.get(&digest).await.expect("memory answers");
        let is_used = kept.expect("it is kept").used.is_some();
        let refreshed = self.processes[0].while_running(self.refresh(0, token));
        // Nobody holds a lease any more, so nothing is waited for.
        let end = timeout(Duration::from_secs(2), refreshed).await.unwrap_or(Outcome::Cancelled);
        let is_issued = matches!(end, Outcome::Issued(_));
        let has_grace = !self.plan.grace.is_zero();
        let lives_on = self.family_lives().await;
        match (was_alive, is_used) {
            (true, false) if !is_issued => {
                oracle.broken(Rule::NothingLost, format!("a token that nobody used gets {end:?}"));
            }
            (true, true) if has_grace && self.plan.keeps_leases() && !oracle.is_overdue() => {
                let successors = oracle.successors(&digest);
                let is_same = match &end {
                    Outcome::Issued(issued) => successors.iter().any(|successor| {
                        let given = issued.refresh_token.as_ref().map(text).unwrap_or_default();
                        successor.digest == TokenDigest::of(&given)
                    }),
                    _ => false,
                };
                if !is_same {
                    oracle.broken(Rule::SameAnswer, format!("within the grace one gets {end:?}"));
                }
            }
            (true, true) if !has_grace && (is_issued || lives_on) => {
                oracle.broken(Rule::Reuse, format!("a used token gets {end:?}"));
            }
            (false, _) if is_issued => {
                oracle.broken(Rule::Reuse, format!("a family that has ended gets {end:?}"));
            }
            _ => {}
        }
    }

    /// Asks the gates about the last access token, long after all ends of its session were acknowledged.
    pub(super) async fn ask_gates(&self, access: &str) {
        sleep(STALENESS + Duration::from_secs(2)).await;
        let cluster = &self.cluster;
        let is_alive = self.family_lives().await;
        let expires = cluster.clock.now().after(Duration::from_secs(86_400));
        let credential = Credential { text: access.to_owned(), session: 0, handle: None, expires };
        for gate in &self.processes {
            let said = gate
                .while_running(gate.decisions.decide(&credential.text, &Origin::of_connection(0)))
                .await;
            cluster.record(gate.number, "says", if said.is_ok() { "yes" } else { "no" });
            if said.is_ok() != is_alive {
                let rule = if is_alive { Rule::Liveness } else { Rule::Bound };
                cluster.oracle.broken(rule, format!("gate {} says {:?}", gate.number, said.err()));
            }
        }
    }
}
