//! The walls of the house: which module may import which, and that the documents tell the truth.

use std::collections::BTreeSet;
use std::path::Path;

use portcullis::config::settings::{Kind, SETTINGS};

use crate::support::in_repository;

/// From the top down: a module imports only what stands on a lower line.
const FLOORS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["app"],
    &["config"],
    &["gate", "server"],
    &["session", "token"],
    &["storage", "telemetry"],
    &["clock", "secret"],
];

fn floor(module: &str) -> usize {
    FLOORS
        .iter()
        .position(|floor| floor.contains(&module))
        .unwrap_or_else(|| panic!("{module} stands on no floor; give it one in FLOORS"))
}

fn sources(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn imports_point_down() {
    let src = in_repository("src");
    let files = sources(&src);
    assert!(files.len() > 40, "only {} files were found", files.len());
    let mut edges = BTreeSet::new();
    for file in files {
        let inside = file.strip_prefix(&src).expect("below src");
        let first = inside.iter().next().expect("a name").to_string_lossy();
        let module = first.trim_end_matches(".rs").to_owned();
        if module == "lib" {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("readable");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        if inside.iter().any(|part| part == "tests" || part == "tests.rs") {
            continue;
        }
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for (_, rest) in
                line.match_indices("crate::").map(|(at, name)| line.split_at(at + name.len()))
            {
                let target: String =
                    rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                if target != module && FLOORS.concat().contains(&target.as_str()) {
                    edges.insert((module.clone(), target, inside.display().to_string()));
                }
            }
        }
    }
    assert!(edges.len() > 20, "only {} imports were found", edges.len());
    for (from, to, file) in edges {
        assert!(floor(&from) < floor(&to), "{file}: {from} imports {to}, which is not below it");
    }
}

#[test]
fn the_readmes_table_of_settings_is_the_programs() {
    let readme = std::fs::read_to_string(in_repository("README.md")).expect("the README");
    let table = readme
        .split_once("<!-- settings -->")
        .and_then(|(_, rest)| rest.split_once("<!-- /settings -->"))
        .map(|(table, _)| table)
        .expect("the marks of the table");
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<_> = SETTINGS
        .iter()
        .map(|setting| {
            let file = match setting.kind {
                Kind::Plain => String::new(),
                Kind::Text | Kind::Secret => format!(", `{}_FILE`", setting.name),
            };
            let aliases: String =
                setting.aliases.iter().map(|alias| format!(" (`{alias}`)")).collect();
            let default = match setting.default {
                "" => String::new(),
                default => format!("`{default}`"),
            };
            let (name, value, help) = (setting.name, setting.value, setting.help);
            format!("| `{name}`{aliases}{file} | {value} | {default} | {help} |")
        })
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn architecture_md_is_short_and_names_every_module() {
    let text = std::fs::read_to_string(in_repository("ARCHITECTURE.md")).expect("the document");
    assert!(text.lines().count() <= 120, "{} lines", text.lines().count());
    for module in FLOORS.concat() {
        assert!(text.contains(module), "{module} is not in ARCHITECTURE.md");
    }
}
