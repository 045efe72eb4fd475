//! POLICY_FILE: the routes, in a TOML file of their own, and the files of the models that they ask.
//! They are read at start, and again while the process runs; either all of them are good, or none of
//! them is used.

mod cases;
mod lists;
mod models;
mod require;
mod route;
mod warnings;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Deserialize;
use toml::{Spanned, Value};

use super::mistakes::Mistakes;
use crate::policy::claim::ClaimPath;
use crate::policy::permissions::Permissions;
use crate::policy::routes::PathPattern;
use crate::policy::{Access, Policy, Requirement, Route};
use crate::wire::file::FileVersion;
pub(super) use cases::read_cases;
pub use cases::{Expectation, ExpectedCase};
pub(super) use models::{CasbinFiles, PolicyFiles};
use models::{ModelsRead, read_text};
use route::{RouteEntry, RouteTable};

/// The files with the policy, and how they are read.
#[derive(Clone, Debug)]
pub struct PolicySource {
    files: PolicyFiles,
    /// The claims that hold a user's roles.
    roles: Vec<ClaimPath>,
}

/// The content of the files.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    /// The routes, where there are any.
    pub policy: Option<Arc<Policy>>,
    /// authnzerver's model, where there is one; also a part of the policy.
    pub permissions: Option<Arc<Permissions>>,
}

/// A policy that was read.
#[derive(Clone, Debug)]
pub struct PolicyConfig {
    /// The files.
    pub source: PolicySource,
    /// The versions of the files before they were read.
    pub seen: Vec<Option<FileVersion>>,
    /// What stands in them.
    pub set: PolicySet,
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
    /// The policy in these files, where these claims hold a user's roles.
    pub(crate) fn new(files: PolicyFiles, roles: Vec<ClaimPath>) -> Self {
        Self { files, roles }
    }

    /// The files, as messages name them.
    pub(crate) fn names(&self) -> String {
        let names: Vec<_> = self.files.all().map(|file| file.display().to_string()).collect();
        names.join(", ")
    }

    /// The present versions of the files.
    pub(crate) fn versions(&self) -> Vec<Option<FileVersion>> {
        self.files.all().map(FileVersion::of).collect()
    }

    /// Reads and compiles all of it. Beside it what is allowed and ought to be said.
    ///
    /// # Errors
    /// All mistakes together; the warnings are among them.
    pub fn read(&self) -> Result<(PolicySet, Mistakes), Mistakes> {
        let mut mistakes = Mistakes::default();
        let read = ModelsRead::read(&self.files, &mut mistakes);
        let policy = self.files.routes.as_deref().and_then(|path| {
            let place = path.display().to_string();
            let text = read_text(path).map_err(|problem| mistakes.add(&place, problem)).ok()?;
            self.compile(&place, &text, &read, &mut mistakes)
        });
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let permissions = read.models.permissions.clone();
        let policy = policy.map(|policy| Arc::new(policy.with_models(read.models)));
        Ok((PolicySet { policy, permissions }, mistakes))
    }

    /// Compiles the routes in a text, as [`read`](Self::read) does with those in a file.
    ///
    /// # Errors
    /// All mistakes together; the warnings are among them.
    pub fn parse(text: &str) -> Result<Policy, Mistakes> {
        let mut mistakes = Mistakes::default();
        let source = Self::new(PolicyFiles::default(), Vec::new());
        let none = ModelsRead::read(&source.files, &mut mistakes);
        let policy = source.compile("policy", text, &none, &mut mistakes);
        policy.filter(|_| mistakes.is_empty()).ok_or(mistakes)
    }

    fn compile(
        &self,
        place: &str,
        text: &str,
        models: &ModelsRead,
        mistakes: &mut Mistakes,
    ) -> Option<Policy> {
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
            mistakes.warn(place, "default = \"public\" lets everybody in where no route is named");
        }
        if table.routes.is_empty() && table.default == DefaultAccess::Deny {
            mistakes.warn(place, "there is no [[route]]: every request is denied");
        }
        let mut routes = Routes::default();
        for (number, route) in table.routes.into_iter().enumerate() {
            let at = line(route.span().start);
            let mut wrong = |problem: String| {
                mistakes.add(&format!("{place}, line {at} (route {})", number + 1), problem);
            };
            if let Some(entry) = read_route(route.into_inner(), models, &mut wrong) {
                routes.add(entry, &mut wrong);
            }
        }
        if mistakes.is_empty() {
            for warning in warnings::about(&routes.places, models.has_casbin()) {
                mistakes.warn(place, warning);
            }
        }
        let default = match table.default {
            DefaultAccess::Deny => Access::Denied,
            DefaultAccess::Token => Access::Required(Requirement::default()),
            DefaultAccess::Public => Access::Public,
        };
        let allows_preflight = table.cors_preflight == Preflight::Allow;
        Policy::compile(routes.places, default, allows_preflight, self.roles.clone())
            .map_err(|twice| mistakes.add(place, format!("{twice}, with other parameter names")))
            .ok()
    }
}

/// The line of a file in which this byte stands.
fn line_of(text: &str, offset: usize) -> usize {
    text[..offset.min(text.len())].matches('\n').count() + 1
}

/// A message of TOML's reader, in one line. There is no secret in a policy.
fn message(error: &toml::de::Error) -> String {
    error.message().trim().replace('\n', " ")
}

fn read_route(
    value: Value,
    models: &ModelsRead,
    wrong: &mut impl FnMut(String),
) -> Option<RouteEntry> {
    let table: RouteTable = value.try_into().map_err(|error| wrong(message(&error))).ok()?;
    table.check(models, wrong)
}

/// Host and path, and the routes there in the order of the file.
type RoutesOfFile = Vec<(String, PathPattern, Vec<Route>)>;

/// The routes so far, by host and path.
#[derive(Default)]
struct Routes {
    places: RoutesOfFile,
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
