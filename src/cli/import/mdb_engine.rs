//! mdb-engine's users, of an application or shared, from what mongoexport wrote of their
//! collections: a document a line, or an array of them. The documents are those of 0.15.1.

mod document;
mod extended_json;

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use serde_json::{Deserializer, Map, Value};

use super::super::accounts::passwords;
use super::super::{Failure, Outcome, clock_and_random};
use super::file;
use super::incoming::Incoming;
use super::{Flags, take_over};
use document::{Reading, Taken};

use crate::wire::json;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Files that mongoexport wrote of users, sessions or rules, which are told by their fields; `-` is
    /// standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

pub(super) async fn import(args: &Args) -> Outcome {
    let config = args.flags.config()?;
    let (clock, _) = clock_and_random();
    let passwords = passwords(&config)?;
    let reading = Reading { passwords: &passwords, now: clock.now() };
    let mut incoming = Incoming::default();
    for path in &args.files {
        let documents = documents(&file::read(path)?, path).map_err(Failure::usage)?;
        for (number, document) in (1..).zip(documents) {
            let origin = format!("{}, document {number}", path.display());
            match reading.document(&document) {
                Ok(Taken::User(user, without)) => {
                    incoming.user(origin, *user);
                    for what in without {
                        incoming.leave_out(what, 1);
                    }
                }
                Ok(Taken::LeftOut(why)) => incoming.leave_out(why, 1),
                Err(reason) => incoming.unreadable(origin, format!("{reason:#}")),
            }
        }
    }
    take_over(incoming, &args.flags, "mdb-engine").await
}

/// The documents of a file. No mistake quotes it: it may hold hashes.
fn documents(text: &str, path: &Path) -> anyhow::Result<Vec<Map<String, Value>>> {
    let text = text.trim_start_matches('\u{feff}');
    let read: Result<Vec<_>, _> = if text.trim_start().starts_with('[') {
        json::from_str(text)
    } else {
        Deserializer::from_str(text).into_iter().collect()
    };
    read.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        anyhow!("{}: no JSON documents, at line {line}, column {column}", path.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_lines_or_an_array_and_a_mistake_is_not_quoted() {
        for good in ["{}\n{}\n", "{} {}", "[{}, {}]", "\u{feff}[\n{},\n{}\n]\n", "{\n}\n{\n}"] {
            assert_eq!(documents(good, Path::new("x")).expect(good).len(), 2, "{good}");
        }
        assert!(documents("", Path::new("x")).expect("an empty collection").is_empty());
        for bad in ["hunter2", "{} hunter2", "[{}, hunter2]", "[\"hunter2\"]", "{\"a\": hunter2}"] {
            let told = documents(bad, Path::new("x")).expect_err(bad).to_string();
            assert!(told.starts_with("x: ") && !told.contains("hunter2"), "{told}");
        }
    }
}
