//! Settings that conflict with `[[issuers]]`: those without effect there, and those with more
//! effect than was meant.
//!
//! Each table says everything about its own issuer. A key in the settings is one issuer more, so
//! that a variable which was left over from something else must not become one.

use super::keys::SOURCES;
use super::reader::Reader;
use super::tables::IssuerTable;
use super::tokens::TokenMode;

/// Settings of the issuer whose key stands in the settings, and of no other.
const SINGLE_KEY_SETTINGS: [&str; 3] = ["ISSUER", "JWT_AUDIENCE", "ALGORITHM"];

pub(super) fn check(
    reader: &mut Reader<'_>,
    tables: &[IssuerTable],
    has_key: bool,
    mode: TokenMode,
) {
    let set: Vec<_> = SOURCES.iter().filter(|name| reader.found(name).is_some()).copied().collect();
    if !has_key && set.is_empty() {
        for name in SINGLE_KEY_SETTINGS {
            if reader.found(name).is_some() {
                reader.wrong(name, WITHOUT_EFFECT);
            }
        }
        return;
    }
    // Without a table's own `audiences` it would seem as if these were for all.
    let unsaid = tables.iter().position(|table| table.audiences.is_empty());
    if let (Some(place), Some(_)) = (unsaid, reader.found("JWT_AUDIENCE")) {
        let problem = format!(
            "is for the key in the settings alone, and issuers[{place}] has no `audiences`: say \
             there for whom its tokens are"
        );
        reader.wrong("JWT_AUDIENCE", problem);
    }
    if signs(reader, mode) {
        return;
    }
    if set.contains(&"SECRET_KEY") {
        reader.wrong("SECRET_KEY", STRAY_SECRET);
    } else if reader.found("ISSUER").is_none() {
        for name in set {
            reader.wrong(name, NAMELESS);
        }
    }
}

/// Whether this process makes tokens of its own with the key in the settings.
fn signs(reader: &mut Reader<'_>, mode: TokenMode) -> bool {
    let is_for_the_app = mode == TokenMode::Opaque && reader.found("UPSTREAM_JWT_HEADER").is_some();
    is_for_the_app || reader.boolean("AUTHORIZATION_SERVER")
}

const WITHOUT_EFFECT: &str = "says nothing of [[issuers]], and no key in the settings goes with it: \
                              write it there (`issuer`, `audiences`, `algorithm`), and leave it out";
const STRAY_SECRET: &str = "would add an issuer to [[issuers]] whose tokens everybody who knows this \
                            secret can make: unset it, or write it there (`secret_key_file`)";
const NAMELESS: &str = "would add an issuer to [[issuers]], and nothing names it: set ISSUER, or \
                        write the key there";
