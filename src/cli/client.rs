//! `client add`, `list`, `rotate`, `delete`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value, json};

use super::accounts::{cell, failed, load, open, secret_is_void, time_json};
use super::audit::{self, COMMAND};
use super::output::Output;
use super::session::sessions;
use super::settings::SettingFlags;
use super::token::scopes;
use super::user::split_scopes;
use super::{Exit, Failure, Outcome, block_on, clock_and_random};
use crate::account::{AccountError, Client, ClientSecret, KeyDigest, SECRET_OVERLAP};
use crate::clock::UnixTime;
use crate::issuer::audit::Event;
use crate::issuer::issue::CLIENT_ID;
use crate::issuer::subject::CLIENT_PREFIX;
use crate::opaque;
use crate::secret::Secret;
use crate::session::{Filter, Session, Sessions, UserId};
use crate::store::StoreError;
use crate::token::jwks;

/// The longest `client_id`, in bytes.
const MAX_ID_BYTES: usize = 128;
/// How long looking through all sessions may take.
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
    /// What people call it
    #[arg(long)]
    label: Option<String>,
    /// A grant that it may use: password, client_credentials, refresh_token, api-key; may be repeated
    #[arg(long = "grant", value_parser = grant)]
    grants: Vec<String>,
    /// What it may be granted; may be repeated, and may hold several separated by blanks
    #[arg(long = "scope", value_parser = scopes)]
    scopes: Vec<String>,
    /// Whom its tokens may be for, beside the usual audience; may be repeated
    #[arg(long = "audience")]
    audiences: Vec<String>,
    /// It may ask what any token is
    #[arg(long)]
    introspect: bool,
    /// Its public keys (a JWK Set), by which it signs assertions in place of a secret
    #[arg(long, value_name = "FILE", conflicts_with = "public")]
    jwks: Option<PathBuf>,
    /// It can keep no secret, and has none
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
    /// How long the old secret stays good
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
    let (config, _) = load(&args.settings)?;
    let (clock, _) = clock_and_random();
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
    let log = audit::open(&args.settings)?;
    let store = open(&config).await?;
    if store.client(&client.id).await.map_err(failed)?.is_some() {
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
    store.add_client(&client).await.map_err(|error| secret_is_void(failed(error)))?;
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

/// A secret, and what is kept of it.
fn new_secret() -> anyhow::Result<(Secret, ClientSecret)> {
    let (_, random) = clock_and_random();
    let secret = opaque::generate(random.as_ref())?;
    let kept = ClientSecret { digest: KeyDigest::of(&secret), expires: None };
    Ok((secret, kept))
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
    serde_json::from_slice(&content).with_context(|| path.display().to_string())
}

async fn list(args: &ListArgs) -> Outcome {
    let (config, _) = load(&args.settings)?;
    let store = open(&config).await?;
    let found = store.clients().await.map_err(failed)?;
    if args.json {
        Output::json(&found.iter().map(to_json).collect())?;
    } else {
        Output::lines(&table(&found))?;
    }
    Ok(Exit::Done)
}

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

fn table(clients: &[Client]) -> String {
    let mut lines = vec![format!(
        "{:<24} {:<20} {:<10} {:<32} {:<24} LABEL",
        "CLIENT", "CREATED", "SHOWS", "GRANTS", "SCOPES"
    )];
    lines.extend(clients.iter().map(|client| {
        let shows = match (client.secrets.is_empty(), &client.jwks) {
            (false, _) => "a secret",
            (true, Some(_)) => "a key",
            (true, None) => "nothing",
        };
        format!(
            "{:<24} {:<20} {:<10} {:<32} {:<24} {}",
            cell(&client.id),
            client.created.to_string(),
            shows,
            cell(&client.grants.join(",")),
            cell(&client.scopes.join(" ")),
            cell(client.label.as_deref().unwrap_or("-"))
        )
    }));
    lines.join("\n")
}

async fn rotate(args: &RotateArgs) -> Outcome {
    let (config, _) = load(&args.settings)?;
    let log = audit::open(&args.settings)?;
    let store = open(&config).await?;
    let Some(mut client) = store.client(&args.id).await.map_err(failed)? else {
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
    let changed = store.change_client(&client).await;
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

/// The new secret behind the newest of the old ones, if that is to be good for a while.
fn replaced(
    old: &[ClientSecret],
    new: ClientSecret,
    now: UnixTime,
    overlap: u64,
) -> Vec<ClientSecret> {
    let end = now.after(Duration::from_secs(overlap));
    let newest = old.iter().rfind(|secret| secret.is_live(now)).map(|secret| ClientSecret {
        expires: Some(secret.expires.map_or(end, |expires| expires.min(end))),
        digest: secret.digest.clone(),
    });
    newest.into_iter().filter(|secret| secret.is_live(now)).chain([new]).collect()
}

async fn delete(args: &DeleteArgs) -> Outcome {
    let (config, mut session_config) = load(&args.settings)?;
    let log = audit::open(&args.settings)?;
    let store = open(&config).await?;
    session_config.policy.timeout = session_config.policy.timeout.max(SCAN_TIMEOUT);
    let sessions = sessions(&session_config).await?;
    let client = store.client(&args.id).await.map_err(failed)?;
    let Some(client) = client else {
        return Err(Failure::no(anyhow!("there is no client {:?}", args.id)));
    };
    // In this order, so that the same command said again finishes what failed half-way: nothing is
    // issued to it after those sessions that are ended here, and it is found until all of them are.
    let locked = Client { grants: Vec::new(), introspects: false, ..client };
    let is_set = store.change_client(&locked).await.map_err(failed)?;
    let ended = end_sessions_of(&sessions, &locked.id).await;
    let deleted = match &ended {
        Ok(_) => store.delete_client(&locked.id).await.map_err(failed),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_secret_ends_with_the_overlap_and_never_lives_longer() {
        let secret = |name: &str, expires: Option<u64>| ClientSecret {
            digest: KeyDigest::of(&Secret::new(name)),
            expires: expires.map(UnixTime::from_secs),
        };
        let now = UnixTime::from_secs(100);
        let new = || secret("new", None);
        for (old, overlap, expected) in [
            (vec![secret("a", None)], 50, vec![secret("a", Some(150)), new()]),
            (vec![secret("a", None)], 0, vec![new()]),
            (vec![secret("a", Some(120))], 50, vec![secret("a", Some(120)), new()]),
            (vec![secret("a", Some(90))], 50, vec![new()]),
            (
                vec![secret("a", Some(190)), secret("b", None)],
                50,
                vec![secret("b", Some(150)), new()],
            ),
        ] {
            assert_eq!(replaced(&old, new(), now, overlap), expected, "{old:?} {overlap}");
        }
    }
}
