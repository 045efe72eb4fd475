//! `policy rule add`, `remove`, `list` and `import`: Casbin's rules in the database of accounts.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use clap::ValueHint;
use serde_json::json;

use super::accounts::{self, cell, failed, refused};
use super::audit;
use super::output::{Column, Output};
use super::settings::SettingFlags;
use super::{Exit, Failure, Outcome, block_on, clock_and_random};
use crate::account::StoredRule;
use crate::app::{AccountDatabase, open_account_database};
use crate::config::Config;
use crate::issuer::audit::Audit;
use crate::issuer::rules::{PolicyAccess, Rules};
use crate::issuer::users::Actor;
use crate::policy::{PolicyRule, SharedCasbin};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Add a rule; every gate decides by it within SESSION_STALENESS
    Add(RuleArgs),
    /// Remove a rule
    Remove(RuleArgs),
    /// List the rules
    List(ListArgs),
    /// Add the rules of a file of Casbin's, all or none
    Import(ImportArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct RuleArgs {
    /// Its kind, p or g, and its values: `p editor article:* GET allow`
    #[arg(value_name = "VALUE", required = true, num_args = 2.., allow_hyphen_values = true)]
    rule: Vec<String>,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Print an object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// The rules, in comma-separated lines
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    #[command(flatten)]
    settings: SettingFlags,
}

pub(super) fn run(command: &Command) -> Outcome {
    match command {
        Command::Add(args) => block_on(add(args))?,
        Command::Remove(args) => block_on(remove(args))?,
        Command::List(args) => block_on(list(args))?,
        Command::Import(args) => block_on(import(args))?,
    }
}

/// The part of the issuer that keeps the rules, over the configured database and model.
async fn open(flags: &SettingFlags, audit: Audit) -> Result<Rules, Failure> {
    let (accounts, casbin) = flags.load(Config::load_rules)?;
    let opened = open_account_database(&accounts).await.map_err(Failure::unavailable)?;
    let AccountDatabase { accounts, rules: store, .. } = opened;
    let casbin = SharedCasbin::new(casbin.into());
    let (changed, user_prefix) = (Arc::default(), String::new());
    let (clock, _) = clock_and_random();
    let access = PolicyAccess { store, casbin, changed, user_prefix };
    Ok(Rules::new(access, accounts, audit, clock))
}

fn rule_of(values: &[String]) -> Result<PolicyRule, Failure> {
    PolicyRule::new(values.to_vec()).map_err(Failure::usage)
}

async fn add(args: &RuleArgs) -> Outcome {
    let rule = rule_of(&args.rule)?;
    let log = audit::open(&args.settings)?;
    let rules = open(&args.settings, log.audit()).await?;
    let added = rules.add(vec![rule], Actor::Command).await.map_err(refused)?;
    Ok(told(added, "the rule is there already"))
}

async fn remove(args: &RuleArgs) -> Outcome {
    let rule = rule_of(&args.rule)?;
    let log = audit::open(&args.settings)?;
    let rules = open(&args.settings, log.audit()).await?;
    let removed = rules.remove(&[rule], Actor::Command).await.map_err(refused)?;
    Ok(told(removed, "there is no such rule"))
}

fn told(changed: u64, otherwise: &str) -> Exit {
    if changed == 0 {
        Output::say(otherwise);
        return Exit::No;
    }
    Exit::Done
}

async fn list(args: &ListArgs) -> Outcome {
    let (config, _) = accounts::load(&args.settings)?;
    let database = open_account_database(&config).await.map_err(Failure::unavailable)?;
    let found = database.rules.rules().await.map_err(failed)?;
    Output::list(&found.rules, args.json, rule_json, COLUMNS)?;
    Ok(Exit::Done)
}

fn rule_json(rule: &StoredRule) -> serde_json::Value {
    let values: Vec<_> = std::iter::once(&rule.kind).chain(&rule.fields).collect();
    json!({
        "rule": values,
        "created": rule.created.to_string(),
        "created_by": rule.created_by,
    })
}

const COLUMNS: &[Column<StoredRule>] = &[
    ("CREATED", 21, |rule| rule.created.to_string()),
    ("BY", 14, |rule| cell(&rule.created_by)),
    ("RULE", 0, |rule| {
        let (kind, fields) = (rule.kind.clone(), rule.fields.clone());
        cell(&PolicyRule { kind, fields }.to_string())
    }),
];

async fn import(args: &ImportArgs) -> Outcome {
    let path = args.file.display();
    let text = std::fs::read_to_string(&args.file);
    let text = text.with_context(|| format!("cannot read {path}")).map_err(Failure::unavailable)?;
    let read = PolicyRule::parse_all(&text);
    let read = read.map_err(|(line, bad)| Failure::usage(anyhow!("{path}, line {line}: {bad}")))?;
    let all: Vec<_> = read.into_iter().map(|(_, rule)| rule).collect();
    let (log, total) = (audit::open(&args.settings)?, all.len());
    let rules = open(&args.settings, log.audit()).await?;
    let added = rules.add(all, Actor::Command).await.map_err(refused)?;
    Output::say(&format!("{total} rules, of which {added} were not there yet"));
    Ok(Exit::Done)
}
