//! The loop in front of hyper, for HTTP/1.1: it reads heads and answers them from one buffer into another, without the
//! bookkeeping that a general server needs.
//!
//! It answers requests that have no body and nothing unusual in their framing, if its service takes them. All else is
//! hyper's, for the rest of the connection and with all bytes that were read: so there is one place that knows bodies,
//! upgrades, errors and the end of a connection. Both read heads by the same parser.

mod framing;
mod head_sampler;

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::{Poll, ready};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::connection_registry::{ConnectionState, HeadInFlight};
use super::stream::Stream;
use crate::secret::fingerprint::Fingerprint;
use crate::wire::connection::Connection;
use crate::wire::fields::Fields;
use crate::wire::known_fields::KnownField;
use crate::wire::request_head::RequestHead;
use crate::wire::whole_head::WholeHead;
use framing::{FieldBuffer, Head, Next};
use head_sampler::HeadSampler;

/// The room for heads: most fit. A head that is longer than the most is hyper's.
const USUAL_INPUT: usize = 4 << 10;
const MAX_INPUT: usize = 16 << 10;
/// The bytes of answers that are kept for one write.
const MAX_OUTPUT: usize = 16 << 10;

/// A service of requests that have no body, for the loop in front of hyper.
pub trait HeadService: Clone + Send + Sync + 'static {
    /// The fingerprint of a head that came over `connection`, if the service remembers heads that it answered.
    fn fingerprint(&self, _: Connection, _: &WholeHead<'_>) -> Option<Fingerprint> {
        None
    }

    /// Answers a head that differs from one that was answered before in its id alone, if the answer does too: appends the
    /// whole answer to `out`. Returns false, and appends nothing, where it has to be parsed.
    fn answer_again(&self, _: Fingerprint, _id: Option<&str>, _: &mut Vec<u8>) -> bool {
        false
    }

    /// Answers one request that came over `connection`, if nothing has to be waited for: appends the whole answer to
    /// `out`. `Some(false)`, and nothing appended, where the request is left to hyper; `None` where it takes a wait. The head
    /// may be remembered by its fingerprint, which is there where the only id of the request is no part of it.
    fn answer_now(
        &self,
        connection: Connection,
        head: &RequestHead<'_>,
        fingerprint: Option<Fingerprint>,
        out: &mut Vec<u8>,
    ) -> Option<bool>;

    /// Answers one that takes a wait. Returns false, and appends nothing, where it is left to hyper.
    fn answer(
        &self,
        connection: Connection,
        head: &RequestHead<'_>,
        out: &mut Vec<u8>,
    ) -> impl Future<Output = bool> + Send;
}

/// No such service: every connection is hyper's.
#[derive(Clone, Copy, Debug)]
pub(super) struct HyperAlone;

impl HeadService for HyperAlone {
    fn answer_now(
        &self,
        _: Connection,
        _: &RequestHead<'_>,
        _: Option<Fingerprint>,
        _: &mut Vec<u8>,
    ) -> Option<bool> {
        Some(false)
    }

    async fn answer(&self, _: Connection, _: &RequestHead<'_>, _: &mut Vec<u8>) -> bool {
        false
    }
}

/// Answers requests until one is hyper's. Returns the stream, in which is again what was read of it; `None` where the
/// client closed the connection between two requests.
pub(super) async fn run<S: HeadService>(
    mut stream: Stream,
    state: &ConnectionState,
    connection: Connection,
    service: &S,
) -> io::Result<Option<Stream>> {
    let input = Vec::with_capacity(USUAL_INPUT);
    let mut buffers = Buffers { input, ..Buffers::default() };
    loop {
        let step = buffers.answer_ready(state, connection, service);
        if !buffers.output.is_empty() {
            stream.write_all(&buffers.output).await?;
            stream.flush().await?;
            buffers.output.clear();
        }
        match step {
            Step::Read => {}
            Step::Write => continue,
            Step::Wait(_in_flight) => {
                // Boxed, as all that waits: what a connection keeps meanwhile stays small.
                if Box::pin(buffers.answer_first(state, connection, service)).await {
                    continue;
                }
                break;
            }
            Step::HandOver => break,
        }
        match read_more(&mut stream, state, &mut buffers.input).await? {
            Read::More => {}
            // Hyper says nothing to a head without an end either.
            Read::End if buffers.input.is_empty() || buffers.unfinished > 0 => {
                stream.shutdown().await?;
                return Ok(None);
            }
            Read::End | Read::Draining => break,
        }
    }
    stream.put_back(buffers.input);
    Ok(Some(stream))
}

/// Bytes that came and are not answered yet, and answers that are not written yet.
#[derive(Default)]
struct Buffers {
    input: Vec<u8>,
    output: Vec<u8>,
    /// The bytes at the beginning of `input` that were read as a head without its end.
    unfinished: usize,
    /// True where the last request had to wait. Then the next one often has to, and is not judged from memory in vain.
    expects_wait: bool,
    sampler: HeadSampler,
}

/// The outcome of a look-up.
enum LookUp {
    Answered,
    New(Option<LookedUpHead>),
}

/// All that came, before it is parsed.
#[derive(Clone, Copy)]
struct LookedUpHead {
    fingerprint: Fingerprint,
    length: usize,
    /// True where an id of a request is no part of the fingerprint.
    has_id: bool,
}

impl LookedUpHead {
    /// Returns whether it is this head alone, of which no other id is left out than its only one.
    fn is_all_of(&self, head: &Head<'_>) -> bool {
        let ids = Fields::List(&head.fields).known_once(KnownField::REQUEST_ID);
        self.length == head.length && ids.is_ok_and(|id| id.is_some() == self.has_id)
    }
}

/// The next step of the loop.
enum Step<'s> {
    /// More has to come.
    Read,
    /// There is enough to write.
    Write,
    /// The next request takes a wait. It is in flight until it is answered, with the memory of its head.
    Wait(HeadInFlight<'s>),
    /// The next request is hyper's.
    HandOver,
}

impl Buffers {
    /// Answers the requests that came whole, up to the first that takes a wait.
    fn answer_ready<'s, S: HeadService>(
        &mut self,
        state: &'s ConnectionState,
        connection: Connection,
        service: &S,
    ) -> Step<'s> {
        if self.unfinished > 0 && self.input.len() < MAX_INPUT && !self.may_end() {
            self.unfinished = self.input.len();
            return Step::Read;
        }
        let looked_up = match self.look_up(state, connection, service) {
            LookUp::Answered => return Step::Read,
            LookUp::New(looked_up) => looked_up,
        };
        let mut answered = 0;
        let step = loop {
            let rest = &self.input[answered..];
            if rest.is_empty() {
                break Step::Read;
            }
            let mut fields = FieldBuffer::default();
            let head = match framing::read(rest, &mut fields) {
                Next::Partial if rest.len() >= MAX_INPUT => break Step::HandOver,
                Next::Partial => break Step::Read,
                Next::Unusual => break Step::HandOver,
                Next::Head(head) => head,
            };
            if state.is_draining() {
                // Hyper says that its answer is the last.
                break Step::HandOver;
            }
            let in_flight = state.start_head();
            let answered_now = if self.expects_wait {
                None
            } else {
                let looked_up = looked_up.filter(|it| it.is_all_of(&head));
                let fingerprint = looked_up.map(|it| it.fingerprint);
                service.answer_now(connection, &head.request(), fingerprint, &mut self.output)
            };
            match answered_now {
                Some(true) => answered += head.length,
                Some(false) => break Step::HandOver,
                None => break Step::Wait(in_flight),
            }
            if self.output.len() >= MAX_OUTPUT {
                break Step::Write;
            }
        };
        self.input.drain(..answered);
        self.unfinished = if let Step::Read = step { self.input.len() } else { 0 };
        step
    }

    /// Answers what came, if it is one head that was answered before. Only what came alone is looked up: of many that came at
    /// once, each would be hashed with all behind it.
    fn look_up<S: HeadService>(
        &mut self,
        state: &ConnectionState,
        connection: Connection,
        service: &S,
    ) -> LookUp {
        let may_be = !self.expects_wait && WholeHead::may_be(&self.input) && !state.is_draining();
        let whole = if may_be && self.sampler.is_due() { WholeHead::of(&self.input) } else { None };
        let Some(whole) = whole else { return LookUp::New(None) };
        let fingerprint = service.fingerprint(connection, &whole);
        let is_answered =
            fingerprint.is_some_and(|it| service.answer_again(it, whole.id, &mut self.output));
        self.sampler.note(is_answered);
        if is_answered {
            // Only now is it a request: until then it may be none, which keeps no connection open.
            drop(state.start_head());
            self.input.clear();
            self.unfinished = 0;
            return LookUp::Answered;
        }
        let (length, has_id) = (self.input.len(), whole.id.is_some());
        let looked_up = |fingerprint| LookedUpHead { fingerprint, length, has_id };
        LookUp::New(fingerprint.map(looked_up))
    }

    /// Answers the first request, which takes a wait. Returns false where it is left to hyper.
    async fn answer_first<S: HeadService>(
        &mut self,
        state: &ConnectionState,
        connection: Connection,
        service: &S,
    ) -> bool {
        let mut fields = FieldBuffer::default();
        let Next::Head(head) = framing::read(&self.input, &mut fields) else { return false };
        if state.is_draining() {
            return false;
        }
        let (request, length) = (head.request(), head.length);
        let answering = service.answer(connection, &request, &mut self.output);
        let (is_answered, waited) = awaited(answering).await;
        self.expects_wait = waited;
        if is_answered {
            self.input.drain(..length);
        }
        is_answered
    }

    /// Returns whether a head may end in what came since: whether there is an empty line, however lines end. As hyper
    /// does, nothing but three bytes of a head in pieces is looked at twice: a client that sends it byte by byte must not
    /// have all of it read again for each.
    fn may_end(&self) -> bool {
        let fresh = &self.input[self.unfinished.saturating_sub(3)..];
        [&b"\n\r\n"[..], b"\n\n"].iter().any(|end| fresh.windows(end.len()).any(|it| it == *end))
    }
}

/// The outcome of a future, and whether it was waited for.
async fn awaited<F: Future>(future: F) -> (F::Output, bool) {
    let (mut future, mut polls) = (pin!(future), 0);
    let outcome = poll_fn(|cx| {
        polls += 1;
        future.as_mut().poll(cx)
    });
    (outcome.await, polls > 1)
}

/// The outcome of a read.
enum Read {
    More,
    End,
    /// The server drains: from here on hyper says when the connection ends.
    Draining,
}

/// Reads what is there, or waits for it.
async fn read_more(
    stream: &mut Stream,
    state: &ConnectionState,
    input: &mut Vec<u8>,
) -> io::Result<Read> {
    if input.capacity() - input.len() < USUAL_INPUT / 4 {
        input.reserve(USUAL_INPUT);
    }
    let mut reading = pin!(stream.read_buf(input));
    // A new phase wakes this task, and is seen before more is read.
    poll_fn(|cx| {
        if state.is_draining() {
            return Poll::Ready(Ok(Read::Draining));
        }
        let read = ready!(reading.as_mut().poll(cx))?;
        Poll::Ready(Ok(if read == 0 { Read::End } else { Read::More }))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_head_is_noticed_wherever_it_was_cut() {
        for end in ["\n\n", "\n\r\n", "\r\n\n", "\r\n\r\n"] {
            let input = format!("GET / HTTP/1.1\r\nHost: a{end}").into_bytes();
            for unfinished in 1..input.len() {
                let buffers = Buffers { input: input.clone(), unfinished, ..Buffers::default() };
                assert!(buffers.may_end(), "{end:?}, cut after {unfinished} bytes");
            }
            let input = input[..input.len() - 1].to_vec();
            let buffers = Buffers { input, unfinished: 1, ..Buffers::default() };
            assert!(!buffers.may_end(), "{end:?} without its last byte");
        }
    }
}
