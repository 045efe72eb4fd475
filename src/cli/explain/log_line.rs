//! A line of the gate's own access log, found by the request's id, in either of its forms.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, anyhow};

use super::recorded::Recorded;
use crate::gate::Dialect;
use crate::gate::inquiry::MAX_LOGGED_BYTES;
use crate::gate::metrics::EntryPoint;
use crate::wire::json;

/// The fields of a line. Those that are not text are kept as they are written.
type Fields = BTreeMap<String, String>;

/// The parts of a request that no log has.
const NOT_LOGGED: &str = "the log has no query, no scheme (https is taken) and no header: give the \
                          credential by --token or --header";

/// Finds the request of this id; of several lines the last one counts.
pub(super) fn read(path: &Path, id: &str) -> anyhow::Result<Recorded> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
    let mut found = Vec::new();
    for line in BufReader::new(file).split(b'\n') {
        let line = line.with_context(|| format!("cannot read {shown}"))?;
        let line = String::from_utf8_lossy(&line);
        // Most lines need not be read.
        if line.contains(id) {
            found.extend(fields(&line).filter(|fields| is_of(fields, id)));
        }
    }
    let count = found.len();
    let fields = found.pop();
    let fields =
        fields.with_context(|| format!("no answer of the gate with this id is in {shown}"))?;
    let mut recorded = recorded(&fields)?;
    if count > 1 {
        recorded.notes.push(format!("{count} lines have this id; the last one is taken"));
    }
    Ok(recorded)
}

fn is_of(fields: &Fields, id: &str) -> bool {
    fields.get("request_id").is_some_and(|own| own == id) && fields.contains_key("entry_point")
}

fn recorded(fields: &Fields) -> anyhow::Result<Recorded> {
    let text = |name: &str| fields.get(name).cloned();
    let entry_point = text("entry_point").unwrap_or_default();
    // Over gRPC a gateway asks in no dialect of its own: it is Envoy, or speaks as Envoy does.
    let by_grpc = (entry_point == EntryPoint::ExtAuthz.as_str()).then_some(Dialect::Envoy);
    let dialect = by_grpc
        .or_else(|| Dialect::named(&entry_point))
        .ok_or_else(|| anyhow!("no gateway asked there: the entry point is {entry_point:?}"))?;
    let told = |name: &str| -> anyhow::Result<String> {
        let part = text(name).with_context(|| format!("the gateway told no {name}"))?;
        if part.len() >= MAX_LOGGED_BYTES {
            return Err(anyhow!("the {name} is cut in the log; use --url"));
        }
        Ok(part)
    };
    Ok(Recorded {
        method: told("method")?,
        scheme: "https".to_owned(),
        host: told("host")?,
        target: told("path")?,
        client: text("client").and_then(|client| client.parse().ok()),
        dialect: Some(dialect),
        notes: vec![NOT_LOGGED.to_owned()],
        ..Recorded::default()
    })
}

/// The fields of a line in JSON, or in text.
fn fields(line: &str) -> Option<Fields> {
    if !line.starts_with('{') {
        let (_, fields) = line.split_once(" portcullis::access: ")?;
        return text_fields(fields);
    }
    let object: serde_json::Map<String, serde_json::Value> = json::from_str(line).ok()?;
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    Some(object.into_iter().map(|(name, value)| (name, text(value))).collect())
}

/// `name="value"` and `name=value`, with blanks between them.
fn text_fields(mut rest: &str) -> Option<Fields> {
    let mut fields = Fields::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = if let Some(quoted) = after.strip_prefix('"') {
            unquoted(quoted)?
        } else {
            let (value, after) = after.split_once(' ').unwrap_or((after, ""));
            (value.to_owned(), after)
        };
        fields.insert(name.to_owned(), value);
        rest = after.trim_start();
    }
    Some(fields)
}

/// A text up to its closing quote, as Rust writes it for debugging; and what follows.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => match chars.next()? {
                'u' => {
                    let (code, after) = chars.as_str().strip_prefix('{')?.split_once('}')?;
                    value.push(u32::from_str_radix(code, 16).ok().and_then(char::from_u32)?);
                    chars = after.chars();
                }
                plain => value.push(plain),
            },
            plain => value.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "2026-11-27T00:00:00.000001Z  INFO portcullis::access: request_id=\"a\" \
        entry_point=\"traefik\" verdict=\"deny\" code=\"no_route\" status=403 client=192.0.2.1 \
        method=\"GET\" host=\"app.test\" path=\"/a \\\"b\\\\\\u{301}é=\"";
    const JSON: &str = r#"{"timestamp":"2026-11-27T00:00:00Z","level":"INFO","request_id":"b","entry_point":"nginx","verdict":"allow","status":200,"method":"PUT","host":"b.test","path":"/b","target":"portcullis::access"}"#;

    fn log(lines: &[&str]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines.join("\n")).unwrap();
        file
    }

    #[test]
    fn a_line_is_found_by_its_id_in_both_forms() {
        let log = log(&["rubbish", "{", TEXT, JSON, ""]);
        let text = read(log.path(), "a").unwrap();
        assert_eq!((&*text.method, &*text.host), ("GET", "app.test"));
        assert_eq!(text.target, "/a \"b\\\u{301}é=");
        assert_eq!((text.client, text.dialect), ("192.0.2.1".parse().ok(), Some(Dialect::Traefik)));
        let json = read(log.path(), "b").unwrap();
        assert_eq!((&*json.method, &*json.host, &*json.target), ("PUT", "b.test", "/b"));
        assert_eq!((json.client, json.dialect), (None, Some(Dialect::Nginx)));
    }

    #[test]
    fn a_question_by_grpc_is_explained_as_one_of_envoy() {
        let line = JSON.replace("\"nginx\"", "\"ext_authz\"");
        let found = read(log(&[&line]).path(), "b").unwrap();
        assert_eq!((&*found.target, found.dialect), ("/b", Some(Dialect::Envoy)));
    }

    #[test]
    fn of_several_lines_the_last_counts_and_that_is_said() {
        let second = JSON.replace("/b", "/c");
        let found = read(log(&[JSON, &second]).path(), "b").unwrap();
        assert_eq!(found.target, "/c");
        assert!(found.notes.iter().any(|note| note.starts_with("2 lines")), "{:?}", found.notes);
    }

    #[test]
    fn what_tells_no_whole_request_is_refused() {
        let long = JSON.replace("/b\"", &format!("/{}\"", "b".repeat(511)));
        for (line, problem) in [
            (JSON.replace("\"b\"", "\"other\""), "no answer of the gate with this id"),
            (JSON.replace("\"nginx\"", "\"elsewhere\""), "no gateway asked there"),
            (JSON.replace("\"path\"", "\"file\""), "the gateway told no path"),
            (long, "the path is cut in the log"),
        ] {
            let found = read(log(&[&line]).path(), "b").unwrap_err().to_string();
            assert!(found.contains(problem), "{line}: {found}");
        }
    }
}
