//! The documents: every link leads somewhere, examples run as printed, generated parts are what the program says.
//!
//! `PORTCULLIS_REGENERATE=1 cargo test --test it documents` writes the generated parts anew.

mod advisories;
mod examples;
mod generated;
mod links;
mod moving;
mod typed;

use std::fs;

use crate::support::{in_repository, page::Page};

/// All documents of the repository, by their paths in it.
fn documents() -> Vec<String> {
    let mut found: Vec<String> =
        ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
            .map(str::to_owned)
            .into();
    for folder in ["docs", "examples"] {
        collect(folder, &mut found);
    }
    found
}

/// The Markdown files below a folder.
fn collect(folder: &str, found: &mut Vec<String>) {
    let entries = fs::read_dir(in_repository(folder)).expect("a folder");
    let mut entries: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8");
        let below = format!("{folder}/{name}");
        if path.is_dir() {
            collect(&below, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(below);
        }
    }
}

/// Pages of the book, by their paths in the repository.
fn pages() -> Vec<String> {
    let pages: Vec<_> = documents().into_iter().filter(|name| name.starts_with("docs/")).collect();
    assert!(pages.len() > 30, "only {pages:?}");
    pages
}

fn text(name: &str) -> String {
    fs::read_to_string(in_repository(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_summary_lists_every_page_once() {
    let summary = text("docs/SUMMARY.md");
    let listed: Vec<String> =
        links::links(&summary).map(|target| format!("docs/{target}")).collect();
    let mut sorted = listed.clone();
    sorted.sort();
    let pages = pages().into_iter().filter(|name| name != "docs/SUMMARY.md");
    let mut pages: Vec<String> = pages.collect();
    pages.sort();
    assert_eq!(sorted, pages);
    for page in listed {
        let first = text(&page).lines().next().unwrap_or_default().to_owned();
        assert!(first.starts_with("# "), "{page} begins with {first:?}");
    }
}

/// Eight questions that the listing alone must answer.
#[test]
fn the_summary_answers_what_people_ask_first() {
    let summary = text("docs/SUMMARY.md").to_lowercase();
    for question in [
        "role",
        "log out everywhere",
        "several instances",
        "redis is down",
        "rotate keys",
        "path public",
        "by group",
        "test a rule",
    ] {
        assert!(summary.contains(question), "{question}");
    }
}

#[test]
fn the_readme_is_short() {
    let lines = text("README.md").lines().count();
    assert!(lines <= 150, "{lines} lines");
}

/// A page with commands that no test types might show anything.
#[test]
fn every_page_with_commands_is_typed() {
    let with_commands =
        documents().into_iter().filter(|name| !Page::read(name).blocks("sh").is_empty());
    let mut typed: Vec<&str> = typed::PAGES.into();
    typed.sort_unstable();
    let mut with_commands: Vec<String> = with_commands.collect();
    with_commands.sort();
    assert_eq!(with_commands, typed);
}
