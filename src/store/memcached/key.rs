//! Names of records, and for how long a server should keep them.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use memcache::exp::Ttl;

use crate::clock::UnixTime;

/// The time for which a record is kept after its end, in seconds.
const MARGIN: u64 = 3_600;
/// Beyond so many seconds a record is kept until its room is needed: what is sent is then the
/// moment of its end, which has to fit into 31 bits.
const LONGEST: u64 = 5 * 365 * 86_400;

/// The key of a record: a prefix and a name. Records of one name are on one server, whatever their
/// prefixes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key {
    text: String,
    /// The place at which the name begins.
    name: usize,
}

impl Key {
    /// With a name as it is: at most 200 printable ASCII characters without blanks.
    pub fn plain(prefix: &str, name: &str) -> Self {
        Self { text: format!("{prefix}{name}"), name: prefix.len() }
    }

    /// With the SHA-256 of a name that may be anything; the record should say the name itself.
    pub fn hashed(prefix: &str, name: &str) -> Self {
        Self::plain(prefix, &URL_SAFE_NO_PAD.encode(digest(&SHA256, name.as_bytes())))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The name, which decides which server keeps it.
    pub(super) fn name(&self) -> &str {
        &self.text[self.name..]
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// For how long a server should keep a record, if it has the room. It only makes room: whether a
/// record is over is for who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime(Option<u64>);

impl Lifetime {
    /// Until the room is needed.
    pub const ENDLESS: Self = Self(None);

    /// Of a record that is of use from then until then, counted from when it is written, so that
    /// no two clocks are compared.
    pub fn between(from: UnixTime, until: UnixTime) -> Self {
        let millis = until.as_millis().saturating_sub(from.as_millis());
        Self::of_secs(millis.div_ceil(1_000).saturating_add(MARGIN))
    }

    /// A lifetime of this length, in which a margin is counted already.
    pub fn of(keep: Duration) -> Self {
        Self::of_secs(u64::try_from(keep.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX))
    }

    /// The lifetime that is left, as a server says it.
    pub(super) fn left(secs: i64) -> Self {
        u64::try_from(secs).map_or(Self::ENDLESS, Self::of_secs)
    }

    /// Longer, by as much as the end of the record moves forward; a record's time never gets
    /// shorter.
    pub fn moved(self, from: UnixTime, to: UnixTime) -> Self {
        let by = to.as_millis().saturating_sub(from.as_millis()).div_ceil(1_000);
        self.0.map_or(self, |secs| Self::of_secs(secs.saturating_add(by)))
    }

    fn of_secs(secs: u64) -> Self {
        Self((secs <= LONGEST).then_some(secs.max(1)))
    }

    /// As the protocol has it: beyond 30 days as a moment, by this host's clock. By how much the
    /// server's differs, the margin has to cover.
    pub(super) fn to_ttl(self) -> Ttl {
        let secs = self.0.and_then(|secs| u32::try_from(secs).ok());
        secs.map_or(Ttl::NEVER, Ttl::secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_makes_a_key_that_memcached_takes() {
        for name in ["", " ", "a b\n", "名\u{0}", &"x".repeat(5_000)] {
            let key = Key::hashed("portcullis:user:", name);
            assert_eq!(key.as_str().len(), 16 + 43);
            assert!(key.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
            assert_eq!(key.name(), &key.as_str()[16..]);
        }
        assert_ne!(Key::hashed("p:", "a"), Key::hashed("p:", "A"));
        assert_eq!(Key::plain("p:", "a.b").as_str(), "p:a.b");
    }

    #[test]
    fn a_record_is_kept_for_its_length_and_a_margin() {
        let at = UnixTime::from_millis;
        for (from, until, expected) in [
            (at(5), at(1_005), Some(3_601)),
            (at(5), at(1_006), Some(3_602)),
            (at(9), at(1), Some(3_600)),
            (at(0), at(1_000 * LONGEST), None),
            (at(0), at(u64::MAX), None),
        ] {
            assert_eq!(Lifetime::between(from, until), Lifetime(expected), "{from:?} {until:?}");
        }
    }

    #[test]
    fn a_length_with_a_margin_of_its_own_gets_no_other() {
        for (millis, expected) in [(0, Some(1)), (1, Some(1)), (1_001, Some(2)), (u64::MAX, None)] {
            assert_eq!(Lifetime::of(Duration::from_millis(millis)), Lifetime(expected), "{millis}");
        }
    }

    #[test]
    fn a_lifetime_moves_with_the_end_and_never_back() {
        let at = UnixTime::from_secs;
        assert_eq!(Lifetime::left(-1), Lifetime::ENDLESS);
        assert_eq!(Lifetime::left(0).moved(at(9), at(9)), Lifetime(Some(1)));
        assert_eq!(Lifetime::left(100).moved(at(5), at(8)), Lifetime(Some(103)));
        assert_eq!(Lifetime::left(100).moved(at(8), at(5)), Lifetime(Some(100)));
        assert_eq!(Lifetime::left(100).moved(at(0), at(u64::MAX)), Lifetime::ENDLESS);
        assert_eq!(Lifetime::ENDLESS.moved(at(5), at(8)), Lifetime::ENDLESS);
    }
}
