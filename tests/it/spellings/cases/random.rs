//! Random targets, made of the pieces that matter.

use super::{Case, http1};
use crate::simulation::rng::SeededRng;

const WORDS: &[&str] = &[
    "admin",
    "public",
    "secret",
    "users",
    "me",
    "alice",
    "keys",
    "exact",
    "api",
    "v1",
    "caf%C3%A9",
    "sp%20ace",
    "~home",
    "@me",
    "100%25",
    "x",
    "a.b",
    "a%20b",
];

const ODD: &[&str] = &[
    ".",
    "..",
    "%2e",
    "%2E%2e",
    "%2f",
    "%5c",
    "\\",
    ";",
    ";x",
    "%3b",
    "%00",
    "%25",
    "%2525",
    "%252e",
    "#",
    "%",
    "%zz",
    "%61",
    "%41",
    "é",
    "%c3%a9",
    "%e9",
    "!",
    "+",
    "%40me",
    "%7Ehome",
    "ADMIN",
    "Public",
    "%61dmin",
    "m%65",
    "%2561dmin",
    "%23",
    "%3f",
    "*",
    "{id}",
    "'",
    "%0a",
    "\t",
    "|",
    "^",
    "..;",
    ". ",
    "%09",
    "//",
    "/./",
    "/../",
    "%ef%bc%8f",
    "K",
    "%e2%84%aa",
    "%c4%b0",
    "ſ",
];

const QUERIES: &[&str] = &["a=b", "/../x", "a?b", "#x", "%00", ""];

const HOSTS: &[&str] = &[
    "APP.test",
    "app.test:80",
    "app.test.",
    "app.test:81",
    "admin.test",
    "xn--bcher-kva.test",
    "my_app.test",
    "127.0.0.1",
    "[::1]",
];

/// So many requests over HTTP/1.1, which this seed makes again.
pub fn random(seed: u64, count: usize) -> Vec<Case> {
    let rng = SeededRng::from_seed(seed);
    let one = |_| {
        let method = if rng.percent(90) { "GET" } else { rng.pick(&["POST", "PUT"]) };
        let host = if rng.percent(75) { "app.test" } else { rng.pick(HOSTS) };
        http1(method.as_bytes(), target(&rng).as_bytes(), Some(host.as_bytes()), &[])
    };
    (0..count).map(one).collect()
}

fn target(rng: &SeededRng) -> String {
    let mut text = String::new();
    for _ in 0..rng.within(1..=5) {
        text += if rng.percent(80) { "/" } else { rng.pick(&["//", "", "\\", "%2f"]) };
        text += rng.pick(WORDS);
        if rng.percent(25) {
            text += rng.pick(ODD);
        }
        if rng.percent(12) {
            text += "/";
            text += rng.pick(ODD);
        }
    }
    if rng.percent(20) {
        text += "/";
    }
    if rng.percent(20) {
        text += "?";
        text += rng.pick(QUERIES);
    }
    text
}
