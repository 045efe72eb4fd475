//! The names that settings go by, and the one that somebody may have meant who wrote another.

use super::settings::{Entry, SETTINGS};

/// A prefix that people put before the names of a program's settings; these have none.
const PREFIX: &str = "PORTCULLIS_";
/// Shorter names are like too many others; what was typed may lack a letter.
const MIN_LETTERS: usize = 6;

/// The names that a setting may have in the environment, and in lower case in the file.
pub(super) fn names_of(setting: &'static Entry) -> impl Iterator<Item = String> {
    setting.names().map(str::to_owned).chain(setting.file_names())
}

fn names() -> impl Iterator<Item = String> {
    SETTINGS.iter().copied().flat_map(names_of)
}

/// Says whether a name, in capitals, is a setting's.
pub(super) fn is_known(name: &str) -> bool {
    names().any(|known| known == name)
}

/// The setting that an unknown key of the file may have meant, in capitals.
pub(super) fn nearest(key: &str) -> Option<String> {
    let key = key.to_ascii_uppercase().replace('-', "_");
    meant(&key).or_else(|| within(&key, (key.len() / 3).max(1)))
}

/// The setting that an unknown variable of the environment may have meant.
/// There are others' variables too, so it has to be like one indeed.
pub(super) fn nearest_variable(name: &str) -> Option<String> {
    let capitals = name.to_ascii_uppercase();
    if let Some(known) = meant(&capitals) {
        return Some(known);
    }
    let allowed = if capitals.len() < MIN_LETTERS + 2 { 1 } else { 2 };
    within(&capitals, allowed)
        .filter(|known| capitals.len() + 1 >= MIN_LETTERS && known.len() >= MIN_LETTERS)
}

/// The name as it is but for case, our own name before it, or how it says that it is a file's.
fn meant(capitals: &str) -> Option<String> {
    let bare = capitals.strip_prefix(PREFIX).unwrap_or(capitals);
    let stem = bare.strip_suffix("_PATH").or_else(|| bare.strip_suffix("_FILE")).unwrap_or(bare);
    let forms = [bare.to_owned(), format!("{stem}_FILE"), stem.to_owned()];
    forms.into_iter().find(|form| is_known(form))
}

/// The name that is reached by the fewest changes, of so many at most.
fn within(capitals: &str, most: usize) -> Option<String> {
    let bare = capitals.strip_prefix(PREFIX).unwrap_or(capitals);
    names()
        .map(|known| (strsim::osa_distance(bare, &known), known))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_leads_to_the_one_that_was_meant() {
        for (typed, expected) in [
            ("leway", "LEEWAY"),
            ("jwt_audiance", "JWT_AUDIENCE"),
            ("session-staleness", "SESSION_STALENESS"),
            ("private_key_path", "PRIVATE_KEY_FILE"),
            ("leeway_file", "LEEWAY"),
        ] {
            assert_eq!(nearest(typed).as_deref(), Some(expected), "{typed}");
        }
        assert_eq!(nearest("colour_of_the_sky"), None);
        for (typed, expected) in [
            ("LEWAY", Some("LEEWAY")),
            ("LEEWAYS", Some("LEEWAY")),
            ("AUTHORISATION_SERVER", Some("AUTHORIZATION_SERVER")),
            ("JWT_AUDIANCE", Some("JWT_AUDIENCE")),
            ("PORTCULLIS_LEEWAY", Some("LEEWAY")),
            ("SECRET_KEY_PATH", Some("SECRET_KEY_FILE")),
            ("leeway", Some("LEEWAY")),
        ] {
            assert_eq!(nearest_variable(typed).as_deref(), expected, "{typed}");
        }
    }

    #[test]
    fn the_variables_of_others_are_let_alone() {
        for name in [
            "HOME",
            "HOSTNAME",
            "PATH",
            "PWD",
            "USER",
            "LANG",
            "TERM",
            "PORTS",
            "LISTEN_FDS",
            "LISTEN_PID",
            "REDIS_PORT",
            "DB_USER",
            "DATABASE_URL",
            "KUBERNETES_SERVICE_HOST",
            "PORTCULLIS_SERVICE_HOST",
            "PORTCULLIS_TEST_REQUIRE",
            "RUST_LOG",
            "LOG_FILE",
        ] {
            assert_eq!(nearest_variable(name), None, "{name}");
        }
    }
}
