//! The pages about moving in: each capability of the older system has a test that exists, or a reason; each setting is one.

use std::collections::HashSet;

use portcullis::config::settings::SETTINGS;

use super::{advisories::known_tests, text};

/// The pages, with the least number of capabilities on each.
const PAGES: [(&str, usize); 4] = [
    ("docs/moving/tp-auth.md", 14),
    ("docs/moving/jwthenticator.md", 13),
    ("docs/moving/authnzerver.md", 22),
    ("docs/moving/mdb-engine.md", 28),
];

/// The rows of the table below a heading, without its two first lines.
fn rows<'a>(page: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let (_, part) = page.split_once(&format!("\n## {heading}\n")).expect(heading);
    let part = part.split("\n## ").next().unwrap_or_default();
    let lines = part.lines().filter(|line| line.starts_with('|')).skip(2);
    lines.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

fn spans(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_capability_has_a_test_that_exists_or_a_reason() {
    let known = known_tests();
    for (name, least) in PAGES {
        let page = text(name);
        let rows = rows(&page, "Each capability");
        assert!(rows.len() >= least, "{name}: only {} capabilities", rows.len());
        for row in rows {
            let [what, here, proof] = row[..] else { panic!("{name}: three cells: {row:?}") };
            assert!(!what.is_empty() && here.len() > 10, "{name}: {what}");
            let named = spans(proof);
            let is_said = ["no sense", "not yet"].contains(&proof);
            assert!(is_said || !named.is_empty(), "{name}: {what}: no test and no word");
            for test in named {
                assert!(known.contains(test), "{name}: {what}: there is no test {test}");
            }
        }
    }
}

/// The names of settings on the right of a page's overview are names of settings, not of what they were.
#[test]
fn every_setting_that_takes_the_place_of_an_older_one_exists() {
    let names = SETTINGS.iter().flat_map(|setting| {
        setting.names().map(str::to_owned).chain(setting.file_names()).collect::<Vec<_>>()
    });
    let settings: HashSet<String> = names.collect();
    for name in ["docs/moving/authnzerver.md", "docs/moving/mdb-engine.md"] {
        let page = text(name);
        let rows = rows(&page, "Settings");
        assert!(rows.len() > 10, "{name}: only {} settings", rows.len());
        for row in rows {
            let [_, here] = row[..] else { panic!("{name}: two cells: {row:?}") };
            for span in spans(here) {
                let setting = span.split('=').next().unwrap_or_default();
                let is_name = setting.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
                assert!(!is_name || settings.contains(setting), "{name}: {setting} is no setting");
            }
        }
    }
}
