//! `role list`, `role grant` and `role revoke`.

use std::sync::Arc;

use serde_json::json;

use super::accounts::{Accounts, UserArg, cell, failed, refused};
use super::output::{Column, Output};
use super::settings::SettingFlags;
use super::{Exit, Outcome, block_on};
use crate::account::RoleName;
use crate::issuer::roles::{RoleChange, Roles};
use crate::issuer::users::Actor;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List all roles that users have
    List(ListArgs),
    /// Give a user a role; it is in the next token
    Grant(GrantArgs),
    /// Take a role from a user, and end all sessions of it
    Revoke(RevokeArgs),
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
pub(super) struct GrantArgs {
    #[command(flatten)]
    who: UserArg,
    /// The role
    #[arg(value_parser = RoleName::parse)]
    role: RoleName,
    /// Print an object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, clap::Args)]
pub(super) struct RevokeArgs {
    #[command(flatten)]
    who: UserArg,
    /// The role
    #[arg(allow_hyphen_values = true)]
    role: String,
    /// Print an object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

pub(super) fn run(command: &Command) -> Outcome {
    match command {
        Command::List(args) => block_on(list(args))?,
        Command::Grant(args) => block_on(grant(args))?,
        Command::Revoke(args) => block_on(revoke(args))?,
    }
}

async fn list(args: &ListArgs) -> Outcome {
    let accounts = Accounts::open(&args.settings).await?;
    let groups = accounts.rules.role_groups().await.map_err(failed)?;
    let roles: Vec<_> = Roles::counted(groups).into_iter().collect();
    let as_json = |(role, users): &(String, u64)| json!({ "role": role, "users": users });
    Output::list(&roles, args.json, as_json, COLUMNS)?;
    Ok(Exit::Done)
}

const COLUMNS: &[Column<(String, u64)>] =
    &[("ROLE", 32, |(role, _)| cell(role)), ("USERS", 0, |(_, users)| users.to_string())];

async fn grant(args: &GrantArgs) -> Outcome {
    let (accounts, log) = Accounts::open_to_change(&args.settings).await?;
    let roles = Roles::new(accounts.users(&log).await?, Arc::clone(&accounts.rules));
    let change = roles.grant(&args.who.name, &args.role, Actor::Command).await.map_err(refused)?;
    report(args.json, &change, "has it already")
}

async fn revoke(args: &RevokeArgs) -> Outcome {
    let (accounts, log) = Accounts::open_to_change(&args.settings).await?;
    let roles = Roles::new(accounts.users(&log).await?, Arc::clone(&accounts.rules));
    let change = roles.revoke(&args.who.name, &args.role, Actor::Command).await.map_err(refused)?;
    report(args.json, &change, "does not have it")
}

fn report(as_json: bool, change: &RoleChange, unchanged: &str) -> Outcome {
    let RoleChange { user, is_changed, ended } = change;
    if as_json {
        let id = user.id.as_str();
        let (roles, done) = (&user.roles, is_changed);
        Output::json(&json!({ "id": id, "done": done, "roles": roles, "sessions_ended": ended }))?;
    } else {
        let (name, id) = (cell(user.username.as_str()), cell(user.id.as_str()));
        let roles = cell(&user.roles.join(" "));
        let what = if *is_changed { format!("roles [{roles}]") } else { unchanged.to_owned() };
        Output::say(&format!("{name} ({id}): {what}, {ended} sessions ended"));
    }
    Ok(if *is_changed { Exit::Done } else { Exit::No })
}
