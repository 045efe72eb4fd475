//! POLICY_FILE: the routes, in a TOML file of their own. It is read at start, and again while the
//! process runs; either all of it is good, or none of it is used.

mod cases;
mod lists;
mod require;
mod route;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use toml::{Spanned, Value};

use super::mistakes::Mistakes;
use crate::policy::claim::ClaimPath;
use crate::policy::routes::PathPattern;
use crate::policy::{Access, Policy, Requirement, Route};
use crate::wire::file::{self, FileVersion};
pub(super) use cases::read_cases;
pub use cases::{Expectation, ExpectedCase};
use route::{RouteEntry, RouteTable};

/// The largest file, in bytes: room for 100,000 routes.
const MAX_BYTES: u64 = 16 << 20;

/// The file with the policy, and how it is read.
#[derive(Clone, Debug)]
pub struct PolicySource {
    /// Its path.
    pub path: PathBuf,
    /// The claims that hold a user's roles.
    roles: Vec<ClaimPath>,
}

/// A policy that was read.
#[derive(Clone, Debug)]
pub struct PolicyConfig {
    /// The file.
    pub source: PolicySource,
    /// The version of the file before it was read.
    pub seen: Option<FileVersion>,
    /// What stands in it.
    pub policy: Arc<Policy>,
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    #[serde(default)]
    default: DefaultAccess,
    #[serde(default)]
    cors_preflight: Preflight,
    #[serde(default, rename = "route")]
    routes: Vec<Spanned<Value>>,
}

/// The access to what no route names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DefaultAccess {
    #[default]
    Deny,
    Token,
    Public,
}

/// The treatment of CORS preflights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Preflight {
    #[default]
    Judge,
    Allow,
}

impl PolicySource {
    /// The policy in this file, where these claims hold a user's roles.
    pub(crate) fn new(path: PathBuf, roles: Vec<ClaimPath>) -> Self {
        Self { path, roles }
    }

    /// The present version of the file.
    pub(crate) fn version(&self) -> Option<FileVersion> {
        FileVersion::of(&self.path)
    }

    /// Reads and compiles the policy. Beside it what is allowed and ought to be said.
    ///
    /// # Errors
    /// All mistakes together; the warnings are among them.
    pub fn read(&self) -> Result<(Policy, Mistakes), Mistakes> {
        let mut mistakes = Mistakes::default();
        let text = read_text(&self.path);
        let text = text.map_err(|problem| mistakes.add(&self.path.display().to_string(), problem));
        let policy = text.ok().and_then(|text| self.compile(&text, &mut mistakes));
        match policy.filter(|_| mistakes.is_empty()) {
            Some(policy) => Ok((policy, mistakes)),
            None => Err(mistakes),
        }
    }

    /// Compiles the policy in a text, as [`read`](Self::read) does with that in a file.
    ///
    /// # Errors
    /// All mistakes together; the warnings are among them.
    pub fn parse(text: &str) -> Result<Policy, Mistakes> {
        let mut mistakes = Mistakes::default();
        let policy = Self::new("policy".into(), Vec::new()).compile(text, &mut mistakes);
        policy.filter(|_| mistakes.is_empty()).ok_or(mistakes)
    }

    fn compile(&self, text: &str, mistakes: &mut Mistakes) -> Option<Policy> {
        let place = self.path.display().to_string();
        let line = |offset| line_of(text, offset);
        let table: PolicyFile = match toml::from_str(text) {
            Ok(table) => table,
            Err(error) => {
                let at = error.span().map_or(1, |span| line(span.start));
                mistakes.add(&format!("{place}, line {at}"), message(&error));
                return None;
            }
        };
        if table.default == DefaultAccess::Public {
            mistakes.warn(&place, "default = \"public\" lets everybody in where no route is named");
        }
        if table.routes.is_empty() && table.default == DefaultAccess::Deny {
            mistakes.warn(&place, "there is no [[route]]: every request is denied");
        }
        let mut routes = Routes::default();
        for (number, route) in table.routes.into_iter().enumerate() {
            let at = line(route.span().start);
            let mut wrong = |problem: String| {
                mistakes.add(&format!("{place}, line {at} (route {})", number + 1), problem);
            };
            if let Some(entry) = read_route(route.into_inner(), &mut wrong) {
                routes.add(entry, &mut wrong);
            }
        }
        let default = match table.default {
            DefaultAccess::Deny => Access::Denied,
            DefaultAccess::Token => Access::Required(Requirement::default()),
            DefaultAccess::Public => Access::Public,
        };
        let allows_preflight = table.cors_preflight == Preflight::Allow;
        Policy::compile(routes.places, default, allows_preflight, self.roles.clone())
            .map_err(|twice| mistakes.add(&place, format!("{twice}, with other parameter names")))
            .ok()
    }
}

fn read_text(path: &Path) -> Result<String, String> {
    let content =
        file::read_large(path, MAX_BYTES).map_err(|error| format!("cannot read it: {error}"))?;
    String::from_utf8(content).map_err(|_| "it is not UTF-8".to_owned())
}

/// The line of a file in which this byte stands.
fn line_of(text: &str, offset: usize) -> usize {
    text[..offset.min(text.len())].matches('\n').count() + 1
}

/// A message of TOML's reader, in one line. There is no secret in a policy.
fn message(error: &toml::de::Error) -> String {
    error.message().trim().replace('\n', " ")
}

fn read_route(value: Value, wrong: &mut impl FnMut(String)) -> Option<RouteEntry> {
    let table: RouteTable = value.try_into().map_err(|error| wrong(message(&error))).ok()?;
    table.check(wrong)
}

/// The routes so far, by host and path.
#[derive(Default)]
struct Routes {
    places: Vec<(String, PathPattern, Vec<Route>)>,
    numbers: HashMap<(String, String), usize>,
    names: HashSet<String>,
}

impl Routes {
    fn add(&mut self, entry: RouteEntry, wrong: &mut impl FnMut(String)) {
        let RouteEntry { hosts, paths, route, is_named } = entry;
        if is_named && !self.names.insert(route.name.to_string()) {
            wrong(format!("another route is called {:?}", route.name));
        }
        for host in &hosts {
            for path in &paths {
                self.add_at(host, path, &route, wrong);
            }
        }
    }

    fn add_at(
        &mut self,
        host: &str,
        path: &PathPattern,
        route: &Route,
        wrong: &mut impl FnMut(String),
    ) {
        let number =
            *self.numbers.entry((host.to_owned(), path.to_string())).or_insert_with(|| {
                self.places.push((host.to_owned(), path.clone(), Vec::new()));
                self.places.len() - 1
            });
        let there = &mut self.places[number].2;
        if let Some(before) = there.iter().find(|before| before.covers(route)) {
            wrong(format!(
                "no request ever takes it at {host}{path}: the route {:?} before it takes them all",
                before.name
            ));
        }
        there.push(route.clone());
    }
}

#[cfg(test)]
mod tests;
