//! Links between documents, and their anchors.

use std::{collections::BTreeMap, path::Path};

use super::{documents, text};
use crate::support::in_repository;

/// The text without its blocks and spans of code.
fn prose(text: &str) -> String {
    let mut is_code = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    text.split('`').step_by(2).collect::<Vec<_>>().join("code")
}

/// The targets of the links of a text.
pub(super) fn links(text: &str) -> impl Iterator<Item = String> {
    let prose = prose(text);
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect::<Vec<_>>().into_iter()
}

/// The anchors of a document, as GitHub and mdBook make them of its headings.
fn anchors(text: &str) -> Vec<String> {
    let mut is_code = false;
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut found = Vec::new();
    for line in text.lines() {
        is_code ^= line.starts_with("```");
        let Some(heading) = line.strip_prefix('#').filter(|_| !is_code) else { continue };
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let times = seen.entry(anchor.clone()).or_default();
        found.push(if *times == 0 { anchor } else { format!("{anchor}-{times}") });
        *times += 1;
    }
    found
}

#[test]
fn every_link_leads_somewhere() {
    let mut checked = 0;
    for document in documents() {
        let folder = Path::new(&document).parent().expect("a file is in a folder");
        for link in links(&text(&document)) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            checked += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { document.clone().into() } else { folder.join(path) };
            let file = in_repository(target.to_str().expect("UTF-8"));
            assert!(file.exists(), "{document}: {link} leads nowhere");
            if !anchor.is_empty() {
                let anchors = anchors(&std::fs::read_to_string(&file).expect("a document"));
                assert!(
                    anchors.iter().any(|known| known == anchor),
                    "{document}: {link}: no such heading among {anchors:?}"
                );
            }
        }
    }
    assert!(checked > 100, "only {checked} links");
}

#[test]
fn links_and_anchors_are_found_as_readers_see_them() {
    let text =
        "# A `b`, c\n[x](y.md#z) `[no](code)`\n```\n# no\n[no](fence)\n```\n## A b c\n[q](r)";
    assert_eq!(links(text).collect::<Vec<_>>(), ["y.md#z", "r"]);
    assert_eq!(anchors(text), ["a-b-c", "a-b-c-1"]);
}
