//! The results, as tables for a page of the documents.

use std::collections::BTreeMap;

use super::gateways::{COUNT, GATEWAYS};
use super::outcome::Outcome;
use super::readings::{OURS, RELAXED};
use super::{Asked, asked_of_all, disagreements};

/// The versions of the gateways in one line, and all tables below it; `None` where a gateway is not on this machine.
pub(crate) fn tables() -> Option<(String, String)> {
    let all = asked_of_all()?;
    let mut versions: Vec<_> = GATEWAYS
        .iter()
        .zip(&all)
        .map(|(gateway, asked)| {
            let program = gateway.name.split(' ').next().unwrap_or_default();
            format!("{program} {}", asked.version)
        })
        .collect();
    versions.dedup();
    let spellings = all[0].table.len();
    let (versions, cases) = (versions.join(", "), spellings * all.len());
    let head =
        format!("{spellings} spellings, {} configurations, {cases} cases: {versions}.", all.len());
    let parts = [head.clone(), ends(&all), refusals(&all), relaxed(&all)];
    Some((head, parts.join("\n\n")))
}

/// The ends of the cases, a line a gateway.
fn ends(all: &[&Asked]) -> String {
    let mut text = "| Gateway | Stopped | Refused | No route | Same route | Another route |\n\
                    |---|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for (gateway, asked) in GATEWAYS.iter().zip(all) {
        let mut counts = [0; 5];
        for row in &asked.table {
            counts[match row.outcome(&OURS) {
                Outcome::Stopped => 0,
                Outcome::Refused(_) => 1,
                Outcome::Unnamed => 2,
                Outcome::Agreed => 3,
                Outcome::Disagreed(_) => 4,
            }] += 1;
        }
        text += &line(gateway.name, &counts);
    }
    text
}

/// The refusals, a line a code.
fn refusals(all: &[&Asked]) -> String {
    let mut counts: BTreeMap<&str, [usize; COUNT]> = BTreeMap::new();
    for (place, asked) in all.iter().enumerate() {
        for row in &asked.table {
            if let Outcome::Refused(code) = row.outcome(&OURS) {
                counts.entry(code).or_default()[place] += 1;
            }
        }
    }
    let lines = counts.iter().map(|(code, counts)| line(&format!("`{code}`"), counts));
    head("Refused because") + lines.collect::<String>().as_str()
}

/// The mutations, a line a rule.
fn relaxed(all: &[&Asked]) -> String {
    let lines = RELAXED.iter().map(|reading| {
        let counts: Vec<_> = all.iter().map(|asked| disagreements(asked, reading)).collect();
        line(reading.name, &counts)
    });
    head("A judge that would") + lines.collect::<String>().as_str()
}

fn head(first: &str) -> String {
    let names = GATEWAYS.iter().map(|gateway| gateway.name).collect::<Vec<_>>().join(" | ");
    format!("| {first} | {names} |\n|---|{}\n", "--:|".repeat(COUNT))
}

fn line(name: &str, counts: &[usize]) -> String {
    let counts: Vec<_> = counts.iter().map(ToString::to_string).collect();
    format!("| {name} | {} |\n", counts.join(" | "))
}
