//! The signature algorithms, by their names in RFC 7518 and RFC 8037.

pub use jsonwebtoken::Algorithm;
use jsonwebtoken::AlgorithmFamily;

/// All supported algorithms, in the order in which people see them.
const NAMES: [(Algorithm, &str); 12] = [
    (Algorithm::HS256, "HS256"),
    (Algorithm::HS384, "HS384"),
    (Algorithm::HS512, "HS512"),
    (Algorithm::RS256, "RS256"),
    (Algorithm::RS384, "RS384"),
    (Algorithm::RS512, "RS512"),
    (Algorithm::PS256, "PS256"),
    (Algorithm::PS384, "PS384"),
    (Algorithm::PS512, "PS512"),
    (Algorithm::ES256, "ES256"),
    (Algorithm::ES384, "ES384"),
    (Algorithm::EdDSA, "EdDSA"),
];

/// All supported algorithms.
pub fn all() -> impl Iterator<Item = Algorithm> {
    NAMES.iter().map(|(algorithm, _)| *algorithm)
}

/// The error for a name that is not that of a supported algorithm; `none` is not supported, in any
/// spelling.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an algorithm that is supported here; one of {list}", list = names())]
pub struct UnknownAlgorithm(pub String);

/// Reads an algorithm's registered name. Names are case-sensitive (RFC 7515, section 4.1.1).
///
/// # Errors
/// [`UnknownAlgorithm`] for anything else, `none` included.
pub fn parse(name: &str) -> Result<Algorithm, UnknownAlgorithm> {
    // RFC 9864 gives EdDSA with curve Ed25519 the name of its curve; they are the same algorithm.
    let registered = if name == "Ed25519" { "EdDSA" } else { name };
    NAMES
        .iter()
        .find(|(_, name)| *name == registered)
        .map(|(algorithm, _)| *algorithm)
        .ok_or_else(|| UnknownAlgorithm(name.chars().take(32).collect()))
}

/// The registered name.
pub fn name(algorithm: Algorithm) -> &'static str {
    NAMES.iter().find(|(named, _)| *named == algorithm).map_or("unsupported", |(_, name)| name)
}

/// Returns whether one shared secret both signs and verifies.
pub fn is_symmetric(algorithm: Algorithm) -> bool {
    algorithm.family() == AlgorithmFamily::Hmac
}

/// The shortest secret that an HMAC algorithm may have, in bytes: as long as its output
/// (RFC 7518, section 3.2). Zero for the others.
pub fn min_secret_bytes(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::HS256 => 32,
        Algorithm::HS384 => 48,
        Algorithm::HS512 => 64,
        _ => 0,
    }
}

fn names() -> String {
    NAMES.map(|(_, name)| name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_is_read_by_its_name() {
        for algorithm in all() {
            assert_eq!(parse(name(algorithm)), Ok(algorithm));
        }
        assert_eq!(parse("Ed25519"), Ok(Algorithm::EdDSA));
    }

    #[test]
    fn none_and_misspellings_are_refused() {
        for name in ["none", "None", "NONE", "", "hs256", "HS256 ", "ES512", "ES256K", "RSA"] {
            assert!(parse(name).is_err(), "{name}");
        }
    }
}
