//! A decision in one block of memory: what is looked at on each hit, and behind it the ready lines of the answer. What few
//! requests ask for, claims and the rest of the session, is elsewhere. It never changes but for the reading of its session,
//! which is replaced as a whole while what it says stays the same.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use crossbeam_utils::atomic::AtomicCell;
use http::{HeaderMap, HeaderValue};
use triomphe::ThinArc;

use super::CacheKey;
use super::basis::Basis;
use super::memory_size::memory_size;
use crate::account::KeyBounds;
use crate::clock::{Moment, UnixTime};
use crate::gate::upstream::SignedBy;
use crate::secret::fingerprint::Fingerprint;
use crate::session::{Session, SessionEpoch};
use crate::token::{KeyRing, TokenValidity, Verified};
use crate::wire::http1;

/// The id of the next decision.
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// The decision about one good credential, and all that was found about it. A clone is the same one.
#[derive(Clone, Debug)]
pub struct CachedDecision(ThinArc<Parts, u8>);

/// The parts of a decision.
#[derive(Debug)]
pub struct Parts {
    /// No other decision of this process has it: what was concluded from this one holds for no other.
    pub(super) id: u64,
    /// The time in which the token is good, and the keys that it was checked with.
    pub(super) validity: TokenValidity,
    /// The keys of its issuer.
    pub(super) keys: Arc<KeyRing>,
    /// The last reading of the session or of the account, where the decision depends on one.
    read: Option<AtomicCell<StoreRead>>,
    /// The basis that it rests on beside the session.
    pub(super) basis: Basis,
    /// True where the token demands a proof of its sender, or says so in a way that is not understood.
    pub(in crate::gate) is_bound: bool,
    /// The signer of the token for the application, where there is one.
    pub(super) signed: Option<SignedBy>,
    /// The token, or the claims that the handle stands for.
    pub token: Arc<Verified>,
    /// Its session, where it has one, as it was read first. What changes in a session while its answer stays the same, its
    /// end and its last use, is not looked at here.
    pub session: Option<Box<Session>>,
    /// Its places in both levels of the cache, if it may come into the first one.
    pub(super) places: Option<Places>,
    /// The names of the lines, with other values: what a map of them is made from.
    names: Arc<HeaderMap>,
    /// An estimate of the bytes that it takes in the cache.
    pub(super) memory_size: u32,
    pub(super) is_refreshing: IsRefreshing,
}

/// The reading of a session, or of an account.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoreRead {
    /// The time of the reading, or of its last confirmation, on the monotonic clock, which nobody can set back.
    pub(super) at: Duration,
    /// The same on the wall clock, which goes on while the host sleeps.
    pub(super) wall: UnixTime,
    /// The epoch of the session at that time: it tells what was revoked before. Nothing tells of a
    /// change of an account.
    pub(super) epoch: Option<SessionEpoch>,
    /// The age until which the reading counts as fresh where no event comes: the bound, or a little
    /// less.
    pub(super) max_age: Duration,
    /// The time on the monotonic clock from which a hit has it confirmed, or the session read again.
    pub(super) due: Duration,
    /// The moment, by either clock, until which it may be confirmed instead: later its session is read itself. `None` where
    /// it may never be.
    pub(super) confirmable_until: Option<Moment>,
    /// The end of the session, where it is one.
    pub(super) session_expires: Option<UnixTime>,
}

impl StoreRead {
    /// A reading that began at this moment.
    pub(super) fn new(started: Moment, epoch: Option<SessionEpoch>, max_age: Duration) -> Self {
        let Moment { at, wall } = started;
        let (due, confirmable_until) = (Duration::MAX, None);
        Self { at, wall, epoch, max_age, due, confirmable_until, session_expires: None }
    }

    /// The same of this session.
    pub(super) fn of(self, session: &Session) -> Self {
        Self { session_expires: Some(session.expires), ..self }
    }
}

/// True while a decision waits for its session to be read again.
#[derive(Debug, Default)]
pub(super) struct IsRefreshing(AtomicBool);

impl IsRefreshing {
    /// Returns whether it does since now. A load first: many hits come while it waits.
    pub(super) fn begin(&self) -> bool {
        !self.0.load(Ordering::Relaxed) && !self.0.swap(true, Ordering::Relaxed)
    }

    pub(super) fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// The places of a decision in both levels of the cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    pub(super) first: Fingerprint,
    pub(super) second: CacheKey,
}

/// The parts that a new decision is made of.
pub(super) struct NewDecision {
    pub(super) token: Arc<Verified>,
    pub(super) session: Option<Session>,
    pub(super) read: Option<StoreRead>,
    pub(super) basis: Basis,
    pub(super) is_bound: bool,
    pub(super) signed: Option<SignedBy>,
    pub(super) places: Option<Places>,
}

impl NewDecision {
    /// The decision, with these headers in its answer; most have these names.
    pub(super) fn with(self, headers: &HeaderMap, usual: &Arc<HeaderMap>) -> CachedDecision {
        let is_usual = headers.keys().eq(usual.keys());
        let names = if is_usual { Arc::clone(usual) } else { Arc::new(headers.clone()) };
        let Self { token, session, read, basis, is_bound, signed, places } = self;
        let lines = http1::lines(headers);
        let memory_size = memory_size(&lines, &token, session.as_ref(), &basis);
        let parts = Parts {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            validity: token.validity(),
            keys: Arc::clone(&token.issuer.keys),
            read: read.map(AtomicCell::new),
            basis,
            is_bound,
            signed,
            token,
            session: session.map(Box::new),
            places,
            names,
            memory_size,
            is_refreshing: IsRefreshing::default(),
        };
        CachedDecision(ThinArc::from_header_and_slice(parts, &lines))
    }
}

impl CachedDecision {
    /// The headers of the answer, as lines of a head in HTTP/1.1, each with its end: the identity for the
    /// application, and that the answer must not be kept.
    pub(in crate::gate) fn lines(&self) -> &[u8] {
        &self.0.slice
    }

    /// The same as a map. Its values are parts of the block.
    pub fn headers(&self) -> HeaderMap {
        let mut rest = Bytes::from_owner(self.clone());
        let mut headers = (*self.names).clone();
        for (name, value) in &mut headers {
            rest.advance(name.as_str().len() + ": ".len());
            // No value holds the end of a line.
            let end = rest.iter().position(|byte| *byte == b'\r').unwrap_or(rest.len());
            let found = HeaderValue::from_maybe_shared(rest.split_to(end));
            *value = found.unwrap_or(HeaderValue::from_static(""));
            rest.advance("\r\n".len());
        }
        headers
    }

    /// The last reading of the session or of the account, where the decision depends on one.
    pub(super) fn reading(&self) -> Option<StoreRead> {
        self.read.as_ref().map(AtomicCell::load)
    }

    /// Goes on with a new reading, which says the same, unless a later one was noted meanwhile. Of two at the same time
    /// the earlier one may stay, which only asks again sooner.
    pub(super) fn renew(&self, read: StoreRead) {
        if let Some(reading) = &self.read {
            if reading.load().at <= read.at {
                reading.store(read);
            }
            self.is_refreshing.end();
        }
    }

    /// The bounds of an API key, which are compared with every request.
    pub(in crate::gate) fn key_bounds(&self) -> Option<&KeyBounds> {
        match &self.basis {
            Basis::ApiKey(bounds) => Some(bounds),
            _ => None,
        }
    }

    /// Returns whether the other one is this one, and not only like it.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.0.as_ptr() == other.0.as_ptr()
    }
}

impl Deref for CachedDecision {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0.header.header
    }
}

impl AsRef<[u8]> for CachedDecision {
    fn as_ref(&self) -> &[u8] {
        self.lines()
    }
}
