//! Secrets of clients: a new one, and the old one that stays good beside it for a while.

use std::time::Duration;

use super::clock_and_random;
use crate::account::{ClientSecret, KeyDigest};
use crate::clock::UnixTime;
use crate::opaque;
use crate::secret::Secret;

/// A secret, and what is kept of it.
pub(super) fn new_secret() -> anyhow::Result<(Secret, ClientSecret)> {
    let (_, random) = clock_and_random();
    let secret = opaque::generate(random.as_ref())?;
    let kept = ClientSecret { digest: KeyDigest::of(&secret), expires: None };
    Ok((secret, kept))
}

/// The new secret behind the newest of the old ones, if that is to be good for a while.
pub(super) fn replaced(
    old: &[ClientSecret],
    new: ClientSecret,
    now: UnixTime,
    overlap: u64,
) -> Vec<ClientSecret> {
    let end = now.after(Duration::from_secs(overlap));
    let newest = old.iter().rfind(|secret| secret.is_live(now)).map(|secret| ClientSecret {
        expires: Some(secret.expires.map_or(end, |expires| expires.min(end))),
        digest: secret.digest.clone(),
    });
    newest.into_iter().filter(|secret| secret.is_live(now)).chain([new]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_secret_ends_with_the_overlap_and_never_lives_longer() {
        let secret = |name: &str, expires: Option<u64>| ClientSecret {
            digest: KeyDigest::of(&Secret::new(name)),
            expires: expires.map(UnixTime::from_secs),
        };
        let now = UnixTime::from_secs(100);
        let new = || secret("new", None);
        for (old, overlap, expected) in [
            (vec![secret("a", None)], 50, vec![secret("a", Some(150)), new()]),
            (vec![secret("a", None)], 0, vec![new()]),
            (vec![secret("a", Some(120))], 50, vec![secret("a", Some(120)), new()]),
            (vec![secret("a", Some(90))], 50, vec![new()]),
            (
                vec![secret("a", Some(190)), secret("b", None)],
                50,
                vec![secret("b", Some(150)), new()],
            ),
        ] {
            assert_eq!(replaced(&old, new(), now, overlap), expected, "{old:?} {overlap}");
        }
    }
}
