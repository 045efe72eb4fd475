//! Answers for the hot loop: of requests without a body, at the paths where gateways ask.
//!
//! They are judged as over hyper. What lets a request pass is written from the ready lines of its decision; all else is
//! rendered as for hyper, and written in the same form.

use http::Method;

use super::GateService;
use crate::gate::dialect::{Dialect, Endpoint};
use crate::gate::gateway_proof::Peer;
use crate::gate::inquiry::Inquiry;
use crate::gate::verdict::Verdict;
use crate::wire::http1;
use crate::wire::request_head::RequestHead;

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

    /// The same, where nothing has to be waited for; else `None`, and nothing is appended.
    pub fn answer_head_now(
        &self,
        peer: Peer,
        head: &RequestHead<'_>,
        out: &mut Vec<u8>,
    ) -> Option<bool> {
        let Some(endpoint) = self.endpoint(head) else { return Some(false) };
        let mut inquiry = endpoint.read(head);
        let verdict = self.judge_now(endpoint.dialect, peer, head, &mut inquiry)?;
        self.append_answer(endpoint.dialect, peer, head, &inquiry, &verdict, out);
        Some(true)
    }

    fn append_answer(
        &self,
        dialect: Dialect,
        peer: Peer,
        head: &RequestHead<'_>,
        inquiry: &Inquiry<'_>,
        verdict: &Verdict,
        out: &mut Vec<u8>,
    ) {
        let is_head = head.method == Method::HEAD.as_str();
        if let Verdict::Allow(grant) = verdict
            && let Some((lines, at)) = grant.ready().filter(|_| !is_head)
        {
            let (entry_point, status) = (dialect.entry_point(), http::StatusCode::OK);
            let id = self.record(entry_point, peer.address, inquiry, verdict, status);
            http1::append_empty(lines, id.as_deref(), at.as_secs(), out);
        } else {
            let answer = self.concluded(dialect, peer, head, inquiry, verdict);
            let second = self.config.clock.now().as_secs();
            http1::append_response(answer, is_head, second, out);
        }
    }
}
