//! Settings that conflict with `[[issuers]]`: those without effect there, and those with more
//! effect than was meant.
//!
//! Each table says everything about its own issuer. A key in the settings is one issuer more, so
//! that a variable which was left over from something else must not become one.

use super::reader::Reader;
use super::settings::{self, Entry, KEY_SOURCES};
use super::tables::IssuerTable;
use super::tokens::TokenMode;

/// Settings of the issuer whose key stands in the settings, and of no other.
const SINGLE_KEY_SETTINGS: [&Entry; 3] =
    [settings::ISSUER.entry, settings::JWT_AUDIENCE.entry, settings::ALGORITHM.entry];

pub(super) fn check(
    reader: &mut Reader<'_>,
    tables: &[IssuerTable],
    has_key: bool,
    mode: TokenMode,
) {
    let set: Vec<_> = KEY_SOURCES.into_iter().filter(|source| reader.is_set(*source)).collect();
    if !has_key && set.is_empty() {
        for setting in SINGLE_KEY_SETTINGS {
            if reader.is_set(setting) {
                reader.wrong(setting, WITHOUT_EFFECT);
            }
        }
        return;
    }
    // Without a table's own `audiences` it would seem as if these were for all.
    let unsaid = tables.iter().position(|table| table.audiences.is_empty());
    if let (Some(place), true) = (unsaid, reader.is_set(settings::JWT_AUDIENCE)) {
        let problem = format!(
            "is for the key in the settings alone, and issuers[{place}] has no `audiences`: say \
             there for whom its tokens are"
        );
        reader.wrong(settings::JWT_AUDIENCE, problem);
    }
    if signs(reader, mode) {
        return;
    }
    if reader.is_set(settings::SECRET_KEY) {
        reader.wrong(settings::SECRET_KEY, STRAY_SECRET);
    } else if !reader.is_set(settings::ISSUER) {
        for source in set {
            reader.wrong(source, NAMELESS);
        }
    }
}

/// Says whether this process makes tokens of its own with the key in the settings.
fn signs(reader: &mut Reader<'_>, mode: TokenMode) -> bool {
    let is_for_the_app = mode == TokenMode::Opaque && reader.is_set(settings::UPSTREAM_JWT_HEADER);
    is_for_the_app || reader.get(settings::AUTHORIZATION_SERVER)
}

const WITHOUT_EFFECT: &str = "says nothing of [[issuers]], and no key in the settings goes with it: \
                              write it there (`issuer`, `audiences`, `algorithm`), and leave it out";
const STRAY_SECRET: &str = "would add an issuer to [[issuers]] whose tokens everybody who knows this \
                            secret can make: unset it, or write it there (`secret_key_file`)";
const NAMELESS: &str = "would add an issuer to [[issuers]], and nothing names it: set ISSUER, or \
                        write the key there";
