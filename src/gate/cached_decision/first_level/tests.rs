//! Hits, and what is pushed out. Whether a decision still holds is tested with the cache as a whole.

use super::*;

const JWT: CredentialKind = CredentialKind::Jwt;

fn slot(credential: &str, decision: &'static str) -> Slot<&'static str> {
    let key = CacheKey::of(JWT, credential);
    let credential = Zeroizing::new(credential.as_bytes().into());
    Slot { credential, key, decision, hits: 0 }
}

fn table(sets: usize) -> Table<&'static str> {
    Table::new(sets, Arc::default())
}

fn found(
    table: &mut Table<&'static str>,
    hash: u64,
    kind: CredentialKind,
    credential: &str,
) -> Option<&'static str> {
    table.get(hash, kind, credential).map(|found| found.decision)
}

#[test]
fn the_whole_credential_and_its_kind_make_a_hit_and_the_hash_alone_none() {
    let mut table = table(4);
    table.put(7, slot("one.token", "alice"));
    assert_eq!(found(&mut table, 7, JWT, "one.token"), Some("alice"));
    for (hash, kind, credential) in [
        (7, JWT, "one.tokex"),
        (7, JWT, "one.toke"),
        (7, JWT, "one.token2"),
        (7, JWT, ""),
        (7, CredentialKind::Handle, "one.token"),
        (8, JWT, "one.token"),
    ] {
        assert_eq!(found(&mut table, hash, kind, credential), None, "{hash} {credential}");
    }
}

#[test]
fn two_of_a_set_stay_and_a_third_takes_the_place_of_the_one_that_is_used_less() {
    let mut table = table(1);
    table.put(1, slot("one", "alice"));
    table.put(2, slot("two", "bob"));
    for _ in 0..9 {
        assert_eq!(found(&mut table, 1, JWT, "one"), Some("alice"));
    }
    assert_eq!(found(&mut table, 2, JWT, "two"), Some("bob"));
    table.put(3, slot("three", "carol"));
    assert_eq!(found(&mut table, 1, JWT, "one"), Some("alice"));
    assert_eq!(found(&mut table, 2, JWT, "two"), None);
    assert_eq!(found(&mut table, 3, JWT, "three"), Some("carol"));
}

#[test]
fn a_newer_decision_takes_the_place_of_the_older_one() {
    let mut table = table(2);
    table.put(5, slot("one", "before"));
    table.put(5, slot("one", "after"));
    assert_eq!(found(&mut table, 5, JWT, "one"), Some("after"));
    assert_eq!(table.slots.iter().flatten().flatten().count(), 1);
}

#[test]
fn the_second_level_is_told_of_one_hit_in_many() {
    let mut table = table(1);
    table.put(1, slot("one", "alice"));
    let told = (0..TOLD_HITS * 3).filter_map(|_| table.get(1, JWT, "one")?.told).count();
    assert_eq!(told, 3);
}

#[test]
fn there_are_as_many_slots_as_the_room_has_and_the_bytes_are_counted() {
    for (bytes, threads, sets) in [
        (0, 1, 0),
        (2_047, 1, 0),
        (2_048, 1, 1),
        (8 << 20, 1, 4_096),
        (8 << 20, 16, 256),
        (1 << 40, 1, 4_096),
    ] {
        assert_eq!(FirstLevel::<u8>::new(bytes, threads).sets, sets, "{bytes} {threads}");
    }
    let level = FirstLevel::new(1 << 20, 1);
    for (credential, bytes) in [("12345", 5), ("12345", 5), ("123", 8)] {
        level.insert(CacheKey::of(JWT, credential), credential, &"alice");
        assert_eq!(level.bytes(), bytes);
    }
    level.insert(CacheKey::of(JWT, "long"), &"t".repeat(MAX_CREDENTIAL + 1), &"alice");
    assert_eq!(level.bytes(), 8, "too long");
    let nothing = FirstLevel::new(0, 1);
    nothing.insert(CacheKey::of(JWT, "one"), "one", &"alice");
    assert!(nothing.get(JWT, "one").is_none());
}
