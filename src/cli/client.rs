//! `client add`, `list`, `rotate`, `delete`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value, json};

use super::accounts::{Accounts, cell, failed, secret_is_void, time_json};
use super::audit::COMMAND;
use super::client_secret::{new_secret, replaced};
use super::output::{Column, Output};
use super::settings::SettingFlags;
use super::token::scopes;
use super::user::split_scopes;
use super::{Exit, Failure, Outcome, block_on, clock_and_random};
use crate::account::{AccountError, Client, SECRET_OVERLAP};
use crate::issuer::audit::Event;
use crate::issuer::issue::CLIENT_ID;
use crate::issuer::subject::CLIENT_PREFIX;
use crate::session::{Filter, Session, Sessions, UserId};
use crate::store::StoreError;
use crate::token::jwks;
use crate::wire::json;

/// The longest `client_id`, in bytes.
const MAX_ID_BYTES: usize = 128;
/// The time that looking through all sessions may take.
const SCAN_TIMEOUT: Duration = Duration::from_secs(120);
/// The grants that there are, as in `grant_type`.
const GRANTS: [&str; 4] =
    ["password", "client_credentials", "refresh_token", "urn:portcullis:grant-type:api-key"];
/// The grants of one that says nothing else, and can keep a secret; and of one that cannot.
const CONFIDENTIAL_GRANTS: &[&str] = &["client_credentials"];
const PUBLIC_GRANTS: &[&str] = &["password", "refresh_token"];

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Add a client; its secret is alone on standard output, this once
    Add(AddArgs),
    /// List clients by id
    List(ListArgs),
    /// Give a client a new secret; the old one stays good for a while
    Rotate(RotateArgs),
    /// Delete a client, and end all sessions that were opened by it
    Delete(DeleteArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct AddArgs {
    /// Its `client_id`
    #[arg(value_parser = client_id)]
    id: String,
    /// A name for people to read
    #[arg(long)]
    label: Option<String>,
    /// A grant that it may use: password, client_credentials, refresh_token, api-key; may be repeated
    #[arg(long = "grant", value_parser = grant)]
    grants: Vec<String>,
    /// A scope that it may be granted; may be repeated, and may hold several separated by blanks
    #[arg(long = "scope", value_parser = scopes)]
    scopes: Vec<String>,
    /// An audience that its tokens may be for, beside the usual one; may be repeated
    #[arg(long = "audience")]
    audiences: Vec<String>,
    /// Let it use /introspect for any token
    #[arg(long)]
    introspect: bool,
    /// Its public keys (a JWK Set), by which it signs assertions in place of a secret
    #[arg(long, value_name = "FILE", conflicts_with = "public")]
    jwks: Option<PathBuf>,
    /// Make it a public client, which can keep no secret and has none
    #[arg(long, conflicts_with = "introspect")]
    public: bool,
    /// Print an object with the client and its secret
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Print an array of objects
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, clap::Args)]
pub(super) struct RotateArgs {
    /// Its `client_id`
    id: String,
    /// The time for which the old secret stays good
    #[arg(long, value_name = "SECONDS", default_value_t = SECRET_OVERLAP.as_secs())]
    overlap: u64,
    /// Print an object with the secret
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, clap::Args)]
pub(super) struct DeleteArgs {
    /// Its `client_id`
    id: String,
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
        Command::Rotate(args) => block_on(rotate(args))?,
        Command::Delete(args) => block_on(delete(args))?,
    }
}

async fn add(args: &AddArgs) -> Outcome {
    let usual = if args.public { PUBLIC_GRANTS } else { CONFIDENTIAL_GRANTS };
    let grants = match args.grants.as_slice() {
        [] => usual.iter().map(|grant| (*grant).to_owned()).collect(),
        given => given.to_vec(),
    };
    if args.public && grants.iter().any(|grant| grant == "client_credentials") {
        // RFC 6749, section 4.4.
        return Err(Failure::usage(anyhow!(
            "a public client has no credentials to be granted for"
        )));
    }
    let jwks = args.jwks.as_deref().map(read_jwks).transpose().map_err(Failure::usage)?;
    let has_secret = !args.public && jwks.is_none();
    let secret = if has_secret { Some(new_secret()?) } else { None };
    let (clock, _) = clock_and_random();
    let client = Client {
        id: args.id.clone(),
        label: args.label.clone(),
        secrets: secret.iter().map(|(_, kept)| kept.clone()).collect(),
        jwks,
        grants,
        scopes: split_scopes(&args.scopes),
        audiences: args.audiences.clone(),
        introspects: args.introspect,
        created: clock.now(),
    };
    let (accounts, log) = Accounts::open_to_change(&args.settings).await?;
    if accounts.store.client(&client.id).await.map_err(failed)?.is_some() {
        return Err(failed(AccountError::Taken("client id")));
    }
    // First the secret: nothing may be kept that nobody holds.
    let secret = secret.as_ref().and_then(|(secret, _)| secret.expose_str());
    if args.json {
        let mut shown = to_json(&client);
        shown["secret"] = json!(secret);
        Output::secret(&shown.to_string())?;
    } else if let Some(secret) = secret {
        Output::secret(secret)?;
    }
    accounts.store.add_client(&client).await.map_err(|error| secret_is_void(failed(error)))?;
    log.event(Event::ClientAdded).client(Some(&client.id)).reason(COMMAND).write();
    if !args.json {
        let id = &client.id;
        Output::say(&match secret {
            Some(_) => format!("the secret of client {id}; it is shown this once"),
            None => format!("client {id} is added; it has no secret"),
        });
    }
    Ok(Exit::Done)
}

/// A JWK Set with a key that can be used, and none that ought to be secret.
fn read_jwks(path: &Path) -> anyhow::Result<Value> {
    let content = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    if jwks::holds_private_key(&content) {
        bail!("{} holds a private key; only the client may have it", path.display());
    }
    let set = jwks::parse(&content, None).with_context(|| path.display().to_string())?;
    for skipped in &set.skipped {
        Output::say(&skipped.to_string());
    }
    set.usable().with_context(|| path.display().to_string())?;
    json::from_slice(&content).with_context(|| path.display().to_string())
}

async fn list(args: &ListArgs) -> Outcome {
    let accounts = Accounts::open(&args.settings).await?;
    let found = accounts.store.clients().await.map_err(failed)?;
    Output::list(&found, args.json, to_json, COLUMNS)?;
    Ok(Exit::Done)
}

const COLUMNS: &[Column<Client>] = &[
    ("CLIENT", 24, |client| cell(&client.id)),
    ("CREATED", 20, |client| client.created.to_string()),
    ("SHOWS", 10, |client| match (client.secrets.is_empty(), &client.jwks) {
        (false, _) => "a secret".to_owned(),
        (true, Some(_)) => "a key".to_owned(),
        (true, None) => "nothing".to_owned(),
    }),
    ("GRANTS", 32, |client| cell(&client.grants.join(","))),
    ("SCOPES", 24, |client| cell(&client.scopes.join(" "))),
    ("LABEL", 0, |client| cell(client.label.as_deref().unwrap_or("-"))),
];

fn to_json(client: &Client) -> Value {
    let secrets: Vec<_> = client
        .secrets
        .iter()
        .map(|secret| json!({ "expires": time_json(secret.expires) }))
        .collect();
    json!({
        "id": client.id,
        "label": client.label,
        "secrets": secrets,
        "jwks": client.jwks,
        "grants": client.grants,
        "scopes": client.scopes,
        "audiences": client.audiences,
        "introspects": client.introspects,
        "created": client.created.to_string(),
    })
}

async fn rotate(args: &RotateArgs) -> Outcome {
    let (accounts, log) = Accounts::open_to_change(&args.settings).await?;
    let Some(mut client) = accounts.store.client(&args.id).await.map_err(failed)? else {
        return Err(Failure::no(anyhow!("there is no client {:?}", args.id)));
    };
    if client.secrets.is_empty() {
        return Err(Failure::usage(anyhow!("client {:?} has no secret to replace", args.id)));
    }
    let (clock, _) = clock_and_random();
    let (secret, kept) = new_secret()?;
    client.secrets = replaced(&client.secrets, kept, clock.now(), args.overlap);
    let old_until = client.secrets.first().and_then(|secret| secret.expires);
    let shown = secret.expose_str().unwrap_or_default();
    // First the secret: where it cannot be shown, the old one must not end.
    if args.json {
        let old_until = time_json(old_until);
        let shown = json!({ "id": client.id, "secret": shown, "old_until": old_until });
        Output::secret(&shown.to_string())?;
    } else {
        Output::secret(shown)?;
    }
    let changed = accounts.store.change_client(&client).await;
    if !changed.map_err(|error| secret_is_void(failed(error)))? {
        return Err(secret_is_void(Failure::no(anyhow!("there is no client {:?}", args.id))));
    }
    log.event(Event::ClientRotated).client(Some(&client.id)).reason(COMMAND).write();
    if args.json {
        return Ok(Exit::Done);
    }
    Output::say(&match old_until {
        Some(time) => {
            format!("the old secret is good until {time}; the new one is shown this once")
        }
        None => "the old secret is of no use any more; the new one is shown this once".to_owned(),
    });
    Ok(Exit::Done)
}

async fn delete(args: &DeleteArgs) -> Outcome {
    let (mut accounts, log) = Accounts::open_to_change(&args.settings).await?;
    let timeout = &mut accounts.session_config.policy.timeout;
    *timeout = SCAN_TIMEOUT.max(*timeout);
    let sessions = accounts.sessions().await?;
    let client = accounts.store.client(&args.id).await.map_err(failed)?;
    let Some(client) = client else {
        return Err(Failure::no(anyhow!("there is no client {:?}", args.id)));
    };
    // In this order, so that the same command said again finishes what failed half-way: nothing is
    // issued to it after those sessions that are ended here, and it is found until all of them are.
    let locked = Client { grants: Vec::new(), introspects: false, ..client };
    let is_set = accounts.store.change_client(&locked).await.map_err(failed)?;
    let ended = end_sessions_of(&sessions, &locked.id).await;
    let deleted = match &ended {
        Ok(_) => accounts.store.delete_client(&locked.id).await.map_err(failed),
        Err(_) => Ok(false),
    };
    let event = match (&ended, &deleted) {
        (Ok(_), Ok(true)) => Some(Event::ClientDeleted),
        (Ok(_), Ok(false)) => None,
        _ => is_set.then_some(Event::ClientLocked),
    };
    if let Some(event) = event {
        let entry = log.event(event).client(Some(&locked.id)).reason(COMMAND);
        match &ended {
            Ok(count) => entry.count(*count).write(),
            Err(_) => entry.write(),
        }
    }
    report_deletion(args, &sessions, ended?, deleted?)
}

fn report_deletion(args: &DeleteArgs, sessions: &Sessions, ended: u64, is_gone: bool) -> Outcome {
    let id = cell(&args.id);
    if args.json {
        Output::json(&json!({ "id": args.id, "done": is_gone, "sessions_ended": ended }))?;
    } else if is_gone {
        Output::say(&format!("client {id} is deleted, {ended} sessions ended"));
    } else {
        Output::say("the client is gone");
    }
    if !sessions.lists() {
        Output::say(
            "sessions are in memcached, which cannot list them: what people opened by this client is \
             not refreshed any more, and ends with its access token (EXPIRY)",
        );
    }
    Ok(if is_gone { Exit::Done } else { Exit::No })
}

/// Ends what a client has open: its own sessions, and those that people opened by it.
async fn end_sessions_of(sessions: &Sessions, client: &str) -> Result<u64, Failure> {
    let ended = async {
        let mut ended = match UserId::parse(&format!("{CLIENT_PREFIX}{client}")) {
            Ok(own) => sessions.revoke_user(&own).await?,
            Err(_) => 0,
        };
        if sessions.lists() {
            let all = sessions.list(&Filter::default(), usize::MAX).await?;
            let named = |session: &&Session| {
                session.claims.get(CLIENT_ID).and_then(Value::as_str) == Some(client)
            };
            for session in all.iter().filter(named) {
                ended += u64::from(sessions.revoke(&session.id).await?.is_some());
            }
        }
        Ok::<_, StoreError>(ended)
    };
    ended.await.map_err(|error| {
        let what = "nothing is issued to the client any more, but its sessions may live on; run the \
                    same again";
        Failure::unavailable(anyhow::Error::new(error).context(what))
    })
}

fn client_id(text: &str) -> anyhow::Result<String> {
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_visible || !(1..=MAX_ID_BYTES).contains(&text.len()) {
        bail!("a client id is 1 to {MAX_ID_BYTES} visible ASCII characters");
    }
    Ok(text.to_owned())
}

fn grant(text: &str) -> Result<String, String> {
    let found = GRANTS.iter().find(|grant| {
        **grant == text || grant.strip_prefix("urn:portcullis:grant-type:") == Some(text)
    });
    found.map(|grant| (*grant).to_owned()).ok_or_else(|| format!("one of {}", GRANTS.join(", ")))
}
