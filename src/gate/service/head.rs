//! Answers for the hot loop: of requests without a body, at the paths where gateways ask.
//!
//! They are judged as over hyper. What lets a request pass is written from the ready lines of its decision; all else is
//! rendered as for hyper, and written in the same form. A head that was let pass from memory is remembered, and answered again
//! before it is parsed.

use http::Method;

use super::GateService;
use super::record::is_request_id;
use crate::gate::access_log::AccessLog;
use crate::gate::dialect::{Dialect, Endpoint};
use crate::gate::gateway_proof::Peer;
use crate::gate::inquiry::Inquiry;
use crate::gate::verdict::Verdict;
use crate::secret::fingerprint::Fingerprint;
use crate::wire::http1;
use crate::wire::request_head::RequestHead;
use crate::wire::whole_head::WholeHead;

impl GateService {
    /// The endpoint of a request, where it is a gateway's question.
    pub(super) fn endpoint<'r>(&self, head: &RequestHead<'r>) -> Option<Endpoint<'r>> {
        head.path().strip_prefix(self.config.prefix.as_str()).and_then(Endpoint::at)
    }

    /// Answers a gateway's question: appends the whole answer to `out`. Returns false, and appends
    /// nothing, where it is none.
    pub async fn answer_head(&self, peer: Peer, head: &RequestHead<'_>, out: &mut Vec<u8>) -> bool {
        let Some(endpoint) = self.endpoint(head) else { return false };
        let mut inquiry = endpoint.read(head);
        let verdict = self.judge(endpoint.dialect, peer, head, &mut inquiry).await;
        self.append_answer(endpoint.dialect, peer, head, &inquiry, &verdict, out);
        true
    }

    /// The fingerprint of a head before it is parsed, if such heads are remembered.
    pub fn head_fingerprint(&self, peer: Peer, head: &WholeHead<'_>) -> Option<Fingerprint> {
        // A line in the log is made of what was parsed.
        let is_logged = self.config.access_log == AccessLog::All;
        let is_remembered = !is_logged && head.id.is_none_or(is_request_id);
        is_remembered.then(|| self.gate.decisions().head_fingerprint(peer, head))?
    }

    /// Answers a head that differs in its id alone from one that was let pass, if that is let pass now: appends the whole
    /// answer to `out`. Returns false, and appends nothing, where it is to be parsed and judged.
    pub fn answer_head_again(
        &self,
        head: Fingerprint,
        id: Option<&str>,
        out: &mut Vec<u8>,
    ) -> bool {
        let decisions = self.gate.decisions();
        let (policy, now) = (self.gate.policy_generation(), decisions.moment());
        let Some((decision, entry_point)) = decisions.recall_head(head, policy, now) else {
            return false;
        };
        decisions.count_hit();
        self.metrics.repeated_heads.inc();
        self.metrics.verdict(entry_point, None);
        http1::append_empty(decision.lines(), id, now.wall.as_secs(), out);
        true
    }

    /// The same as [`Self::answer_head`], where nothing has to be waited for; else `None`, and nothing is appended. A head that
    /// is let pass is remembered by its fingerprint, if it is let pass again for as long as its decision is valid.
    pub fn answer_head_now(
        &self,
        peer: Peer,
        head: &RequestHead<'_>,
        fingerprint: Option<Fingerprint>,
        out: &mut Vec<u8>,
    ) -> Option<bool> {
        let Some(endpoint) = self.endpoint(head) else { return Some(false) };
        let dialect = endpoint.dialect;
        let mut inquiry = endpoint.read(head);
        let verdict = self.judge_now(dialect, peer, head, &mut inquiry)?;
        let is_ready = self.append_answer(dialect, peer, head, &inquiry, &verdict, out);
        if let (Some(fingerprint), Verdict::Allow(grant), true) = (fingerprint, &verdict, is_ready)
            && let Some((decision, policy)) = grant.repeatable()
        {
            let entry_point = dialect.entry_point();
            self.gate.decisions().remember_head(fingerprint, decision, policy, entry_point);
        }
        Some(true)
    }

    /// Appends the answer. Returns whether it was written from the ready lines of a decision.
    fn append_answer(
        &self,
        dialect: Dialect,
        peer: Peer,
        head: &RequestHead<'_>,
        inquiry: &Inquiry<'_>,
        verdict: &Verdict,
        out: &mut Vec<u8>,
    ) -> bool {
        let is_head = head.method == Method::HEAD.as_str();
        if let Verdict::Allow(grant) = verdict
            && let Some((lines, at)) = grant.ready().filter(|_| !is_head)
        {
            let (entry_point, status) = (dialect.entry_point(), http::StatusCode::OK);
            let id = self.record(entry_point, peer.address, inquiry, verdict, status);
            http1::append_empty(lines, id.as_deref(), at.as_secs(), out);
            return true;
        }
        let answer = self.concluded(dialect, peer, head, inquiry, verdict);
        let second = self.config.clock.now().as_secs();
        http1::append_response(answer, is_head, second, out);
        false
    }
}
