//! Any bytes as headers, cookies and query: what is found is one token on one line.

#![no_main]

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use portcullis::gate::Dialect;
use portcullis::gate::credential::{self, AcceptedKinds, Cookies, CredentialSource};
use portcullis::opaque::CookiePair;

const ALL: AcceptedKinds = AcceptedKinds { api_keys: true, basic: true };

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
    let cookies = Cookies { single: Some("session".to_owned()), pair: Some(CookiePair::TP_AUTH) };
    if let Ok(found) = credential::find(&headers, &cookies, ALL) {
        let is_clean = |text: &str| !text.is_empty() && !text.contains([';', '\r', '\n', '\0']);
        assert!(is_clean(found.credential));
        if let CredentialSource::Pair { user } = found.source {
            assert!(is_clean(user));
            let names_it = found.source.check(user).is_ok();
            assert!(names_it || user.contains('%'), "a plain name names itself");
        }
    }
    let Ok(request) = http::Request::get(format!("/validate_request?{query}")).body(()) else {
        return;
    };
    let request = request.into_parts().0;
    if let Ok(requirement) = Dialect::Nginx.read(&request).requirement {
        let query = request.uri.query().unwrap_or_default();
        assert_eq!(requirement.is_empty(), query.bytes().all(|b| b == b'&'));
    }
});
