//! The map of slots to servers, as the cluster reports it.

use std::sync::Arc;

use redis::{FromRedisValue, Value};

use crate::store::Failure;
use crate::store::redis::server::Server;
use crate::store::redis::target::HostPort;

/// The number of slots.
const SLOTS: u16 = 16_384;
/// The index for a slot without a primary.
const NOBODY: u16 = u16::MAX;

/// The slot of a key: CRC-16 of it, or of its tag, which is the text between the first `{` and the
/// next `}`, if it is not empty.
pub(in crate::store::redis) fn slot_of(key: &[u8]) -> u16 {
    let tag = || {
        let from = key.iter().position(|byte| *byte == b'{')? + 1;
        let length = key.get(from..)?.iter().position(|byte| *byte == b'}')?;
        (length > 0).then(|| key.get(from..from + length)).flatten()
    };
    crc16(tag().unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

/// A map of the cluster.
pub(super) struct Map {
    primaries: Vec<HostPort>,
    /// The index of the primary of each slot.
    slots: Vec<u16>,
    is_sound: bool,
    /// A number that grows with every change that the cluster agrees on.
    epoch: u64,
}

impl Map {
    /// The servers that hold keys, in order.
    pub(super) fn primaries(&self) -> &[HostPort] {
        &self.primaries
    }

    /// The server that keeps a slot.
    ///
    /// # Errors
    /// No server keeps it.
    pub(super) fn owner(&self, slot: u16) -> Result<&HostPort, Failure> {
        let place = self.slots.get(usize::from(slot)).copied().unwrap_or(NOBODY);
        self.primaries.get(usize::from(place)).ok_or_else(|| {
            Failure::Unavailable("no server of the cluster keeps this key".to_owned())
        })
    }

    /// Returns whether the reporting server takes the cluster for sound.
    pub(super) fn is_sound(&self) -> bool {
        self.is_sound
    }

    /// Returns whether each slot has the same primary in both.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        (&self.primaries, &self.slots) == (&other.primaries, &other.slots)
    }

    /// Returns whether the reporting server knows more than the other map's.
    pub(super) fn is_newer_than(&self, other: &Self) -> bool {
        (self.is_sound, self.epoch) > (other.is_sound, other.epoch)
    }

    /// Reads `CLUSTER INFO` and `CLUSTER SLOTS`, as the server at `asked` sent them.
    fn read(info: &str, slots: Vec<Value>, asked: &HostPort) -> Result<Self, Failure> {
        let of = |name: &str| {
            info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
        };
        let ranges: Option<Vec<Range>> =
            slots.into_iter().map(|range| Range::read(range, asked)).collect();
        let ranges = ranges.ok_or_else(|| {
            Failure::Unavailable("the map of the cluster cannot be read".to_owned())
        })?;
        let mut map = Self {
            primaries: ranges.iter().map(|range| range.primary.clone()).collect(),
            slots: vec![NOBODY; usize::from(SLOTS)],
            is_sound: of("cluster_state").is_none_or(|state| state == "ok"),
            epoch: of("cluster_current_epoch").and_then(|it| it.parse().ok()).unwrap_or(0),
        };
        map.primaries.sort();
        map.primaries.dedup();
        for Range { first, last, primary } in &ranges {
            let place = map.primaries.binary_search(primary).unwrap_or(usize::from(NOBODY));
            let place = u16::try_from(place).unwrap_or(NOBODY);
            let kept = map.slots.get_mut(usize::from(*first)..=usize::from(*last));
            kept.unwrap_or_default().fill(place);
        }
        Ok(map)
    }
}

impl std::fmt::Debug for Map {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} at {}", self.primaries, self.epoch)
    }
}

/// Some slots and their primary.
struct Range {
    first: u16,
    last: u16,
    primary: HostPort,
}

impl Range {
    fn read(value: Value, asked: &HostPort) -> Option<Self> {
        let mut parts = Vec::<Value>::from_redis_value(value).ok()?.into_iter();
        let first = number(parts.next()?)?;
        let last = number(parts.next()?)?;
        let mut primary = Vec::<Value>::from_redis_value(parts.next()?).ok()?.into_iter();
        // Without a host, or with an empty one, it means the server that was asked.
        let host = Option::<String>::from_redis_value(primary.next()?).ok()?;
        let host = host.filter(|host| !host.is_empty()).unwrap_or_else(|| asked.host.clone());
        let port = number(primary.next()?)?;
        (first <= last && last < SLOTS && host != "?").then_some(Self {
            first,
            last,
            primary: HostPort { host, port },
        })
    }
}

/// The `redis` crate would cut a number that is too large.
fn number(value: Value) -> Option<u16> {
    u64::from_redis_value(value).ok()?.try_into().ok()
}

/// Asks a server for its map of the cluster.
pub(super) async fn fetch(server: Arc<Server>, at: HostPort) -> Result<Map, Failure> {
    let mut link = server.link().await?;
    let mut pipeline = redis::pipe();
    pipeline.cmd("CLUSTER").arg("INFO").cmd("CLUSTER").arg("SLOTS");
    let told = pipeline.query_async(&mut link).await;
    let (info, slots): (String, Vec<Value>) = told.map_err(|error| {
        let is_single = error.to_string().contains("cluster support disabled");
        if is_single {
            Failure::Unavailable("the server is not one of a cluster; write redis://".to_owned())
        } else {
            Failure::of(&error)
        }
    })?;
    Map::read(&info, slots, &at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        for (key, slot) in [
            ("123456789", 0x31c3),
            ("", 0),
            ("foo", 12_182),
            ("bar", 5_061),
            ("{foo}pattern", 12_182),
            ("a{foo}{bar}", 12_182),
            ("portcullis:9:session:{foo}", 12_182),
        ] {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
        for whole in ["{}foo", "{foo", "foo}", "a{}{foo}"] {
            assert_eq!(slot_of(whole.as_bytes()), crc16(whole.as_bytes()) % SLOTS, "{whole}");
        }
    }

    fn read(info: &str, slots: &str) -> Result<Map, Failure> {
        let slots = redis::parse_redis_value(slots.replace(' ', "\r\n").as_bytes()).expect("value");
        let slots = Vec::<Value>::from_redis_value(slots).expect("slots");
        Map::read(info, slots, &HostPort { host: "asked".to_owned(), port: 1 })
    }

    #[test]
    fn a_map_says_who_keeps_what() {
        let map = read(
            "cluster_state:ok\r\ncluster_current_epoch:7\r\n",
            "*3 *3 :0 :99 *3 $1 b :2 $2 id *4 :200 :16383 *2 $1 a :3 *2 $1 r :4 \
             *3 :100 :150 *2 $-1 :5 ",
        )
        .expect("map");
        let of = |slot| map.owner(slot).map(ToString::to_string).ok();
        for (slot, owner) in [
            (0, Some("b:2")),
            (99, Some("b:2")),
            (100, Some("asked:5")),
            (151, None),
            (200, Some("a:3")),
            (16_383, Some("a:3")),
        ] {
            assert_eq!(of(slot).as_deref(), owner, "{slot}");
        }
        assert_eq!(map.primaries().len(), 3);
        let older = read("cluster_state:ok\r\ncluster_current_epoch:6\r\n", "*0 ").expect("map");
        let unsound =
            read("cluster_state:fail\r\ncluster_current_epoch:9\r\n", "*0 ").expect("map");
        assert!(map.is_newer_than(&older) && older.is_newer_than(&unsound));
        assert!(!unsound.is_newer_than(&map));
    }

    #[test]
    fn a_map_that_makes_no_sense_is_none() {
        for slots in [
            "*1 *3 :0 :16384 *2 $1 a :1 ",
            "*1 *3 :9 :8 *2 $1 a :1 ",
            "*1 *3 :0 :1 *2 $1 ? :1 ",
            "*1 *3 :0 :1 *2 $1 a :70000 ",
            "*1 *2 :0 :1 ",
            "*1 :0 ",
        ] {
            assert!(read("", slots).is_err(), "{slots}");
        }
    }
}
