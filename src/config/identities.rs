//! Users of several issuers: whether their names tell them apart.

use super::reader::Reader;
use super::tokens::IssuerConfig;

/// Warns where users of several issuers may go by one name. A name may itself begin like a prefix,
/// so that users are told apart only by prefixes of which none is the beginning of another.
pub(super) fn check_distinct_users(reader: &mut Reader<'_>, issuers: &[IssuerConfig]) {
    let clashes = |(place, issuer): (usize, &IssuerConfig)| {
        let others = issuers.iter().enumerate().filter(|(other, _)| *other != place);
        others
            .map(|(_, other)| other)
            .any(|other| other.user_prefix.starts_with(&issuer.user_prefix))
    };
    if issuers.iter().enumerate().any(clashes) {
        reader.mistakes.warn(
            "issuers",
            "several issuers may name their users alike, and X-Auth-User does not tell them apart: \
             let the app look at X-Auth-Issuer too, or give each a `user_prefix` (USER_PREFIX for the \
             issuer outside [[issuers]]) of which none is the beginning of another",
        );
    }
}
