//! jwthenticator's table of registered keys. An identifier becomes a user of kind service.

use std::collections::HashSet;

use super::super::progress::Progress;
use super::super::{Failure, Outcome, clock_and_random};
use super::database::{Place, Source};
use super::incoming::{Incoming, NewKey};
use super::{Flags, take_over};
use crate::account::{ApiKey, KeyDigest, Login, User, UserKind};
use crate::clock::UnixTime;
use crate::issuer::api_keys::new_key_id;
use crate::secret::Random;
use crate::session::UserId;

/// The label of the imported keys, and in the audit log of the import.
const LABEL: &str = "jwthenticator";
/// SHA-512 in hex.
const HASH_DIGITS: usize = 128;
/// A UUID in hex.
const UUID_DIGITS: usize = 32;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    flags: Flags,
}

/// A row of `keys`, as it stands there.
type Row = (i64, String, String, Option<i64>);

/// A key that can be taken over.
#[derive(Debug, PartialEq, Eq)]
struct Registered {
    digest: KeyDigest,
    /// Its owner: the UUID with dashes.
    user: UserId,
    expires: UnixTime,
}

pub(super) async fn import(args: &Args) -> Outcome {
    args.flags.config()?;
    let mut source = Source::open(&args.place).await?;
    let (clock, random) = clock_and_random();
    let incoming = read_all(&mut source, random.as_ref(), clock.now()).await;
    take_over(incoming.map_err(Failure::unavailable)?, &args.flags, LABEL).await
}

async fn read_all(
    source: &mut Source,
    random: &dyn Random,
    now: UnixTime,
) -> anyhow::Result<Incoming> {
    let expires = source.millis("expires_at");
    let sql = format!(
        "SELECT CAST(id AS BIGINT), coalesce(key_hash, ''), CAST(identifier AS TEXT), {expires} \
         FROM keys WHERE id > $1 ORDER BY id LIMIT $2"
    );
    let mut progress = Progress::new(source.number("SELECT count(*) FROM keys").await?);
    let (mut incoming, mut users) = (Incoming::default(), HashSet::new());
    let mut after = i64::MIN;
    loop {
        let page: Vec<Row> = source.page(&sql, after).await?;
        let Some((last, ..)) = page.last() else { break };
        after = *last;
        for row in &page {
            progress.step();
            let origin = format!("key {}", row.0);
            let Some(key) = read(row) else {
                incoming.unreadable(origin, "it cannot be read");
                continue;
            };
            if users.insert(key.user.clone()) {
                incoming.user(origin.clone(), service(&key.user, now)?);
            }
            incoming.keys.push(NewKey { origin, key: api_key(key, random, now)? });
        }
    }
    progress.finish();
    Ok(incoming)
}

fn api_key(key: Registered, random: &dyn Random, now: UnixTime) -> anyhow::Result<ApiKey> {
    Ok(ApiKey {
        label: Some(LABEL.to_owned()),
        expires: Some(key.expires),
        ..ApiKey::new(new_key_id(random)?, key.user, key.digest, now)
    })
}

/// The user that an identifier becomes.
fn service(id: &UserId, now: UnixTime) -> anyhow::Result<User> {
    let username = Login::parse(id.as_str())?;
    Ok(User { kind: UserKind::Service, ..User::new(id.clone(), username, now) })
}

/// A key without an end was never good in jwthenticator, so it is not taken for one without end.
fn read((_, hash, identifier, expires): &Row) -> Option<Registered> {
    let is_hash = hash.len() == HASH_DIGITS && hash.bytes().all(|b| b.is_ascii_hexdigit());
    let expires = u64::try_from((*expires)?).ok()?;
    let user = UserId::parse(&dashed(identifier)?).ok()?;
    let digest = KeyDigest::from_sha512_hex(hash);
    is_hash.then_some(Registered { digest, user, expires: UnixTime::from_millis(expires) })
}

/// A UUID as RFC 9562 writes it.
fn dashed(uuid: &str) -> Option<String> {
    let digits: String = uuid.trim().chars().filter(|char| *char != '-').collect();
    if digits.len() != UUID_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let d = digits.to_ascii_lowercase();
    Some([&d[..8], &d[8..12], &d[12..16], &d[16..20], &d[20..]].join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_taken_over_or_refused() {
        let hash = "AB".repeat(64);
        let uuid = "0123456789ABCDEF0123456789abcdef";
        let dashed = "01234567-89ab-cdef-0123-456789abcdef";
        for identifier in [uuid, dashed, " 0123456789abcdef0123456789abcdef"] {
            let key = read(&(1, hash.clone(), identifier.to_owned(), Some(5_000)));
            let key = key.expect(identifier);
            assert_eq!(key.user.as_str(), dashed);
            assert_eq!(key.digest.as_str(), format!("sha512:{}", "ab".repeat(64)));
            assert_eq!(key.expires, UnixTime::from_secs(5));
        }
        for (hash, identifier, expires) in [
            ("", uuid, Some(1)),
            ("zz", uuid, Some(1)),
            (&hash[1..], uuid, Some(1)),
            (hash.as_str(), "", Some(1)),
            (&hash, "0123456789abcdef0123456789abcdeg", Some(1)),
            (&hash, "ä123456789abcdef0123456789abcde", Some(1)),
            (&hash, uuid, None),
            (&hash, uuid, Some(-1)),
        ] {
            let row = (1, hash.to_owned(), identifier.to_owned(), expires);
            assert_eq!(read(&row), None, "{row:?}");
        }
    }
}
