//! The page of advisories: each test that it names exists, each advisory of the list is on it, and no other.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::Path;

use super::text;
use crate::support::in_repository;

const PAGE: &str = "docs/explanation/advisories.md";

/// The macros that make tests of what they list, each by its name.
const MAKERS: [&str; 4] = ["promises! {", "agree! {", "hold! {", "contract! {"];

/// The tests there are, each as `file::test`, where a file in a folder is `folder::file`.
pub(super) fn known_tests() -> HashSet<String> {
    let mut known = HashSet::new();
    ["src", "tests/it"].iter().for_each(|folder| collect(&in_repository(folder), "", &mut known));
    assert!(known.len() > 1_000, "only {} tests", known.len());
    known
}

/// Adds the tests in the Rust files below a folder.
fn collect(folder: &Path, module: &str, found: &mut HashSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("UTF-8");
        let inner = if stem == "mod" { module.to_owned() } else { format!("{module}{stem}::") };
        if path.is_dir() {
            collect(&path, &inner, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).expect("UTF-8");
            found.extend(tests_of(&source).map(|test| format!("{inner}{test}")));
        }
    }
}

/// The functions below an attribute of a test, and what a macro of [`MAKERS`] lists.
fn tests_of(source: &str) -> impl Iterator<Item = &str> {
    let (mut is_marked, mut is_made) = (false, false);
    source.lines().filter_map(move |line| {
        let line = line.trim();
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_marked = true;
        } else if MAKERS.contains(&line) || line == "}" {
            is_made = line != "}";
        } else if is_made {
            return Some(line.split_once(':').map_or(line, |(name, _)| name));
        }
        let after = line.trim_start_matches("async ").strip_prefix("fn ")?;
        std::mem::take(&mut is_marked).then(|| after.split('(').next())?
    })
}

fn cells(line: &str) -> [&str; 4] {
    let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
    <[&str; 4]>::try_from(cells).unwrap_or_else(|cells| panic!("four cells: {cells:?}"))
}

/// The rows of the page's tables, but for the last of what does not apply: class, advisories, answer, tests.
fn rows(page: &str) -> Vec<[&str; 4]> {
    let (page, _) = page.split_once("\n## What does not apply\n").expect("the last part");
    let lines = page.lines().filter(|line| line.starts_with("| "));
    lines.map(cells).filter(|row| row[0] != "Mistake").collect()
}

#[test]
fn every_test_on_the_page_exists() {
    let known: HashSet<String> = known_tests()
        .iter()
        .filter_map(|test| test.rsplit("::").next().map(str::to_owned))
        .collect();
    let page = text(PAGE);
    let rows = rows(&page);
    assert!(rows.len() > 40, "only {} classes", rows.len());
    for [class, advisories, answer, tests] in rows {
        assert!(!class.is_empty() && !advisories.is_empty() && !answer.is_empty(), "{class}");
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{class}: no test");
        for name in named {
            assert!(known.contains(name), "{class}: there is no test {name}");
        }
    }
}

#[test]
fn every_advisory_of_the_list_is_on_the_page_and_no_other() {
    let list = text("tests/it/documents/advisories.txt");
    let listed: BTreeSet<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(listed.len() > 150, "only {}", listed.len());
    let page = text(PAGE);
    let words = page.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let is_id = |word: &&str| {
        ["CVE-", "GHSA-", "RUSTSEC-", "GO-"].iter().any(|kind| word.starts_with(kind))
    };
    let shown: BTreeSet<&str> = words.filter(is_id).collect();
    let (missing, unknown): (Vec<_>, Vec<_>) =
        (listed.difference(&shown).collect(), shown.difference(&listed).collect());
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?}");
}

/// The oldest versions without the holes of the list; `None` where every version has one. `cargo deny`, which `.ci/run`
/// calls, knows those that were found since.
const REPAIRED: [(&str, Option<[u64; 3]>); 7] = [
    ("h2", Some([0, 4, 16])),
    ("hyper", Some([0, 14, 10])),
    ("jsonwebtoken", Some([10, 3, 0])),
    ("rsa", None),
    ("rustls", Some([0, 23, 5])),
    ("tonic", Some([0, 12, 3])),
    ("totp-rs", None),
];

#[test]
fn no_building_block_is_older_than_the_repair_of_its_hole() {
    let lock: toml::Table = text("Cargo.lock").parse().expect("TOML");
    let packages = lock["package"].as_array().expect("packages");
    let mut checked = 0;
    for package in packages {
        let field = |name: &str| package[name].as_str().expect("a text");
        let Some((name, repaired)) = REPAIRED.iter().find(|(name, _)| *name == field("name"))
        else {
            continue;
        };
        let core = field("version").split(['-', '+']).next().expect("a version");
        let version: Vec<u64> =
            core.split('.').map(|part| part.parse().expect("a number")).collect();
        assert!(repaired.is_some_and(|repaired| version[..] >= repaired[..]), "{name} {version:?}");
        checked += 1;
    }
    assert!(checked >= 5, "only {checked} of the packages are there");
}
