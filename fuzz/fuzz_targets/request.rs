//! Any bytes as headers, cookies and query: what is found is one token on one line.

#![no_main]

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use portcullis::gate::credential;
use portcullis::gate::requirement::Requirement;

fuzz_target!(|input: (Vec<Vec<u8>>, Vec<Vec<u8>>, String)| {
    let (authorizations, cookies, query) = input;
    let mut headers = HeaderMap::new();
    for (name, values) in [(AUTHORIZATION, &authorizations), (COOKIE, &cookies)] {
        for value in values.iter().take(16) {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append(&name, value);
            }
        }
    }
    if let Ok(token) = credential::find(&headers, Some("session")) {
        assert!(!token.is_empty() && !token.contains([';', '\r', '\n', '\0']));
    }
    if let Ok(requirement) = Requirement::from_query(Some(&query)) {
        let demands_nothing = requirement == Requirement::default();
        assert_eq!(demands_nothing, query.is_empty() || query.bytes().all(|b| b == b'&'));
    }
});
