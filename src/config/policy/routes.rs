//! The routes of a file by host and path, and the mistakes that two of them make together.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::route::RouteEntry;
use crate::policy::Route;
use crate::policy::routes::PathPattern;

/// Host and path, and the routes there in the order of the file.
pub(super) type RoutesOfFile = Vec<(String, PathPattern, Vec<Route>)>;

/// The routes so far.
#[derive(Default)]
pub(super) struct Routes {
    /// The routes, by host and path.
    pub(super) places: RoutesOfFile,
    /// The lines where the routes of each place begin.
    pub(super) lines: Vec<Vec<usize>>,
    /// The number of each place, by its host and by its path without the names of parameters.
    numbers: HashMap<(String, String), usize>,
    names: HashSet<String>,
}

impl Routes {
    /// Adds a route that begins in this line.
    pub(super) fn add(&mut self, entry: RouteEntry, line: usize, wrong: &mut impl FnMut(String)) {
        let RouteEntry { hosts, paths, route, is_named } = entry;
        if is_named && !self.names.insert(route.name.to_string()) {
            wrong(format!("another route is called {:?}", route.name));
        }
        for host in &hosts {
            for path in &paths {
                self.add_at(host, path, &route, line, wrong);
            }
        }
    }

    fn add_at(
        &mut self,
        host: &str,
        path: &PathPattern,
        route: &Route,
        line: usize,
        wrong: &mut impl FnMut(String),
    ) {
        let place = (host.to_owned(), path.without_names());
        let number = *self.numbers.entry(place).or_insert_with(|| {
            self.places.push((host.to_owned(), path.clone(), Vec::new()));
            self.lines.push(Vec::new());
            self.places.len() - 1
        });
        let (_, named, there) = &mut self.places[number];
        let lines = &mut self.lines[number];
        if named != path {
            let (first, at) = (there.first().map_or("", |first| &first.name), lines.first());
            wrong(format!(
                "{path} is the path {named} of the route {first:?} (line {}) with other names of \
                 parameters: name them alike",
                at.copied().unwrap_or_default(),
            ));
            return;
        }
        let mut before = there.iter().zip(&*lines);
        if let Some((before, at)) = before.find(|(before, _)| before.covers(route)) {
            let shown = if host == "*" { path.to_string() } else { format!("{host}{path}") };
            wrong(if Arc::ptr_eq(&before.name, &route.name) {
                format!("it names {shown} twice")
            } else {
                format!(
                    "the route {:?} is never reached: the route {:?} (line {at}) already takes its \
                     requests to {shown}",
                    route.name, before.name
                )
            });
        }
        there.push(route.clone());
        lines.push(line);
    }
}
