//! The rules of the canonical form, each relaxed: mistakes made on purpose, which the gateways must catch.

use percent_encoding::percent_decode_str;
use portcullis::policy::canonical::encode;

/// A way to read a target.
pub struct Reading {
    /// Its name.
    pub name: &'static str,
    /// The change of the target before it is judged.
    pub change: fn(&str) -> String,
    /// False where the route is found by the decoded path alone, whatever a gateway may compare.
    pub finds_strictly: bool,
}

/// The gate's own reading.
pub const OURS: Reading = Reading { name: "ours", change: str::to_owned, finds_strictly: true };

/// Each with one rule less.
pub const RELAXED: [Reading; 12] = [
    relaxed("decode twice", |target| on_path(target, decode_twice)),
    relaxed("resolve dot segments", |target| on_path(target, resolve)),
    relaxed("merge slashes", |target| on_path(target, merge)),
    relaxed("take `%2f` for a slash", |target| target.replace("%2f", "/").replace("%2F", "/")),
    relaxed("take `\\` for a slash", |target| target.replace('\\', "/")),
    relaxed("take `%5c` for a slash", |target| target.replace("%5c", "/").replace("%5C", "/")),
    relaxed("drop what follows `;`", |target| on_path(target, drop_parameters)),
    relaxed("end the path at a zero byte", |target| first(target, "%00").to_owned()),
    relaxed("take `#` for a part of the path", |target| target.replace('#', "%23")),
    relaxed("end the path at the last question mark", last_question_mark),
    relaxed("drop an escape that is none", |target| {
        target.replace("%zz", "").replace("%u0061", "a")
    }),
    Reading {
        name: "find routes by the decoded path alone",
        change: str::to_owned,
        finds_strictly: false,
    },
];

const fn relaxed(name: &'static str, change: fn(&str) -> String) -> Reading {
    Reading { name, change, finds_strictly: true }
}

fn on_path(target: &str, change: fn(&str) -> String) -> String {
    match target.split_once('?') {
        Some((path, query)) => format!("{}?{query}", change(path)),
        None => change(target),
    }
}

fn decode_twice(path: &str) -> String {
    let once = |path: &str| percent_decode_str(path).decode_utf8().map(|path| path.into_owned());
    let twice = once(path).and_then(|path| once(&path));
    twice.map_or_else(|_| path.to_owned(), |path| encode(&path).into_owned())
}

fn resolve(path: &str) -> String {
    let plain = path.replace("%2e", ".").replace("%2E", ".");
    let mut kept: Vec<&str> = Vec::new();
    for segment in plain.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

fn merge(path: &str) -> String {
    let mut path = path.to_owned();
    while path.contains("//") {
        path = path.replace("//", "/");
    }
    path
}

fn drop_parameters(path: &str) -> String {
    path.split('/').map(|segment| first(segment, ";")).collect::<Vec<_>>().join("/")
}

fn first<'t>(text: &'t str, sign: &str) -> &'t str {
    text.split(sign).next().unwrap_or_default()
}

fn last_question_mark(target: &str) -> String {
    match target.rsplit_once('?') {
        Some((path, query)) => format!("{}?{query}", path.replace('?', "%3F")),
        None => target.to_owned(),
    }
}
