//! POLICY_FILE: the routes, in a TOML file of their own, and the files of the models that they ask.
//! They are read at start, and again while the process runs; either all of them are good, or none of
//! them is used.

mod cases;
mod limit;
mod lists;
mod models;
mod require;
mod route;
mod routes;
mod table;
mod warnings;

use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;
use toml::de::DeValue;

use super::mistakes::Mistakes;
use crate::policy::claim::ClaimPath;
use crate::policy::permissions::Permissions;
use crate::policy::{Access, CasbinInForce, Models, Policy, Requirement, StoredRules};
use crate::wire::file::FileVersion;
pub(super) use cases::read_cases;
pub use cases::{Expectation, ExpectedCase};
pub(super) use models::{CasbinFiles, PolicyFiles};
use models::{ModelsRead, read_text};
use route::{RouteEntry, RouteTable};
use routes::Routes;
use table::{Source, Tell};

/// The files with the policy, and how they are read.
#[derive(Clone, Debug)]
pub struct PolicySource {
    files: PolicyFiles,
    /// The claims that hold a user's roles.
    roles: Vec<ClaimPath>,
    /// True where routes may ask an external authorizer.
    has_authorizer: bool,
}

/// The content of the files.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    /// The routes, where there are any.
    pub policy: Option<Arc<Policy>>,
    /// authnzerver's model, where there is one; also a part of the policy.
    pub permissions: Option<Arc<Permissions>>,
    /// Casbin, where there is a model for it; also a part of the policy.
    pub casbin: Option<Arc<CasbinInForce>>,
}

/// A policy that was read.
#[derive(Clone, Debug)]
pub struct PolicyConfig {
    /// The files.
    pub source: PolicySource,
    /// The versions of the files before they were read.
    pub seen: Vec<Option<FileVersion>>,
    /// Their contents.
    pub set: PolicySet,
}

/// The file as it is written, but for its routes, which are read one by one.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    #[serde(default)]
    default: DefaultAccess,
    #[serde(default)]
    cors_preflight: Preflight,
    /// Its name alone, for the list of keys in a message.
    #[serde(rename = "route")]
    _routes: Option<IgnoredAny>,
}

/// The access to what no route names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DefaultAccess {
    #[default]
    Deny,
    Token,
    User,
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
        Self { files, roles, has_authorizer: false }
    }

    /// The same, where routes may ask an external authorizer, or may not.
    #[must_use]
    pub(crate) fn with_authorizer(self, has_authorizer: bool) -> Self {
        Self { has_authorizer, ..self }
    }

    /// The files, as messages name them.
    pub(crate) fn names(&self) -> String {
        let names: Vec<_> = self.files.all().map(|file| file.display().to_string()).collect();
        names.join(", ")
    }

    /// The rules of the database, where they count.
    pub(crate) fn stored(&self) -> Option<&Arc<StoredRules>> {
        self.files.casbin.as_ref().and_then(|casbin| casbin.stored.as_ref())
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
        let read = ModelsRead::read(&self.files, self.has_authorizer, &mut mistakes);
        let policy = self.files.routes.as_deref().and_then(|path| {
            let place = path.display().to_string();
            let text = read_text(path, "POLICY_FILE");
            let text = text.map_err(|problem| mistakes.add(&place, problem)).ok()?;
            self.compile(&place, &text, &read, &mut mistakes)
        });
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let Models { permissions, casbin } = read.models.clone();
        let policy = policy.map(|policy| Arc::new(policy.with_models(read.models)));
        Ok((PolicySet { policy, permissions, casbin }, mistakes))
    }

    /// Compiles the routes in a text, as [`read`](Self::read) does with those in a file.
    ///
    /// # Errors
    /// All mistakes together; the warnings are among them.
    pub fn parse(text: &str) -> Result<Policy, Mistakes> {
        let mut mistakes = Mistakes::default();
        let source = Self::new(PolicyFiles::default(), Vec::new());
        let none = ModelsRead::read(&source.files, false, &mut mistakes);
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
        let mut source = Source::new(place, text, mistakes);
        let mut file = source.parse()?;
        let tables = source.take_tables(&mut file, "route");
        let head: PolicyFile = source.read_head(file).unwrap_or_default();
        if head.default == DefaultAccess::Public {
            let problem = "default = \"public\" lets everybody in where no route is named";
            source.mistakes.warn(place, problem);
        }
        if tables.is_empty() && head.default == DefaultAccess::Deny {
            source.mistakes.warn(place, "there is no [[route]]: every request is denied");
        }
        let mut routes = Routes::default();
        for (number, table) in tables.into_iter().enumerate() {
            let (start, name) = (table.span().start, format!(" (route {})", number + 1));
            let line = source.line(start);
            let mut tell = |at: usize, problem: String| source.wrong(at, &name, problem);
            if let Some(entry) = read_route(table, models, &mut tell) {
                routes.add(entry, line, &mut |problem| tell(start, problem));
            }
        }
        if mistakes.is_empty() {
            let asked = (models.has_casbin_of_routes(), self.has_authorizer);
            for warning in warnings::about(&routes, asked) {
                mistakes.warn(place, warning);
            }
        }
        let default = match head.default {
            DefaultAccess::Deny => Access::Denied,
            DefaultAccess::Token => Access::Required(Requirement::default()),
            DefaultAccess::User => Access::Required(Requirement::user()),
            DefaultAccess::Public => Access::Public,
        };
        let allows_preflight = head.cors_preflight == Preflight::Allow;
        Policy::compile(routes.places, default, allows_preflight, self.roles.clone())
            .map_err(|twice| mistakes.add(place, twice.to_string()))
            .ok()
    }
}

/// Reads a route; `None` where something is wrong.
fn read_route(
    route: Spanned<DeValue<'_>>,
    models: &ModelsRead,
    tell: &mut Tell<'_>,
) -> Option<RouteEntry> {
    let span = route.span();
    let start = span.start;
    let DeValue::Table(mut table) = route.into_inner() else {
        tell(start, "a route is a table".to_owned());
        return None;
    };
    let require = table.remove("require").map(|value| require::read(value, tell));
    let read = table::read::<RouteTable>(table, span, "", tell)?;
    let entry = read.value.check(require, models, &mut |problem| tell(start, problem));
    entry.filter(|_| read.is_whole)
}

#[cfg(test)]
mod tests;
