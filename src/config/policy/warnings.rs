//! Warnings of what a policy's file says and an operator may not have meant. Each kind is told once, with a
//! few examples: a file of ten thousand routes must not make ten thousand lines.

use std::collections::{HashMap, HashSet};

use super::routes::{Routes, RoutesOfFile};
use crate::policy::requirement::Condition;
use crate::policy::routes::PathPattern;
use crate::policy::{Access, Requirement};

/// The most examples in one warning.
const MAX_EXAMPLES: usize = 5;
/// The most pairs of paths that are compared.
const MAX_PAIRS: usize = 1_000_000;

/// All warnings about the routes of a file, where there are Casbin's files and an authorizer, or are not.
pub(super) fn about(all: &Routes, (has_casbin, has_authorizer): (bool, bool)) -> Vec<String> {
    let routes = &all.places;
    let asks = |is_it: &dyn Fn(&Condition) -> bool| {
        routes.iter().flat_map(|(_, _, there)| there).any(|route| demands(&route.access, is_it))
    };
    let is_casbin = |condition: &Condition| matches!(condition, Condition::Casbin { .. });
    let is_authorizer = |condition: &Condition| matches!(condition, Condition::Authorize(_));
    let unasked = [
        (has_casbin && !asks(&is_casbin), "CASBIN_POLICY is read, and no route asks it"),
        (has_authorizer && !asks(&is_authorizer), "AUTHORIZER_URL is set, and no route asks there"),
    ];
    let kinds = [
        (
            "these paths differ only in letter case, and Caddy takes them for one",
            in_letter_case(routes),
        ),
        (
            "these routes name no host, and hosts that have their own routes ignore them",
            hidden(all),
        ),
        (
            "both of these paths name some requests, which take the first here; a gateway with regular expressions may take the other",
            in_order(routes),
        ),
    ];
    let told = kinds.into_iter().filter(|(_, examples)| !examples.is_empty());
    told.map(|(problem, examples)| format!("{problem}: {}", listed(examples)))
        .chain(unasked.into_iter().filter(|(is_so, _)| *is_so).map(|(_, told)| told.to_owned()))
        .collect()
}

fn listed(mut examples: Vec<String>) -> String {
    let more = examples.len().saturating_sub(MAX_EXAMPLES);
    examples.truncate(MAX_EXAMPLES);
    let end = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{end}", examples.join("; "))
}

/// Pairs of one host that are one path without letter case.
fn in_letter_case(routes: &RoutesOfFile) -> Vec<String> {
    let mut first: HashMap<(&str, String), &PathPattern> = HashMap::new();
    let mut pairs = Vec::new();
    for (host, path, _) in routes {
        let before = first.entry((host.as_str(), path.without_letter_case())).or_insert(path);
        if *before != path {
            pairs.push(format!("{host}{before} and {host}{path}"));
        }
    }
    pairs
}

/// Paths without a host that another host lacks, though it has routes. `/*` without a host is for
/// the rest, and nothing is wrong with that.
fn hidden(all: &Routes) -> Vec<String> {
    let routes = &all.places;
    let named = |host: &str| host != "*";
    let hosts: HashSet<&str> =
        routes.iter().map(|(host, ..)| host.as_str()).filter(|host| named(host)).collect();
    let mut holders: HashMap<String, usize> = HashMap::new();
    for (_, path, _) in routes.iter().filter(|(host, ..)| named(host)) {
        *holders.entry(path.to_string()).or_default() += 1;
    }
    let is_hidden =
        |path: &str| path != "/*" && holders.get(path).copied().unwrap_or(0) < hosts.len();
    let places = routes.iter().zip(&all.lines);
    let without_host =
        places.filter(|((host, path, _), _)| !named(host) && is_hidden(&path.to_string()));
    let told = without_host.filter_map(|((_, path, there), lines)| {
        let (first, line) = (there.first()?, lines.first()?);
        Some(format!("{path} (route {:?}, line {line})", first.name))
    });
    told.collect()
}

/// Pairs of one host that name the same requests, and of which neither is the more specific one.
fn in_order(routes: &RoutesOfFile) -> Vec<String> {
    let mut by_beginning: HashMap<(&str, String), Vec<&PathPattern>> = HashMap::new();
    for (host, path, _) in routes {
        for beginning in path.beginnings_before_words() {
            by_beginning.entry((host, beginning)).or_default().push(path);
        }
    }
    let mut pairs = Vec::new();
    let mut left = MAX_PAIRS;
    for (host, path, _) in routes {
        for (at, beginning) in path.beginnings_before_parameters() {
            let rivals = by_beginning.get(&(host.as_str(), beginning));
            for rival in rivals.into_iter().flatten().take(left) {
                left -= 1;
                if rival.overlaps(path) && path.says_more_behind(rival, at) {
                    pairs.push(format!("{host}{rival} and {host}{path}"));
                }
            }
        }
    }
    pairs
}

/// Returns whether one of these conditions is demanded, be it by one way of several.
fn demands(access: &Access, is_it: &dyn Fn(&Condition) -> bool) -> bool {
    fn has(requirement: &Requirement, is_it: &dyn Fn(&Condition) -> bool) -> bool {
        requirement.conditions().iter().any(|condition| match condition {
            Condition::AnyOf(ways) => ways.iter().any(|way| has(way, is_it)),
            other => is_it(other),
        })
    }
    match access {
        Access::Required(requirement) => has(requirement, is_it),
        Access::Denied | Access::Public => false,
    }
}
