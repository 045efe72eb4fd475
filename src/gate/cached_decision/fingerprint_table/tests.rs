//! Hits, and what is pushed out. Whether what is found still holds is tested with the cache as a whole.

use super::*;
use crate::secret::SystemRandom;

type Table = FingerprintTable<&'static str>;

/// A table with so many sets.
fn table(sets: usize) -> Table {
    let bytes = (sets * size_of::<Slots<&str>>()) as u64;
    FingerprintTable::new(bytes, TOLD_SHARE << 10, &SystemRandom).expect("randomness")
}

fn found(table: &Table, credential: &str) -> Option<&'static str> {
    table.get(table.key.of(credential.as_bytes())).map(|found| found.value)
}

fn insert(table: &Table, credential: &str, decision: &'static str) {
    table.insert(table.key.of(credential.as_bytes()), &decision);
}

#[test]
fn those_of_a_set_stay_and_one_more_takes_the_place_of_the_one_that_is_used_least() {
    let table = table(1);
    for (credential, decision) in [("1", "alice"), ("2", "bob"), ("3", "carol"), ("4", "dan")] {
        insert(&table, credential, decision);
        assert_eq!(found(&table, credential), Some(decision));
    }
    for credential in ["1", "2", "4"].repeat(9) {
        assert!(found(&table, credential).is_some());
    }
    insert(&table, "5", "erin");
    let all = ["1", "2", "3", "4", "5"].map(|credential| found(&table, credential));
    assert_eq!(all, [Some("alice"), Some("bob"), None, Some("dan"), Some("erin")]);
}

#[test]
fn what_comes_once_takes_the_places_of_what_is_used_no_more_in_turn() {
    let table = table(1);
    for credential in ["dead", "hot", "old", "gone"] {
        insert(&table, credential, "alice");
    }
    for new in ["1", "2", "3"] {
        assert!([0; 4].map(|_| found(&table, "hot")).iter().all(Option::is_some));
        insert(&table, new, "bob");
    }
    let left = ["dead", "hot", "old", "gone", "1", "2", "3"].map(|it| found(&table, it).is_some());
    assert_eq!(left, [false, true, false, false, true, true, true]);
}

#[test]
fn a_newer_decision_takes_the_place_of_the_older_one() {
    let table = table(1);
    insert(&table, "one", "before");
    insert(&table, "one", "after");
    assert_eq!(found(&table, "one"), Some("after"));
    assert_eq!(table.sets[0].0.lock().values.iter().flatten().count(), 1);
}

#[test]
fn what_the_second_level_drops_is_forgotten_and_what_took_its_place_is_not() {
    let table = table(2);
    insert(&table, "one", "after");
    let fingerprint = table.key.of(b"one");
    table.remove(fingerprint, |decision| *decision == "before");
    assert_eq!(found(&table, "one"), Some("after"));
    table.remove(table.key.of(b"other"), |_| true);
    assert_eq!(found(&table, "one"), Some("after"));
    table.remove(fingerprint, |decision| *decision == "after");
    assert_eq!(found(&table, "one"), None);
}

#[test]
fn the_second_level_is_told_of_a_hit_when_much_came_in_since() {
    let table = table(1);
    insert(&table, "one", "alice");
    let fingerprint = table.key.of(b"one");
    let is_told = || table.get(fingerprint).expect("a hit").tells_second_level;
    assert_eq!([is_told(), is_told()], [false; 2]);
    table.on_filled(1_023);
    assert!(!is_told());
    table.on_filled(1);
    assert_eq!([is_told(), is_told()], [true, false]);
    table.on_filled(9_999);
    assert_eq!([is_told(), is_told()], [true, false]);
}

#[test]
fn a_set_takes_two_lines_of_the_processors_cache_and_the_table_no_more_than_its_room() {
    assert_eq!(size_of::<Slots<Box<u8>>>(), 128);
    for (bytes, sets) in [(0, 0), (127, 0), (128, 1), (1_000, 4), (4 << 20, 32_768)] {
        let table =
            FingerprintTable::<Box<u8>>::new(bytes, 1 << 20, &SystemRandom).expect("randomness");
        assert_eq!((table.sets.len(), table.bytes()), (sets, sets as u64 * 128), "{bytes}");
    }
    let nothing = table(0);
    insert(&nothing, "one", "alice");
    assert_eq!(found(&nothing, "one"), None);
}

#[test]
fn many_threads_find_what_is_theirs_and_nothing_of_others() {
    const NAMES: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let table = table(2);
    std::thread::scope(|scope| {
        for name in NAMES {
            let table = &table;
            scope.spawn(move || {
                for round in 0..2_000 {
                    insert(table, name, name);
                    for other in NAMES {
                        assert!(found(table, other).is_none_or(|found| found == other));
                    }
                    if round % 3 == 0 {
                        table.remove(table.key.of(name.as_bytes()), |_| true);
                    }
                }
            });
        }
    });
}
