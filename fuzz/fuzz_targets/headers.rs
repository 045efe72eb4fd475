//! Any headers as a gateway's description of a request: what it tells is what its own headers say, and nothing that
//! stands beside them changes it.

#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use portcullis::policy::canonical::headers::{ENVOY, FORWARDED, INGRESS, ORIGINAL};
use portcullis::policy::canonical::{Told, canonical};

const NAMES: [&str; 16] = [
    "x-original-method",
    "x-original-proto",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-forwarded-method",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-uri",
    "x-forwarded-for",
    "x_original_uri",
    "x-forwarded_host",
    "x_forwarded_proto",
    "x_custom",
    "host",
    "cookie",
];

fuzz_target!(|input: (u8, String, Vec<(u8, Vec<u8>)>)| {
    let (family, target, lines) = input;
    let family = [&ORIGINAL, &FORWARDED, &INGRESS, &ENVOY][usize::from(family % 4)];
    let own = [family.method, family.scheme, family.host, family.target];
    let own = own.map(|field| Some(field?.name()));
    let (mut all, mut only) = (HeaderMap::new(), HeaderMap::new());
    for (name, value) in &lines {
        let name = NAMES[usize::from(*name) % NAMES.len()];
        let Ok(value) = HeaderValue::from_bytes(value) else { continue };
        if own.contains(&Some(name)) {
            only.append(HeaderName::from_static(name), value.clone());
        }
        all.append(HeaderName::from_static(name), value);
    }
    let line = Told {
        method: Some("GET"),
        host: Some("app.test"),
        target: Some(&target),
        ..Told::default()
    };
    let Ok(told) = family.read(&all, &line) else { return };
    assert_eq!(family.read(&only, &line), Ok(told));
    assert!(NAMES[10..13].iter().all(|alias| !all.contains_key(*alias)));
    for part in [told.method, told.scheme, told.host].into_iter().flatten() {
        assert!(!part.contains(','));
    }
    let _ = canonical(&told);
});
