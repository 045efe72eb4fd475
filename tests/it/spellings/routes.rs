//! The routes that every gateway and the policy are given, in one place.

use portcullis::policy::canonical::encode;
use portcullis::policy::routes::{PathPattern, RouteIndex};

/// A path of `app.test`, written decoded.
#[derive(Clone, Copy)]
pub enum Path {
    /// This one.
    Exact(&'static str),
    /// Those that have one segment in the place of `{id}`.
    Pattern(&'static str),
    /// All that begins so. It ends in a slash.
    Below(&'static str),
}

use Path::{Below, Exact, Pattern};

/// The routes of `app.test`, in the order in which a gateway is to try them: the most specific first.
pub const PATHS: [(&str, Path); 14] = [
    ("me", Exact("/users/me")),
    ("exact", Exact("/exact")),
    ("userkeys", Pattern("/users/{id}/keys")),
    ("user", Pattern("/users/{id}")),
    ("secret", Below("/public/secret/")),
    ("public", Below("/public/")),
    ("space", Below("/sp ace/")),
    ("api", Below("/api/v1/")),
    ("admin", Below("/admin/")),
    ("tilde", Below("/~home/")),
    ("cafe", Below("/café/")),
    ("percent", Below("/100%/")),
    ("at", Below("/@me/")),
    ("default", Below("/")),
];

/// The routes that are a whole host.
pub const HOSTS: [(&str, &str); 6] = [
    ("adminhost", "admin.test"),
    ("wild", "*.wild.test"),
    ("idn", "xn--bcher-kva.test"),
    ("under", "my_app.test"),
    ("v4", "127.0.0.1"),
    ("v6", "[::1]"),
];

/// The route that a gateway takes where it knows no such host. The policy has none there.
pub const NO_HOST: &str = "nohost";

/// The names of all routes that a gateway has.
pub fn names() -> impl Iterator<Item = &'static str> {
    let paths = PATHS.iter().map(|(name, _)| *name);
    paths.chain(HOSTS.iter().map(|(name, _)| *name)).chain([NO_HOST])
}

/// The anchored regular expression of a pattern.
pub fn regex(pattern: &str) -> String {
    format!("^{}$", pattern.replace("{id}", "[^/]+"))
}

/// The spelling of a path for a gateway that compares the bytes of the request line.
pub fn spelled(path: &str) -> String {
    encode(path).into_owned()
}

/// The routes as the policy has them.
pub fn index() -> RouteIndex<&'static str> {
    let path = |path: &Path| match *path {
        Exact(path) | Pattern(path) => path.to_owned(),
        Below(path) => format!("{path}*"),
    };
    let paths = PATHS.iter().map(|(name, own)| ("app.test", path(own), *name));
    let hosts = HOSTS.iter().map(|(name, host)| (*host, "/*".to_owned(), *name));
    let routes = paths.chain(hosts).map(|(host, path, name)| {
        (host.to_owned(), PathPattern::parse(&path).expect("a path"), name)
    });
    RouteIndex::compile(routes).expect("each path stands there once")
}
