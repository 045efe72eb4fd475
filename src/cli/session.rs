//! `session list` and `session revoke`.

use std::borrow::Cow;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};

use super::accounts::{self, ambiguous_user, sessions};
use super::audit::{self, COMMAND};
use super::output::{Column, Output};
use super::settings::SettingFlags;
use super::token::argument_or_stdin;
use super::{Exit, Failure, Outcome, block_on, clock_and_random, load_sessions};
use crate::account::{self, AccountStore, UserLookup};
use crate::app::open_accounts;
use crate::config::{AccountStoreConfig, AccountsConfig};
use crate::issuer::audit::Event;
use crate::session::{DeviceId, Filter, Session, SessionId, UserId};
use crate::store::StoreError;
use crate::token::claims::Claims;
use crate::token::jws;

/// The longest token that is looked into, in bytes.
const MAX_TOKEN_BYTES: usize = 1 << 20;

/// The reason for which `session list` lists nothing.
#[derive(Debug, thiserror::Error)]
#[error(
    "sessions are kept in memcached, which cannot list them; `session revoke` ends them by id, by \
     token or by user"
)]
struct CannotList;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List sessions
    List(ListArgs),
    /// End sessions; the gates refuse them within SESSION_STALENESS
    Revoke(RevokeArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Only this user's: a username, an e-mail, or an id
    #[arg(long)]
    user: Option<String>,
    /// Also those that have expired
    #[arg(long)]
    all: bool,
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
#[group(id = "which", required = true, multiple = false, args = ["ids", "token", "user"])]
pub(super) struct RevokeArgs {
    /// The sessions, by their ids
    ids: Vec<String>,
    /// The session that this token names; `-` reads it from standard input
    #[arg(long, allow_hyphen_values = true)]
    token: Option<String>,
    /// All sessions of this user: a username, an e-mail, or an id
    #[arg(long)]
    user: Option<String>,
    /// Print an object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

pub(super) fn run(command: &Command) -> Outcome {
    match command {
        Command::List(args) => block_on(list(args))?,
        Command::Revoke(args) => block_on(revoke(args))?,
    }
}

/// Users that `--user` names.
struct TargetUsers {
    /// The user of that name; and whoever has the name itself for an id, as the hook's users and
    /// clients may.
    ids: Vec<UserId>,
    /// Says whether accounts know him. Users of the hook and clients have sessions, and no account.
    is_known: bool,
}

impl TargetUsers {
    /// The users that `who` names. Accounts that do not answer keep nobody's sessions alive: then
    /// it is taken for an id.
    async fn find(settings: &SettingFlags, who: &str) -> Result<Self, Failure> {
        let (config, _) = accounts::load(settings)?;
        let asked = async {
            let Some(store) = open_if_there(&config).await? else {
                return Ok(UserLookup::NotFound);
            };
            Ok::<_, anyhow::Error>(account::find_user(store.as_ref(), who).await?)
        };
        match asked.await {
            Ok(UserLookup::Found(user)) => {
                let by_id = UserId::parse(who).ok().filter(|id| *id != user.id);
                let ids = [user.id].into_iter().chain(by_id).collect();
                return Ok(Self { ids, is_known: true });
            }
            Ok(UserLookup::Ambiguous { by_login, .. }) => {
                return Err(ambiguous_user(who, &by_login));
            }
            Ok(UserLookup::NotFound) => {}
            Err(error) => Output::say(&format!(
                "the accounts do not answer, so {who:?} is taken for an id: {error:#}"
            )),
        }
        let id = UserId::parse(who).map_err(Failure::usage)?;
        Ok(Self { ids: vec![id], is_known: false })
    }

    /// The answer where he has no session.
    fn without_sessions(&self) -> Result<(), Failure> {
        if self.is_known {
            return Ok(());
        }
        let who = self.ids.first().map_or("", UserId::as_str);
        Err(Failure::no(anyhow!("there is no user {who:?}, and no session of one")))
    }
}

/// The store of accounts; none where its file was never made, which looking must not change.
async fn open_if_there(config: &AccountsConfig) -> anyhow::Result<Option<Arc<dyn AccountStore>>> {
    match &config.store {
        AccountStoreConfig::Sqlite(path) if !path.exists() => Ok(None),
        _ => Ok(Some(open_accounts(config).await?)),
    }
}

async fn list(args: &ListArgs) -> Outcome {
    let config = load_sessions(&args.settings)?;
    let target = match &args.user {
        Some(who) => Some(TargetUsers::find(&args.settings, who).await?),
        None => None,
    };
    let (clock, _) = clock_and_random();
    let live_at = (!args.all).then(|| clock.now());
    let of = |user: Option<&UserId>| Filter { user: user.cloned(), live_at };
    let filters = match &target {
        Some(target) => target.ids.iter().map(|id| of(Some(id))).collect(),
        None => vec![of(None)],
    };
    let sessions = sessions(&config).await?;
    let mut found = Vec::new();
    for filter in &filters {
        let listed = sessions.list(filter, args.limit).await.map_err(|error| match error {
            StoreError::CannotList => Failure::usage(CannotList),
            error => Failure::unavailable(error),
        })?;
        found.extend(listed);
    }
    if let Some(target) = target.filter(|_| found.is_empty()) {
        target.without_sessions()?;
    }
    Output::list(&found, args.json, to_json, COLUMNS)?;
    Output::say_if_full(found.len(), args.limit);
    Ok(Exit::Done)
}

const COLUMNS: &[Column<Session>] = &[
    ("SESSION", 24, |it| it.id.as_str().to_owned()),
    ("USER", 20, |it| accounts::cell(it.user.as_str())),
    ("CREATED", 20, |it| it.created.to_string()),
    ("LAST SEEN", 20, |it| it.last_seen.to_string()),
    ("EXPIRES", 20, |it| it.expires.to_string()),
    ("DEVICE", 0, device),
];

/// The device of a session; debug formatting keeps what clients wrote from moving the cursor.
fn device(session: &Session) -> String {
    let name = session.device.readable_name().unwrap_or_else(|| "-".to_owned());
    let address = session.device.address.map_or_else(String::new, |it| format!(" {it}"));
    format!("{name:?}{address}")
}

fn to_json(session: &Session) -> Value {
    json!({
        "id": session.id.as_str(),
        "user": session.user.as_str(),
        "created": session.created.to_string(),
        "last_seen": session.last_seen.to_string(),
        "expires": session.expires.to_string(),
        "device_id": session.device.id.as_ref().map(DeviceId::as_str),
        "device": session.device.readable_name(),
        "user_agent": session.device.user_agent,
        "address": session.device.address,
        "claims": session.claims,
    })
}

async fn revoke(args: &RevokeArgs) -> Outcome {
    let config = load_sessions(&args.settings)?;
    let log = audit::open(&args.settings)?;
    let sessions = Arc::new(sessions(&config).await?);
    let (ended, all_there) = if let Some(who) = &args.user {
        let target = TargetUsers::find(&args.settings, who).await?;
        let mut ended = 0;
        for id in &target.ids {
            let of_user = sessions.revoke_user(id).await.map_err(Failure::unavailable)?;
            if of_user > 0 {
                let all = log.event(Event::RevokeAll).user(id.as_str()).reason(COMMAND);
                all.count(of_user).write();
            }
            ended += of_user;
        }
        if ended == 0 {
            target.without_sessions()?;
        }
        (ended, true)
    } else {
        let ids = match &args.token {
            Some(token) => vec![session_of(&argument_or_stdin(token)?)?],
            None => args.ids.clone(),
        };
        // All are read before the first is ended: a slip in one of them ends none.
        let ids: Result<Vec<_>, _> = ids.iter().map(|id| SessionId::parse(id)).collect();
        let (mut ended, mut all_there) = (0, true);
        for id in ids.map_err(Failure::usage)? {
            let ended_user = sessions.revoke(&id).await.map_err(Failure::unavailable)?;
            if let Some(user) = ended_user {
                ended += 1;
                let one = log.event(Event::Revoke).user(user.as_str()).session(&id);
                one.reason(COMMAND).write();
                Output::say(&format!("session {id} of {user} is over"));
            } else {
                all_there = false;
                Output::say(&format!("there is no session {id}"));
            }
        }
        (ended, all_there)
    };
    if args.json {
        Output::json(&json!({ "ended": ended }))?;
    } else if args.user.is_some() && !sessions.lists() {
        // It cannot say how many those were.
        Output::say(if ended > 0 { "all are over" } else { "there was none" });
    } else {
        Output::say(&format!("{ended} ended"));
    }
    // One that is not there may be a slip, and then the session that was meant lives on.
    Ok(if ended > 0 && all_there { Exit::Done } else { Exit::No })
}

/// The session that a token names. The token need not be good any more: whoever may write to the
/// store may end any session, and an expired token's session may well live.
fn session_of(token: &str) -> Result<String, Failure> {
    let parts = jws::split(token, MAX_TOKEN_BYTES).map_err(Failure::usage)?;
    let payload = jws::decode(parts.payload).map_err(Failure::usage)?;
    let claims = Claims::parse(&payload).map_err(Failure::usage)?;
    let id = claims.text("sid").map_err(Failure::usage)?.map(Cow::into_owned);
    id.context("the token names no session").map_err(Failure::usage)
}
