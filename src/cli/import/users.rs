//! Users from a file of JSON lines, with the hashes that another system made of their passwords.

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::accounts::{Accounts, check_claim, failed, load, login, passwords, user_id};
use super::super::output::Output;
use super::super::progress::Progress;
use super::super::settings::SettingFlags;
use super::super::{Failure, Outcome, clock_and_random};
use super::{Counts, ImportOutcome, add_user};
use crate::account::password::Passwords;
use crate::account::{AccountStore, Login, User, UserKind};
use crate::clock::UnixTime;
use crate::secret::{Random, Secret};
use crate::session::UserId;
use crate::token::claims::is_scope;
use crate::token::integers;

/// The number of mistakes that are told; a file of another form has one in each line.
const MAX_TOLD: usize = 20;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The file; `-` is standard input
    file: PathBuf,
    /// Print an object with the counts
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
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

/// A user whose id may still be missing.
struct Read {
    id: Option<UserId>,
    user: User,
}

pub(super) async fn import(args: &Args) -> Outcome {
    let (config, _) = load(&args.settings)?;
    let (clock, random) = clock_and_random();
    let passwords = passwords(&config)?;
    let text = read_file(args)?;
    let users = read_all(&text, &passwords, clock.now())?;
    let (accounts, log) = Accounts::open_to_change(&args.settings).await?;
    let mut counts = Counts::default();
    let taken = import_all(accounts.store.as_ref(), users, random.as_ref(), &mut counts).await;
    counts.audit(&log, "users");
    taken?;
    counts.report("users", args.json)
}

async fn import_all(
    store: &dyn AccountStore,
    users: Vec<(usize, Read)>,
    random: &dyn Random,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let mut progress = Progress::new(users.len().try_into().unwrap_or_default());
    for (line, read) in users {
        let name = read.user.username.as_str().escape_debug().to_string();
        let outcome = import_one(store, read, random).await?;
        if outcome == ImportOutcome::Conflict {
            Output::say(&format!("line {line}: the id or a name of {name} is another user's"));
        }
        counts.count(outcome);
        progress.step();
    }
    progress.finish();
    Ok(())
}

fn read_file(args: &Args) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if args.file.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(&args.file).map(|content| text = content)
    };
    let read = read.with_context(|| format!("cannot read {}", args.file.display()));
    read.map_err(Failure::unavailable)?;
    Ok(text)
}

/// All users, with the numbers of their lines; where one cannot be read, none is imported.
fn read_all(
    text: &str,
    passwords: &Passwords,
    now: UnixTime,
) -> Result<Vec<(usize, Read)>, Failure> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let (mut users, mut mistakes) = (Vec::new(), Vec::new());
    for (number, line) in lines {
        match read(line, passwords, now) {
            Ok(user) => users.push((number, user)),
            Err(problem) => mistakes.push(format!("line {number}: {problem:#}")),
        }
    }
    if mistakes.is_empty() {
        return Ok(users);
    }
    for mistake in mistakes.iter().take(MAX_TOLD) {
        Output::say(mistake);
    }
    let count = mistakes.len();
    Err(Failure::usage(anyhow!("{count} lines cannot be read; no user was imported")))
}

/// A user out of a line. No mistake quotes the line: it may hold a hash.
fn read(line: &str, passwords: &Passwords, now: UnixTime) -> anyhow::Result<Read> {
    let line: Line = serde_json::from_slice(&integers::quoted(line.as_bytes()))
        .map_err(|error| without_values(&error))?;
    let id = line.id.as_deref().map(user_id).transpose().context("id")?;
    let username: Login = login(&line.username).context("username")?;
    let email = line.email.as_deref().map(login).transpose().context("email")?;
    let kind = line.kind.as_deref().map_or(Some(UserKind::Person), UserKind::parse);
    let password = line.password_hash.map(Secret::new);
    if let Some(hash) = &password {
        passwords.inspect(hash).context("password_hash")?;
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
    let user = User {
        email,
        email_verified: line.email_verified,
        full_name: line.full_name,
        kind: kind.context("kind: write person, service or anonymous")?,
        roles: line.roles,
        scopes: line.scopes,
        claims: line.claims,
        password,
        // The id is the name until it is known whether there is a better one.
        ..User::new(UserId::parse(username.as_str())?, username, now)
    };
    Ok(Read { id, user })
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

/// One that has no id is the same as the one who has its username already.
async fn import_one(
    store: &dyn AccountStore,
    read: Read,
    random: &dyn Random,
) -> Result<ImportOutcome, Failure> {
    let Read { id, user } = read;
    let id = if let Some(id) = id {
        id
    } else {
        let found = store.user_by_login(&user.username).await;
        match found.map_err(failed)? {
            Some(found) if found.username == user.username => {
                return Ok(ImportOutcome::AlreadyPresent);
            }
            Some(_) => return Ok(ImportOutcome::Conflict),
            None => UserId::generate(random)?,
        }
    };
    add_user(store, &User { id, ..user }).await
}
