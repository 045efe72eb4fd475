//! Any text as a policy file: it is read, or refused with words, and nobody finds a route where there is none.
//!
//! It gets far with examples to begin from: put the policies of the documents into `fuzz/corpus/policy`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::config::PolicySource;
use portcullis::policy::canonical::{Told, canonical};

const REQUESTS: [(&str, &str); 6] = [
    ("app.test", "/"),
    ("www.example.org", "/static/a"),
    ("a.example.org", "/users/5/%61"),
    ("a.b.example.org", "/users/5/"),
    ("[::1]", "/ADMIN"),
    ("xn--bcher-kva.example", "/health"),
];

fuzz_target!(|text: &str| {
    let policy = match PolicySource::parse(text) {
        Ok(policy) => policy,
        Err(mistakes) => return assert!(!mistakes.lines().is_empty()),
    };
    // A key may be written with escapes.
    let may_have_default = text.contains("default") || text.contains('\\');
    for (host, target) in REQUESTS {
        let told = Told {
            method: Some("GET"),
            scheme: Some("https"),
            host: Some(host),
            target: Some(target),
            client: None,
        };
        let request = canonical(&told).expect("a clear request");
        if let Ok(Some(found)) = policy.find(&request) {
            assert!(found.name.is_some() || may_have_default);
            assert!(found.name.is_none() || !policy.is_empty());
        }
    }
});
