//! `user add`, `list`, `show`, `passwd`, `lock`, `unlock`, `delete`.

use anyhow::anyhow;
use serde_json::{Value, json};

use super::accounts::{
    Accounts, UserArg, cell, check_claim, failed, login, passwords, read_new_password, time_cell,
    user_id, user_json,
};
use super::audit::{COMMAND, CommandLog};
use super::output::{Column, Output};
use super::settings::SettingFlags;
use super::token::{claim, scopes};
use super::{Exit, Failure, Outcome, block_on, clock_and_random};
use crate::account::password::PasswordError;
use crate::account::{AccountStore, Login, User, UserKind, UserState, policy};
use crate::app::open_stores;
use crate::config::{AccountsConfig, SessionConfig};
use crate::issuer::audit::Event;
use crate::issuer::throttle::AttemptName;
use crate::limit::Limits;
use crate::secret::Secret;
use crate::session::{Sessions, UserId};
use crate::store::StoreMetrics;
use crate::store::records::Records;

/// The number of users that are read at once.
const PAGE: usize = 500;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Add a user; the id is alone on standard output
    Add(AddArgs),
    /// List users by id
    List(ListArgs),
    /// Show a user
    Show(OneArgs),
    /// Set a user's password
    Passwd(PasswdArgs),
    /// Lock a user out, and end all sessions of it
    Lock(OneArgs),
    /// Let a user in again that was locked, also for a while after failed logins
    Unlock(OneArgs),
    /// Delete a user with its API keys, and end all sessions of it
    Delete(OneArgs),
}

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct AddArgs {
    /// The name to log in with
    #[arg(value_parser = login)]
    username: Login,
    /// Its id, a token's `sub`, where it is not to be a random one
    #[arg(long, value_parser = user_id)]
    id: Option<UserId>,
    /// Its e-mail, good to log in with too
    #[arg(long, value_parser = login)]
    email: Option<Login>,
    /// The e-mail was shown to be the user's
    #[arg(long, requires = "email")]
    email_verified: bool,
    /// Its full name
    #[arg(long)]
    full_name: Option<String>,
    /// person, service or anonymous
    #[arg(long, default_value = "person", value_parser = kind)]
    kind: UserKind,
    /// A member of `roles`; may be repeated
    #[arg(long = "role")]
    roles: Vec<String>,
    /// A scope that it may be granted; may be repeated, and may hold several separated by blanks
    #[arg(long = "scope", value_parser = scopes)]
    scopes: Vec<String>,
    /// A further claim of its tokens; the value is JSON, or else text; may be repeated
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = user_claim)]
    claims: Vec<(String, Value)>,
    /// Ask for no password: it can log in by API keys alone
    #[arg(long)]
    no_password: bool,
    /// Take a password that the policy would refuse
    #[arg(long)]
    any_password: bool,
    /// Print the user as an object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
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
pub(super) struct OneArgs {
    #[command(flatten)]
    who: UserArg,
    /// Print an object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, clap::Args)]
pub(super) struct PasswdArgs {
    #[command(flatten)]
    who: UserArg,
    /// Take a password that the policy would refuse
    #[arg(long)]
    any_password: bool,
    /// End all sessions of the user too
    #[arg(long)]
    end_sessions: bool,
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
        Command::Show(args) => block_on(show(args))?,
        Command::Passwd(args) => block_on(passwd(args))?,
        Command::Lock(args) => block_on(lock(args))?,
        Command::Unlock(args) => block_on(unlock(args))?,
        Command::Delete(args) => block_on(delete(args))?,
    }
}

async fn add(args: &AddArgs) -> Outcome {
    if args.full_name.as_deref().is_some_and(|name| name.chars().any(char::is_control)) {
        return Err(Failure::usage(anyhow!("a full name has no control characters")));
    }
    let (accounts, log) = Accounts::open_to_change(&args.settings).await?;
    let (clock, random) = clock_and_random();
    let id = match &args.id {
        Some(id) => id.clone(),
        None => UserId::generate(random.as_ref())?,
    };
    let now = clock.now();
    let mut user = User {
        email: args.email.clone(),
        email_verified: args.email_verified,
        full_name: args.full_name.clone(),
        kind: args.kind,
        roles: args.roles.clone(),
        scopes: split_scopes(&args.scopes),
        claims: args.claims.iter().cloned().collect(),
        ..User::new(id, args.username.clone(), now)
    };
    if !args.no_password && args.kind != UserKind::Anonymous {
        user.password = Some(new_hash(&accounts.config, &user, args.any_password).await?);
    }
    accounts.store.add_user(&user).await.map_err(failed)?;
    write_event(&log, Event::UserAdded, &user, true, None);
    if args.json {
        Output::json(&user_json(&user))?;
    } else {
        Output::line(user.id.as_str())?;
    }
    Ok(Exit::Done)
}

/// The hash of a password that is read now and passes the policy.
async fn new_hash(
    config: &AccountsConfig,
    user: &User,
    any_password: bool,
) -> Result<Secret, Failure> {
    let password = read_new_password()?;
    let Some(text) = password.expose_str() else {
        return Err(Failure::usage(anyhow!("the password is not UTF-8")));
    };
    let email = user.email.as_ref().map(Login::as_str);
    let names = [Some(user.username.as_str()), email, user.full_name.as_deref()];
    let about: Vec<&str> = names.into_iter().flatten().collect();
    if !any_password && let Err(problems) = policy::check(&config.policy, text, &about) {
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        let told = problems.join("; ");
        return Err(Failure::no(anyhow!("this password is not good enough: {told}")));
    }
    passwords(config)?.hash(&password).await.map_err(|error| match error {
        PasswordError::TooLong => Failure::usage(error),
        PasswordError::Busy | PasswordError::Failed(_) => error.into(),
    })
}

async fn list(args: &ListArgs) -> Outcome {
    let accounts = Accounts::open(&args.settings).await?;
    let found = first_users(accounts.store.as_ref(), args.limit).await?;
    Output::list(&found, args.json, user_json, COLUMNS)?;
    Output::say_if_full(found.len(), args.limit);
    Ok(Exit::Done)
}

const COLUMNS: &[Column<User>] = &[
    ("ID", 24, |user| cell(user.id.as_str())),
    ("USERNAME", 24, |user| cell(user.username.as_str())),
    ("E-MAIL", 32, |user| cell(user.email.as_ref().map_or("-", Login::as_str))),
    ("KIND", 9, |user| user.kind.as_str().to_owned()),
    ("STATE", 7, |user| user.state.as_str().to_owned()),
    ("LAST LOGIN", 0, |user| time_cell(user.last_login)),
];

/// The first users by id, read page by page.
async fn first_users(store: &dyn AccountStore, limit: usize) -> Result<Vec<User>, Failure> {
    let mut found: Vec<User> = Vec::new();
    while found.len() < limit {
        let wanted = PAGE.min(limit - found.len());
        let after = found.last().map(|user| user.id.clone());
        let page = store.users(after.as_ref(), wanted).await.map_err(failed)?;
        let is_last = page.is_empty();
        found.extend(page);
        if is_last {
            break;
        }
    }
    Ok(found)
}

async fn show(args: &OneArgs) -> Outcome {
    let accounts = Accounts::open(&args.settings).await?;
    let user = accounts.user(&args.who.name).await?;
    let shown = user_json(&user);
    if args.json {
        Output::json(&shown)?;
        return Ok(Exit::Done);
    }
    let members = shown.as_object().into_iter().flatten();
    let lines: Vec<_> = members
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name:<15} {}", cell(text)),
            other => format!("{name:<15} {other}"),
        })
        .collect();
    Output::lines(&lines.join("\n"))?;
    Ok(Exit::Done)
}

async fn passwd(args: &PasswdArgs) -> Outcome {
    let (accounts, log) = Accounts::open_to_change(&args.settings).await?;
    let sessions = if args.end_sessions { Some(accounts.sessions().await?) } else { None };
    let user = accounts.user(&args.who.name).await?;
    if user.kind == UserKind::Anonymous {
        return Err(Failure::usage(anyhow!("an anonymous user has no password")));
    }
    let hash = new_hash(&accounts.config, &user, args.any_password).await?;
    let (clock, _) = clock_and_random();
    let is_set =
        accounts.store.set_password(&user.id, &hash, None, clock.now()).await.map_err(failed)?;
    let ended = match &sessions {
        Some(sessions) => end_all(sessions, &user.id).await.map(Some),
        None => Ok(None),
    };
    write_event(&log, Event::PasswordSet, &user, is_set, ended.as_ref().ok().copied().flatten());
    report(args.json, &user, "the password is set", ended?.unwrap_or_default(), is_set)
}

async fn lock(args: &OneArgs) -> Outcome {
    let (accounts, log) = Accounts::open_to_change(&args.settings).await?;
    // Opened before anything is done, so that the two are done together or not at all.
    let sessions = accounts.sessions().await?;
    let user = accounts.user(&args.who.name).await?;
    // First the lock: nobody opens a session after those that are ended here.
    let (clock, _) = clock_and_random();
    let is_set =
        accounts.store.set_state(&user.id, UserState::Locked, clock.now()).await.map_err(failed)?;
    let ended = end_all(&sessions, &user.id).await;
    write_event(&log, Event::UserLocked, &user, is_set, ended.as_ref().ok().copied());
    report(args.json, &user, "locked", ended?, is_set)
}

async fn unlock(args: &OneArgs) -> Outcome {
    let (accounts, log) = Accounts::open_to_change(&args.settings).await?;
    let limits = limits(&accounts.session_config).await?;
    let user = accounts.user(&args.who.name).await?;
    // First what was counted: where that cannot be forgotten, the user stays as it is.
    let logins = [Some(&user.username), user.email.as_ref()];
    let written = logins.into_iter().flatten().map(|name| AttemptName::written(name.canonical()));
    for name in written.chain([AttemptName::user(user.id.as_str())]) {
        limits.reset_failures(name.as_str()).await.map_err(Failure::unavailable)?;
    }
    let (clock, _) = clock_and_random();
    let is_set =
        accounts.store.set_state(&user.id, UserState::Active, clock.now()).await.map_err(failed)?;
    write_event(&log, Event::UserUnlocked, &user, is_set, None);
    report(args.json, &user, "unlocked", 0, is_set)
}

/// The limits, which count failed logins.
async fn limits(config: &SessionConfig) -> Result<Limits, Failure> {
    let store = open_stores(config).await.map_err(Failure::unavailable)?.records;
    let (clock, _) = clock_and_random();
    let metrics = StoreMetrics::default();
    Ok(Limits::new(Records::new(store, config.policy.timeout, clock, metrics)))
}

async fn delete(args: &OneArgs) -> Outcome {
    let (accounts, log) = Accounts::open_to_change(&args.settings).await?;
    let sessions = accounts.sessions().await?;
    let user = accounts.user(&args.who.name).await?;
    // In this order, so that the same command said again finishes what failed half-way: nobody opens
    // a session after those that are ended here, and the user is found until all of them are.
    let (clock, _) = clock_and_random();
    let is_set =
        accounts.store.set_state(&user.id, UserState::Locked, clock.now()).await.map_err(failed)?;
    let ended = end_all(&sessions, &user.id).await;
    let deleted = match &ended {
        Ok(_) => accounts.store.delete_user(&user.id).await.map_err(failed),
        Err(_) => Ok(false),
    };
    let count = ended.as_ref().ok().copied();
    match (&ended, &deleted) {
        (Ok(_), Ok(is_gone)) => write_event(&log, Event::UserDeleted, &user, *is_gone, count),
        _ => write_event(&log, Event::UserLocked, &user, is_set, count),
    }
    report(args.json, &user, "deleted", ended?, deleted?)
}

async fn end_all(sessions: &Sessions, user: &UserId) -> Result<u64, Failure> {
    let ended = sessions.revoke_user(user).await;
    ended.map_err(|error| {
        let what = "the user may not log in any more or has another password, but its sessions may \
                    live on; run the same again";
        Failure::unavailable(anyhow::Error::new(error).context(what))
    })
}

/// Tells the audit log what was done, and how many sessions ended where that is known. Where
/// somebody else has deleted the user in between, the end of its sessions is all that was done.
fn write_event(log: &CommandLog, event: Event, user: &User, is_done: bool, ended: Option<u64>) {
    let event = match ended {
        _ if is_done => event,
        Some(1..) => Event::RevokeAll,
        Some(0) | None => return,
    };
    let entry = log.event(event).user(user.id.as_str()).reason(COMMAND);
    match ended {
        Some(count) => entry.count(count).write(),
        None => entry.write(),
    }
}

/// Says what was done, and to whom; somebody else may have deleted the user in between.
fn report(as_json: bool, user: &User, what: &str, ended: u64, is_done: bool) -> Outcome {
    if as_json {
        let id = user.id.as_str();
        Output::json(&json!({ "id": id, "done": is_done, "sessions_ended": ended }))?;
    } else if is_done {
        let name = cell(user.username.as_str());
        Output::say(&format!(
            "{name} ({}): {what}, {ended} sessions ended",
            cell(user.id.as_str())
        ));
    } else {
        Output::say("the user is gone");
    }
    Ok(if is_done { Exit::Done } else { Exit::No })
}

/// A claim that a user may be given.
fn user_claim(text: &str) -> anyhow::Result<(String, Value)> {
    let (name, value) = claim(text)?;
    check_claim(&name)?;
    Ok((name, value))
}

fn kind(text: &str) -> Result<UserKind, &'static str> {
    UserKind::parse(text).ok_or("write person, service or anonymous")
}

/// Scopes that may stand several in one text.
pub(super) fn split_scopes(texts: &[String]) -> Vec<String> {
    texts.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect()
}
