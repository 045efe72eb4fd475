//! `apikey add`, `list`, `revoke`.

use std::time::Duration;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::accounts::{Accounts, UserArg, cell, failed, secret_is_void, time_cell, time_json};
use super::audit::CommandLog;
use super::output::{Column, Output};
use super::settings::SettingFlags;
use super::token::scopes;
use super::user::split_scopes;
use super::{Exit, Failure, Outcome, block_on, clock_and_random};
use crate::account::{ApiKey, KeyBounds, User};
use crate::issuer::api_keys::{IssuedKey, KeyRequest, KeyTerms, RefreshTerms};
use crate::issuer::audit::Event;
use crate::issuer::error::IssueError;
use crate::secret::Secret;
use crate::session::{NotLive, Session, SessionId};

/// A day, in seconds.
const DAY: u64 = 86_400;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a key; it is alone on standard output, this once
    Add(Box<AddArgs>),
    /// List keys, newest first
    List(ListArgs),
    /// Revoke keys; they open no session any more, and what they opened is not refreshed. Tokens
    /// already issued end by themselves (EXPIRY), at once with `session revoke --user`
    Revoke(RevokeArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct AddArgs {
    #[command(flatten)]
    who: UserArg,
    /// A name for people to read
    #[arg(long)]
    label: Option<String>,
    /// A scope that it may be granted, where these are fewer than its user's; may be repeated
    #[arg(long = "scope", value_parser = scopes)]
    scopes: Vec<String>,
    /// The days until it ends; without it, it is good until it is revoked
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=36_500))]
    days: Option<u64>,
    /// The seconds until it may be used
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    not_before: u64,
    /// A session of the user, by its id; the key ends with it
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// The service that it is for: a name in JWT_AUDIENCE, or the host of the requests
    #[arg(long)]
    audience: Option<String>,
    /// The path that it is for, with all that is below; or the id of its user
    #[arg(long)]
    subject: Option<String>,
    /// The address or the network that it may be used from
    #[arg(long)]
    address: Option<String>,
    /// The issuer that must be the one of the accounts
    #[arg(long, value_name = "ISSUER")]
    key_issuer: Option<String>,
    /// The version of the application's interface; nothing is decided by it
    #[arg(long, value_name = "VERSION")]
    api_version: Option<String>,
    /// Make a refresh token too, which is good for so many days and gets the next key, once
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..=36_500))]
    refresh_days: Option<u64>,
    /// Print an object with the key, its refresh token, its id and its expiry
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Only this user's: a username, an e-mail, or an id
    #[arg(allow_hyphen_values = true)]
    user: Option<String>,
    /// List so many at most
    #[arg(long, default_value_t = 1000)]
    limit: usize,
    /// Print an array of objects
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, clap::Args)]
pub(super) struct RevokeArgs {
    /// The keys, by their ids
    #[arg(required_unless_present = "all")]
    ids: Vec<String>,
    /// All keys of this user: a username, an e-mail, or an id
    #[arg(long, value_name = "USER", conflicts_with = "ids", allow_hyphen_values = true)]
    all: Option<String>,
    /// Print an object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

pub(super) fn run(command: &Command) -> Outcome {
    match command {
        Command::Add(args) => block_on(add(args))?,
        Command::List(args) => block_on(list(args))?,
        Command::Revoke(args) => block_on(revoke(args))?,
    }
}

async fn add(args: &AddArgs) -> Outcome {
    let (accounts, log) = Accounts::open_to_change(&args.settings).await?;
    let user = accounts.user(&args.who.name).await?;
    let session = match &args.session {
        Some(id) => Some(live_session(&accounts, &user, id).await?),
        None => None,
    };
    let (clock, random) = clock_and_random();
    let issued = args.request().prepare(&user, session.as_ref(), clock.now(), random.as_ref());
    let issued = issued.map_err(refused)?;
    // First the key: nothing may be kept that nobody holds.
    show(&issued, args.json)?;
    let key = &issued.record;
    accounts.store.add_key(key).await.map_err(|error| secret_is_void(failed(error)))?;
    log.event(Event::KeyMade).user(key.user.as_str()).reason(&key.id).write();
    if !args.json {
        let until = key.expires.map_or_else(String::new, |time| format!(", until {time}"));
        let name = cell(user.username.as_str());
        let shown = if key.refresh.is_some() { "it and its refresh token are" } else { "it is" };
        Output::say(&format!("{} of {name}{until}; {shown} shown this once", key.id));
    }
    for scope in key.scopes.iter().filter(|scope| !user.scopes.contains(scope)) {
        Output::say(&format!("the user itself has no scope {scope}, so the key is not granted it"));
    }
    Ok(Exit::Done)
}

impl AddArgs {
    fn request(&self) -> KeyRequest {
        let days = |days: u64| Duration::from_secs(days * DAY);
        let refresh = |lifetime| RefreshTerms { not_before: Duration::ZERO, lifetime };
        let terms = KeyTerms {
            not_before: Duration::from_secs(self.not_before),
            lifetime: self.days.map(days),
            refresh: self.refresh_days.map(days).map(refresh),
        };
        KeyRequest {
            label: self.label.clone(),
            scopes: split_scopes(&self.scopes),
            issuer: self.key_issuer.clone(),
            audience: self.audience.clone(),
            subject: self.subject.clone(),
            address: self.address.clone(),
            version: self.api_version.clone(),
            terms,
        }
    }
}

async fn live_session(accounts: &Accounts, user: &User, id: &str) -> Result<Session, Failure> {
    let none = || Failure::no(anyhow!("the user has no session {}, or it is over", cell(id)));
    let id = SessionId::parse(id).map_err(|_| none())?;
    match accounts.sessions().await?.live(&user.id, &id).await {
        Ok(session) => Ok(session),
        Err(NotLive::Store(error)) => Err(Failure::unavailable(error)),
        Err(NotLive::Unknown | NotLive::Ended(_)) => Err(none()),
    }
}

fn refused(error: IssueError) -> Failure {
    match error {
        IssueError::Unavailable(cause) => cause.into(),
        error => Failure::usage(error),
    }
}

/// Prints the key, and behind it its refresh token.
fn show(issued: &IssuedKey, as_json: bool) -> Result<(), Failure> {
    let text = |secret: &Secret| secret.expose_str().unwrap_or_default().to_owned();
    let (key, token) = (text(&issued.key), issued.refresh_token.as_ref().map(text));
    if as_json {
        let (id, expires) = (&issued.record.id, time_json(issued.record.expires));
        let shown = json!({ "key": key, "refresh_token": token, "id": id, "expires": expires });
        return Ok(Output::secret(&shown.to_string())?);
    }
    Output::secret(&key)?;
    if let Some(token) = token {
        Output::secret(&token)?;
    }
    Ok(())
}

async fn list(args: &ListArgs) -> Outcome {
    let accounts = Accounts::open(&args.settings).await?;
    let user = match &args.user {
        Some(who) => Some(accounts.user(who).await?.id),
        None => None,
    };
    let found = accounts.store.keys(user.as_ref(), args.limit).await.map_err(failed)?;
    Output::list(&found, args.json, to_json, COLUMNS)?;
    Output::say_if_full(found.len(), args.limit);
    Ok(Exit::Done)
}

const COLUMNS: &[Column<ApiKey>] = &[
    ("KEY", 26, |key| cell(&key.id)),
    ("USER", 36, |key| cell(key.user.as_str())),
    ("CREATED", 20, |key| key.created.to_string()),
    ("EXPIRES", 20, |key| time_cell(key.expires)),
    ("LAST USED", 20, |key| time_cell(key.last_used)),
    ("LABEL", 0, |key| cell(key.label.as_deref().unwrap_or("-"))),
];

fn to_json(key: &ApiKey) -> Value {
    let KeyBounds { issuer, audience, subject, address } = &key.bounds;
    json!({
        "id": key.id,
        "user": key.user.as_str(),
        "label": key.label,
        "scopes": key.scopes,
        "session": key.session.as_ref().map(SessionId::as_str),
        "issuer": issuer,
        "audience": audience,
        "subject": subject,
        "address": address.map(|range| range.to_string()),
        "version": key.version,
        "created": key.created.to_string(),
        "not_before": time_json(key.not_before),
        "expires": time_json(key.expires),
        "last_used": time_json(key.last_used),
        "refresh_expires": time_json(key.refresh.as_ref().map(|refresh| refresh.expires)),
    })
}

async fn revoke(args: &RevokeArgs) -> Outcome {
    let (accounts, log) = Accounts::open_to_change(&args.settings).await?;
    if let Some(who) = &args.all {
        return revoke_all(&accounts, &log, who, args.json).await;
    }
    let mut revoked = 0;
    for id in &args.ids {
        if accounts.store.delete_key(id).await.map_err(failed)? {
            log.event(Event::KeyRevoked).reason(id).write();
            revoked += 1;
            Output::say(&format!("{} is revoked", cell(id)));
        } else {
            Output::say(&format!("there is no key {}", cell(id)));
        }
    }
    if args.json {
        Output::json(&json!({ "revoked": revoked }))?;
    }
    // One that is not there may be a slip, and then the key that was meant lives on.
    Ok(if revoked == args.ids.len() { Exit::Done } else { Exit::No })
}

async fn revoke_all(accounts: &Accounts, log: &CommandLog, who: &str, as_json: bool) -> Outcome {
    let user = accounts.user(who).await?;
    let revoked = accounts.store.delete_keys(&user.id).await.map_err(failed)?;
    log.event(Event::KeysRevoked).user(user.id.as_str()).count(revoked).write();
    if as_json {
        Output::json(&json!({ "revoked": revoked }))?;
    } else {
        let name = cell(user.username.as_str());
        Output::say(&format!("{revoked} keys of {name} are revoked"));
    }
    Ok(Exit::Done)
}
