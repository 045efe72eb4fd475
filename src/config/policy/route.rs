//! `[[route]]`: the requests that are its own.

use serde::Deserialize;

use super::limit::LimitEntry;
use super::lists::{OneOrMany, each};
use super::models::ModelsRead;
use super::require::RequireRead;
use crate::policy::canonical::is_method;
use crate::policy::routes::PathPattern;
use crate::policy::{Access, Requirement, Route};
use crate::wire::networks::Networks;

/// A route as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteTable {
    name: Option<String>,
    host: Option<OneOrMany>,
    path: OneOrMany,
    methods: Option<Vec<String>>,
    networks: Option<Vec<String>>,
    limit: Option<LimitEntry>,
}

/// A route, and the places where it stands.
pub(super) struct RouteEntry {
    pub(super) hosts: Vec<String>,
    pub(super) paths: Vec<PathPattern>,
    pub(super) route: Route,
    /// False where its name is made from its path.
    pub(super) is_named: bool,
}

impl RouteTable {
    /// Checks all that stands in it; `None` where something is wrong. `require` is beside it: `None`
    /// is none, and an inner `None` a mistake that was told.
    #[expect(clippy::option_option, reason = "a mistake is not an absence")]
    pub(super) fn check(
        self,
        require: Option<Option<RequireRead>>,
        models: &ModelsRead,
        wrong: &mut impl FnMut(String),
    ) -> Option<RouteEntry> {
        let mut count = 0;
        let mut wrong = |problem: String| {
            count += 1;
            wrong(problem);
        };
        let paths = self.path.into_vec();
        let name = self.name.clone().unwrap_or_else(|| paths.join(" "));
        let is_unfit = |name: &String| name.is_empty() || name.chars().any(char::is_control);
        if self.name.as_ref().is_some_and(is_unfit) {
            wrong("`name` is empty, or has control characters".to_owned());
        }
        if paths.is_empty() {
            wrong("`path` is an empty list; name one".to_owned());
            return None;
        }
        let paths = each("path", &paths, path, &mut wrong);
        let any = || vec!["*".to_owned()];
        let hosts = self.host.map_or_else(any, OneOrMany::into_vec);
        let hosts = each("host", &hosts, host, &mut wrong);
        let methods = self.methods.map(|methods| each("methods", &methods, method, &mut wrong));
        let networks = self.networks.and_then(|listed| {
            let listed = each("networks", &listed, |text| Ok(text.to_owned()), &mut wrong);
            Networks::parse(&listed).map_err(|problem| wrong(format!("networks: {problem}"))).ok()
        });
        let access = match require {
            None => Some(Access::Required(Requirement::default())),
            Some(require) => require.map(|read| read.access(&paths, models, &mut wrong)),
        };
        let limit = self.limit.and_then(|entry| entry.limit(models, &mut wrong));
        if limit.is_some() && access == Some(Access::Denied) {
            wrong("`limit`: nobody passes here, so nothing is counted".to_owned());
        }
        let (name, methods) = (name.into(), methods.unwrap_or_default());
        let route = Route { name, methods, networks, access: access?, limit };
        (count == 0).then_some(RouteEntry { hosts, paths, route, is_named: self.name.is_some() })
    }
}

fn path(text: &str) -> Result<PathPattern, String> {
    if text.contains(['?', '#']) {
        return Err(format!(
            "{text:?}: queries and fragments decide no route; end it before ? or #"
        ));
    }
    PathPattern::parse(text).map_err(|problem| format!("{text:?}: {problem}"))
}

fn method(text: &str) -> Result<String, String> {
    if is_method(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no method; write it in capital letters"))
    }
}

/// A host as requests name it: in small letters, and in its ASCII form (IDNA).
fn host(text: &str) -> Result<String, String> {
    if text == "*" {
        return Ok(text.to_owned());
    }
    let (star, name) = text.strip_prefix("*.").map_or(("", text), |name| ("*.", name));
    let is_plain = !name.contains(['*', '%']) && !name.ends_with('.');
    match url::Host::parse(name) {
        Ok(url::Host::Domain(name)) if is_plain => Ok(format!("{star}{name}")),
        Ok(address) if is_plain && star.is_empty() => Ok(address.to_string()),
        _ => Err(format!(
            "{text:?} is no host: write a name without a port, *.name for one label more, or *"
        )),
    }
}
