//! An entry of a HAR file, in which browsers record requests.

use std::path::Path;

use anyhow::{Context as _, anyhow, ensure};
use http::header::{AUTHORIZATION, COOKIE};
use serde::Deserialize;

use super::recorded::Recorded;

use crate::wire::json;

#[derive(Deserialize)]
struct Har {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    request: Request,
}

#[derive(Deserialize)]
struct Request {
    method: String,
    url: String,
    headers: Vec<Header>,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    value: String,
}

/// Reads one entry, which is counted from 1; without a number the only one.
pub(super) fn read(path: &Path, number: Option<usize>) -> anyhow::Result<Recorded> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    // Not the reader's own message: it may quote a credential.
    let har: Har = json::from_slice(&text)
        .map_err(|error| anyhow!("it is no HAR file (line {})", error.line()))?;
    let count = har.log.entries.len();
    let number = match number {
        Some(number) => number,
        None if count == 1 => 1,
        None => return Err(anyhow!("it has {count} entries: choose one by --entry, from 1 on")),
    };
    ensure!((1..=count).contains(&number), "--entry: it has {count} entries, from 1 on");
    let entry = har.log.entries.into_iter().nth(number - 1).context("--entry")?;
    recorded(&entry.request)
}

fn recorded(request: &Request) -> anyhow::Result<Recorded> {
    // A browser sends no fragment.
    let url = request.url.split('#').next().unwrap_or_default();
    let mut recorded = Recorded::of_url(&request.method, url)?;
    for Header { name, value } in &request.headers {
        // HTTP/2 has the request line among its headers.
        if !name.starts_with(':') {
            recorded.take_header(name, value)?;
        }
    }
    let has = |name| recorded.headers.contains_key(name);
    if !has(COOKIE) && !has(AUTHORIZATION) {
        let note = "there is no credential: browsers leave it out of HAR files unless they are told not to";
        recorded.notes.push(note.to_owned());
    }
    Ok(recorded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn har(entries: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            format!(r#"{{"log": {{"version": "1.2", "entries": [{entries}]}}}}"#),
        )
        .unwrap();
        file
    }

    const ENTRY: &str = r#"{"startedDateTime": "2026-11-27T00:00:00Z", "request": {"method": "POST",
        "url": "https://app.test/a%2Fb?c=d#e", "httpVersion": "HTTP/2", "headers": [
        {"name": ":authority", "value": "app.test"}, {"name": "host", "value": "app.test:8443"},
        {"name": "cookie", "value": "t=x"}, {"name": "X-Forwarded-Host", "value": "evil.test"}]}}"#;

    #[test]
    fn an_entry_is_what_the_browser_sent() {
        let recorded = read(har(ENTRY).path(), None).unwrap();
        assert_eq!((&*recorded.method, &*recorded.scheme), ("POST", "https"));
        assert_eq!((&*recorded.host, &*recorded.target), ("app.test:8443", "/a%2Fb?c=d"));
        assert_eq!(recorded.headers.len(), 1);
        assert_eq!(recorded.headers[COOKIE], "t=x");
        assert_eq!(recorded.notes.len(), 1, "{:?}", recorded.notes);
    }

    #[test]
    fn an_entry_is_chosen_and_what_is_none_is_refused() {
        let bare = r#"{"request": {"method": "GET", "url": "https://b.test/", "headers": []}}"#;
        let two = har(&format!("{ENTRY}, {bare}"));
        assert_eq!(read(two.path(), Some(2)).unwrap().host, "b.test");
        for number in [None, Some(0), Some(3)] {
            let problem = read(two.path(), number).unwrap_err().to_string();
            assert!(problem.contains("it has 2 entries"), "{problem}");
        }
        assert!(read(har("").path(), None).is_err());
        let problem = read(har("{\"request\": \"secret\"}").path(), None).unwrap_err().to_string();
        assert!(
            problem.starts_with("it is no HAR file") && !problem.contains("secret"),
            "{problem}"
        );
    }
}
