//! Users from a file of JSON lines, with the hashes that another system made of their passwords.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::accounts::{check_claim, login, passwords, user_id};
use super::super::output::Output;
use super::super::{Failure, Outcome, clock_and_random};
use super::file;
use super::incoming::{Incoming, NewUser};
use super::{Flags, take_over};
use crate::account::password::Passwords;
use crate::account::{Login, User, UserKind};
use crate::clock::UnixTime;
use crate::secret::{Random, Secret};
use crate::session::UserId;
use crate::token::integers;
use crate::token::is_scope;
use crate::wire::json;

/// The number of mistakes that are told; a file of another form has one in each line.
const MAX_TOLD: usize = 20;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The file; `-` is standard input
    file: PathBuf,
    #[command(flatten)]
    flags: Flags,
}

/// A line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: Option<String>,
    username: String,
    email: Option<String>,
    #[serde(default)]
    email_verified: bool,
    full_name: Option<String>,
    kind: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    claims: Map<String, Value>,
    password_hash: Option<String>,
}

/// The parts that reading a line needs.
struct Reading<'a> {
    passwords: &'a Passwords,
    random: &'a dyn Random,
    now: UnixTime,
}

pub(super) async fn import(args: &Args) -> Outcome {
    let config = args.flags.config()?;
    let (clock, random) = clock_and_random();
    let passwords = passwords(&config)?;
    let text = file::read(&args.file)?;
    let reading = Reading { passwords: &passwords, random: random.as_ref(), now: clock.now() };
    take_over(reading.read_all(&text)?, &args.flags, "users").await
}

impl Reading<'_> {
    /// All users; where one cannot be read, none is imported: the form is our own, and a mistake in
    /// it the author's to mend.
    fn read_all(&self, text: &str) -> Result<Incoming, Failure> {
        let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let (mut incoming, mut mistakes) = (Incoming::default(), Vec::new());
        for (number, line) in lines {
            let origin = format!("line {number}");
            match self.read(origin.clone(), line) {
                Ok(user) => incoming.users.push(user),
                Err(problem) => mistakes.push(format!("{origin}: {problem:#}")),
            }
        }
        if mistakes.is_empty() {
            return Ok(incoming);
        }
        for mistake in mistakes.iter().take(MAX_TOLD) {
            Output::say(mistake);
        }
        let count = mistakes.len();
        Err(Failure::usage(anyhow!("{count} lines cannot be read; no user was imported")))
    }

    /// A user out of a line. No mistake quotes the line: it may hold a hash.
    fn read(&self, origin: String, line: &str) -> anyhow::Result<NewUser> {
        let line: Line = json::from_slice(&integers::quoted(line.as_bytes()))
            .map_err(|error| without_values(&error))?;
        let id = line.id.as_deref().map(user_id).transpose().context("id")?;
        let username: Login = login(&line.username).context("username")?;
        let email = line.email.as_deref().map(login).transpose().context("email")?;
        let kind = line.kind.as_deref().map_or(Some(UserKind::Person), UserKind::parse);
        let password = line.password_hash.map(Secret::new);
        if let Some(hash) = &password {
            self.passwords.inspect(hash).context("password_hash")?;
        }
        if line.full_name.as_deref().is_some_and(|name| name.chars().any(char::is_control)) {
            return Err(anyhow!("full_name: it has control characters"));
        }
        if !line.scopes.iter().all(|scope| is_scope(scope)) {
            return Err(anyhow!("scopes: not all are scopes (RFC 6749, section 3.3)"));
        }
        for name in line.claims.keys() {
            check_claim(name).context("claims")?;
        }
        let has_id = id.is_some();
        let id = id.map_or_else(|| UserId::generate(self.random), Ok)?;
        let user = User {
            email,
            email_verified: line.email_verified,
            full_name: line.full_name,
            kind: kind.context("kind: write person, service or anonymous")?,
            roles: line.roles,
            scopes: line.scopes,
            claims: line.claims,
            password,
            ..User::new(id, username, self.now)
        };
        Ok(NewUser { origin, user, has_id })
    }
}

/// The mistake and its column; serde's words on a value may quote it.
fn without_values(error: &serde_json::Error) -> anyhow::Error {
    let told = error.to_string();
    let column = error.column();
    if told.starts_with("unknown field") || told.starts_with("missing field") {
        let what = told.split(" at line").next().unwrap_or_default();
        return anyhow!("{what}");
    }
    let what = if error.is_data() { "a value has the wrong type" } else { "it is not JSON" };
    anyhow!("{what}, at column {column}")
}
