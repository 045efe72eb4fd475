//! Properties: of any text, and of any two spellings of one resource.

use std::fmt::Write as _;

use percent_encoding::percent_decode_str;
use proptest::prelude::*;

use super::*;

/// A resource: the segments of its path, decoded.
fn segments() -> impl Strategy<Value = Vec<String>> {
    let segment = "[a-c%~@ é?#.+&A]{1,4}";
    proptest::collection::vec(segment, 1..4)
        .prop_filter("dots are no names", |all| all.iter().all(|one| one != "." && one != ".."))
        .prop_filter("an escape is refused even where it was decoded", |all| {
            all.iter().all(|one| percent_decode_str(one).eq(one.bytes()))
        })
}

/// The choices of one who spells: how each character is written, and what is added around it.
fn choices() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 64)
}

/// One of many spellings of a resource.
fn spell(segments: &[String], choices: &[u8]) -> String {
    let mut choices = choices.iter().copied().cycle();
    let mut choose = |below: u8| choices.next().unwrap_or(0) % below;
    let mut text = String::new();
    for segment in segments {
        text += match choose(24) {
            0 => "//",
            1 => "/./",
            2 => "/x/../",
            3 => "/%2e/",
            4 => "/x/%2E./",
            5 => "%2f",
            6 => "\\",
            7 => "/;/",
            _ => "/",
        };
        for byte in segment.bytes() {
            let needs_escape = !byte.is_ascii_graphic() || b"%?#".contains(&byte);
            match (needs_escape, choose(4)) {
                (true, 0 | 1) | (false, 0) => drop(write!(text, "%{byte:02x}")),
                (true, _) | (false, 1) => drop(write!(text, "%{byte:02X}")),
                (false, _) => text.push(char::from(byte)),
            }
        }
    }
    text
}

/// The same host in one of its spellings.
fn spell_host(choice: u8) -> (&'static str, &'static str) {
    [
        ("https", "app.test"),
        ("https", "APP.test"),
        ("wss", "app.TEST:443"),
        ("WSS", "app.test"),
        ("https", "app.test."),
        ("https", "app.test:0443"),
    ][usize::from(choice % 6)]
}

fn plain(segments: &[String]) -> String {
    format!("/{}", segments.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_spellings_of_one_resource_are_one_or_refused(
        segments in segments(), first in choices(), second in choices(), hosts in any::<(u8, u8)>(),
    ) {
        let texts = [spell(&segments, &first), spell(&segments, &second)];
        let mut accepted = Vec::new();
        for (text, host) in texts.iter().zip([hosts.0, hosts.1]) {
            let (scheme, host) = spell_host(host);
            let told = Told { scheme: Some(scheme), host: Some(host), ..told(text) };
            accepted.extend(canonical(&told));
        }
        for request in &accepted {
            prop_assert_eq!(request.path.as_str(), plain(&segments));
            prop_assert_eq!(request, &accepted[0]);
            prop_assert_eq!(request.url(), accepted[0].url());
        }
    }

    #[test]
    fn two_resources_are_never_one(a in segments(), b in segments()) {
        let (one, other) = (plain(&a), plain(&b));
        let (one, other) = (encode(&one), encode(&other));
        let (one, other) = (path_of(&one), path_of(&other));
        prop_assert!(one.is_ok() && other.is_ok());
        prop_assert_eq!(one == other, a == b);
    }

    #[test]
    fn the_canonical_form_of_a_canonical_form_is_itself(
        segments in segments(), choices in choices(), host in any::<u8>(), query in "([?][a-z%/?;=]{0,6})?",
    ) {
        let target = spell(&segments, &choices) + query.as_str();
        let (scheme, host) = spell_host(host);
        let told = Told { scheme: Some(scheme), host: Some(host), ..told(&target) };
        if let Ok(request) = canonical(&told) {
            let (url, target) = (request.url(), request.target());
            let whole = Told { target: Some(&url), scheme: None, host: None, ..told };
            prop_assert_eq!(&canonical(&whole), &Ok(request.clone()));
            let parts = Told { target: Some(&target), ..told };
            prop_assert_eq!(&canonical(&parts), &Ok(request.clone()));
            prop_assert_eq!(canonical(&whole).map(|again| again.url()), Ok(url.clone()));
        }
    }

    #[test]
    fn whatever_somebody_normalizes_a_canonical_path_stays_as_it_is(text in "/[a-c./%25ef;\\\\?A-F0é\u{1}]{0,12}") {
        if let Ok(path) = path_of(&text) {
            let spelled = text.split('?').next().unwrap_or_default();
            prop_assert_eq!(&percent_decode_str(spelled).decode_utf8().unwrap(), &path);
            prop_assert!(percent_decode_str(&path).eq(path.bytes()), "as who decodes twice");
            prop_assert_eq!(&path.replace('\\', "/"), &path, "as Windows");
            prop_assert_eq!(&path.replace("//", "/"), &path, "as merge_slashes");
            prop_assert_eq!(path.split(';').next(), Some(path.as_str()), "as Tomcat");
            prop_assert_eq!(path.split('\0').next(), Some(path.as_str()), "as C");
            prop_assert_eq!(&resolved(&path), &path, "as a browser");
        }
    }

    #[test]
    fn no_text_breaks_it(method in ".{0,4}", scheme in ".{0,4}", host in "\\PC{0,8}", target in "\\PC{0,16}") {
        let told = Told {
            method: Some(&method), scheme: Some(&scheme), host: Some(&host), target: Some(&target), client: None,
        };
        let _ = canonical(&told);
        let _ = canonical(&Told { method: Some("GET"), scheme: Some("http"), ..told });
        let _ = canonical(&Told { host: Some(&host), ..self::told("/") });
        let _ = canonical(&self::told(&target));
    }
}

/// Resolves dot segments (RFC 3986, section 5.2.4).
fn resolved(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}
