//! `key rotate` and `key ring list`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};

use super::audit;
use super::output::Output;
use super::settings::SettingFlags;
use super::{Exit, Failure, Outcome, clock_and_random};
use crate::clock::UnixTime;
use crate::config::{Config, RotationConfig};
use crate::issuer::audit::Event;
use crate::secret::Secret;
use crate::token::key_file::{self, KeyFileError, NewKey, OtherKeys, RingKey, Rotated};
use crate::token::rotation::{KeyLifetime, RotationSchedule, RotationTimes, State};
use crate::token::{KeyId, algorithm};

#[derive(Debug, clap::Args)]
pub(super) struct RotateArgs {
    /// The key ring; made where there is none [default: KEY_RING_FILE]
    #[arg(long, value_name = "FILE")]
    ring: Option<PathBuf>,
    /// Take this private key in PEM over, in place of a new one
    #[arg(long, value_name = "FILE")]
    import: Option<PathBuf>,
    /// The time for which the new key is published before it signs [default: twice JWKS_REFRESH]; with
    /// 0 it signs at once, and those who do not know it yet refuse its first tokens
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32))]
    publish_ahead: Option<u32>,
    /// A key was stolen: let the new key sign at once, and drop every other one, those that are coming
    /// too; all tokens that they signed are refused
    #[arg(long, conflicts_with_all = ["publish_ahead", "token_lifetime"])]
    now: bool,
    /// The lifetime of access tokens [default: as EXPIRY says]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32))]
    token_lifetime: Option<u32>,
    /// The time for which an old key verifies after the new one signs [default: the tokens' lifetime
    /// and LEEWAY]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32), conflicts_with = "token_lifetime")]
    overlap: Option<u32>,
    /// Print an object with the whole ring, the new key last
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum RingCommand {
    /// Show every key: what it does now, and its times
    List(ListArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// The key ring [default: KEY_RING_FILE]
    #[arg(long, value_name = "FILE")]
    ring: Option<PathBuf>,
    /// Print an object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

pub(super) fn rotate(args: &RotateArgs) -> Outcome {
    let config = args.settings.load(Config::load_rotation)?;
    let path = path(args.ring.as_deref(), &config)?;
    let new = match &args.import {
        Some(file) => NewKey::Import(read_pem(file)?, config.algorithm),
        None => NewKey::Generate(config.algorithm),
    };
    let log = audit::open(&args.settings)?;
    let (clock, random) = clock_and_random();
    let others = args.others(&config)?;
    let Rotated { schedule, dropped } =
        key_file::rotate(&path, new, others, clock.as_ref(), random.as_ref())
            .map_err(|error| failure(&path, error))?;
    let (lifetime, key) = schedule.entries().last().context("the ring is empty")?;
    log.event(Event::SigningKeyAdded).reason(id(key)).write();
    for key in &dropped {
        log.event(Event::SigningKeyDropped).reason(id(key)).write();
        Output::say(&format!("key {} is dropped: no token that it signed is good", id(key)));
    }
    let now = clock.now();
    if args.json {
        Output::json(&as_json(&schedule, now))?;
        return Ok(Exit::Done);
    }
    Output::line(id(key))?;
    let when = if lifetime.signs_from <= now {
        "signs from now on".to_owned()
    } else {
        format!("is published now, and signs from {}", lifetime.signs_from)
    };
    Output::say(&format!("{} key {} {when}", algorithm::name(key.key().algorithm()), id(key)));
    for (lifetime, key) in schedule.entries() {
        if let Some(retires) = lifetime.retires {
            Output::say(&format!("key {} retires at {retires}", id(key)));
        }
    }
    Ok(Exit::Done)
}

impl RotateArgs {
    fn others(&self, config: &RotationConfig) -> Result<OtherKeys, Failure> {
        if self.now && self.overlap.is_some_and(|overlap| overlap > 0) {
            return Err(Failure::usage(anyhow!(
                "--now drops every other key at once, so that there is no --overlap; \
                 for a key that signs at once beside the old one write --publish-ahead 0"
            )));
        }
        if self.now {
            return Ok(OtherKeys::Drop);
        }
        let seconds = |given: u32| Duration::from_secs(given.into());
        let lifetime = self.token_lifetime.map_or(config.token_lifetime, seconds);
        Ok(OtherKeys::Retire(RotationTimes {
            publish_ahead: self.publish_ahead.map_or(config.publish_ahead, seconds),
            overlap: self.overlap.map_or(lifetime.saturating_add(config.leeway), seconds),
        }))
    }
}

pub(super) fn ring(command: &RingCommand) -> Outcome {
    let RingCommand::List(args) = command;
    let config = args.settings.load(Config::load_rotation)?;
    let path = path(args.ring.as_deref(), &config)?;
    let (schedule, _) = key_file::read(&path).map_err(|error| failure(&path, error))?;
    let (clock, _) = clock_and_random();
    let now = clock.now();
    if args.json {
        Output::json(&as_json(&schedule, now))?;
        return Ok(Exit::Done);
    }
    for (state, (lifetime, key)) in schedule.states(now) {
        let name = algorithm::name(key.key().algorithm());
        Output::line(&format!("{}  {name}  {:<9}  {}", id(key), state.as_str(), times(lifetime)))?;
    }
    Ok(Exit::Done)
}

fn path(named: Option<&Path>, config: &RotationConfig) -> Result<PathBuf, Failure> {
    named.map(Path::to_owned).or_else(|| config.ring.clone()).ok_or_else(|| {
        Failure::usage(anyhow!("which key ring? Write --ring FILE, or set KEY_RING_FILE"))
    })
}

fn read_pem(file: &Path) -> Result<Secret, Failure> {
    std::fs::read(file)
        .map(|pem| Secret::new(pem.trim_ascii()))
        .with_context(|| format!("cannot read {}", file.display()))
        .map_err(Failure::unavailable)
}

/// The operator's mistake, or a failure of the file or the disk.
fn failure(path: &Path, error: KeyFileError) -> Failure {
    let is_usage = matches!(
        error,
        KeyFileError::Symmetric(_) | KeyFileError::NewKey(_) | KeyFileError::Duplicate(_)
    );
    let error = anyhow::Error::new(error).context(format!("key ring {}", path.display()));
    if is_usage { Failure::usage(error) } else { Failure::unavailable(error) }
}

fn id(key: &RingKey) -> &str {
    key.key().id().map_or("(no name)", KeyId::as_str)
}

fn times(lifetime: &KeyLifetime) -> String {
    let retires = lifetime.retires.map(|at| format!("  retires {at}")).unwrap_or_default();
    format!("created {}  signs from {}{retires}", lifetime.created, lifetime.signs_from)
}

fn as_json(schedule: &RotationSchedule<RingKey>, now: UnixTime) -> Value {
    let key = |(state, (lifetime, key)): (State, &(KeyLifetime, RingKey))| {
        json!({
            "kid": id(key),
            "algorithm": algorithm::name(key.key().algorithm()),
            "state": state.as_str(),
            "created": lifetime.created.as_secs(),
            "signs_from": lifetime.signs_from.as_secs(),
            "retires": lifetime.retires.map(UnixTime::as_secs),
        })
    };
    json!({ "keys": schedule.states(now).map(key).collect::<Vec<_>>() })
}
