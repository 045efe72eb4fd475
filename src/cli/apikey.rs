//! `apikey add`, `list`, `revoke`.

use std::time::Duration;

use serde_json::{Value, json};

use super::accounts::{Accounts, UserArg, cell, failed, secret_is_void, time_cell, time_json};
use super::output::{Column, Output};
use super::settings::SettingFlags;
use super::token::scopes;
use super::user::split_scopes;
use super::{Exit, Outcome, block_on, clock_and_random};
use crate::account::{ApiKey, KEY_PREFIX, KeyDigest};
use crate::issuer::audit::Event;
use crate::opaque;
use crate::secret::{Random, Secret, random_id};

/// The beginning of its id.
const ID_PREFIX: &str = "key_";
/// A day, in seconds.
const DAY: u64 = 86_400;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a key; it is alone on standard output, this once
    Add(AddArgs),
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
    /// Print an object with the key, its id and its expiry
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
    #[arg(required = true)]
    ids: Vec<String>,
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

/// The id of a new key; it says nothing of the key.
pub(super) fn new_id(random: &dyn Random) -> anyhow::Result<String> {
    Ok(format!("{ID_PREFIX}{}", random_id(random)?))
}

async fn add(args: &AddArgs) -> Outcome {
    let (accounts, log) = Accounts::open_to_change(&args.settings).await?;
    let user = accounts.user(&args.who.name).await?;
    let (clock, random) = clock_and_random();
    let secret = opaque::generate(random.as_ref())?;
    let text = Secret::new([KEY_PREFIX.as_bytes(), secret.expose()].concat());
    let now = clock.now();
    let key = ApiKey {
        id: new_id(random.as_ref())?,
        user: user.id.clone(),
        digest: KeyDigest::of(&text),
        label: args.label.clone(),
        scopes: split_scopes(&args.scopes),
        created: now,
        expires: args.days.map(|days| now.after(Duration::from_secs(days * DAY))),
        last_used: None,
    };
    // First the key: nothing may be kept that nobody holds.
    let shown = text.expose_str().unwrap_or_default();
    if args.json {
        let expires = time_json(key.expires);
        let shown = json!({ "key": shown, "id": key.id, "expires": expires });
        Output::secret(&shown.to_string())?;
    } else {
        Output::secret(shown)?;
    }
    accounts.store.add_key(&key).await.map_err(|error| secret_is_void(failed(error)))?;
    log.event(Event::KeyMade).user(key.user.as_str()).reason(&key.id).write();
    if !args.json {
        let until = key.expires.map_or_else(String::new, |time| format!(", until {time}"));
        let name = cell(user.username.as_str());
        Output::say(&format!("{} of {name}{until}; the key is shown this once", key.id));
    }
    for scope in key.scopes.iter().filter(|scope| !user.scopes.contains(scope)) {
        Output::say(&format!("the user itself has no scope {scope}, so the key is not granted it"));
    }
    Ok(Exit::Done)
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
    json!({
        "id": key.id,
        "user": key.user.as_str(),
        "label": key.label,
        "scopes": key.scopes,
        "created": key.created.to_string(),
        "expires": time_json(key.expires),
        "last_used": time_json(key.last_used),
    })
}

async fn revoke(args: &RevokeArgs) -> Outcome {
    let (accounts, log) = Accounts::open_to_change(&args.settings).await?;
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
