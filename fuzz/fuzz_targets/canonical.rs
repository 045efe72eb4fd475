//! Any texts as a request: its canonical form is stable, holds nothing that others read differently, and one path has
//! one spelling.

#![no_main]

use libfuzzer_sys::fuzz_target;
use percent_encoding::percent_decode_str;
use portcullis::policy::canonical::{Told, canonical};

fuzz_target!(|input: (String, String, String, String)| {
    let (method, scheme, host, target) = input;
    let told = Told {
        method: Some(&method),
        scheme: Some(&scheme),
        host: Some(&host),
        target: Some(&target),
        client: None,
    };
    let easy = Told { method: Some("GET"), scheme: Some("https"), host: Some("app.test"), ..told };
    for told in [told, easy, Told { host: None, scheme: None, ..easy }] {
        let Ok(request) = canonical(&told) else { continue };
        let path = request.path.as_str();
        assert!(path.starts_with('/') && !path.contains("//") && !path.contains(['\\', ';']));
        assert!(!path.chars().any(char::is_control));
        assert!(path.split('/').all(|segment| segment != "." && segment != ".."));
        assert_eq!(path, percent_decode_str(&request.path.spelling()).decode_utf8().unwrap());
        assert!(percent_decode_str(path).eq(path.bytes()), "as who decodes twice");
        let (url, target) = (request.url(), request.target());
        let whole = Told { target: Some(&url), scheme: None, host: None, ..told };
        assert_eq!(canonical(&whole).as_ref(), Ok(&request));
        let authority = request.authority.to_string();
        let scheme = Some(request.scheme.as_str());
        let parts = Told { target: Some(&target), host: Some(&authority), scheme, ..told };
        assert_eq!(canonical(&parts).as_ref(), Ok(&request));
    }
});
