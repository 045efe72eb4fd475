//! `user add`, `list`, `show`, `edit`, `passwd`, `verify`, `link`, `invite`, `lock`, `unlock`, `delete`:
//! the issuer's part for users, from a command line.

mod add;
mod change;
mod link;
mod list;

use serde_json::Value;

use super::accounts::UserArg;
use super::settings::SettingFlags;
use super::token::claim;
use super::{Outcome, block_on};
use crate::issuer::users::PolicyCheck;
use crate::issuer::users::fields::check_claim;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Add a user; the id is alone on standard output
    Add(add::AddArgs),
    /// List users by id
    List(list::ListArgs),
    /// Show a user
    Show(OneArgs),
    /// Change a user; a role, a scope or a claim less ends all its sessions
    Edit(Box<change::EditArgs>),
    /// Set a user's password, and end all sessions of it
    Passwd(change::PasswdArgs),
    /// Note that a user's e-mail is its own, which lets in who signed up
    Verify(OneArgs),
    /// Make a one-time link for a user, which is alone on standard output
    Link(link::LinkArgs),
    /// Invite somebody to sign up; the invitation is alone on standard output
    Invite(link::InviteArgs),
    /// Lock a user out, and end all sessions of it
    Lock(OneArgs),
    /// Let a user in again that was locked, also for a while after failed logins
    Unlock(OneArgs),
    /// Delete a user with its API keys, and end all sessions of it
    Delete(OneArgs),
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

pub(super) fn run(command: &Command) -> Outcome {
    match command {
        Command::Add(args) => block_on(add::add(args))?,
        Command::List(args) => block_on(list::list(args))?,
        Command::Show(args) => block_on(list::show(args))?,
        Command::Edit(args) => block_on(change::edit(args))?,
        Command::Passwd(args) => block_on(change::passwd(args))?,
        Command::Verify(args) => block_on(change::verify(args))?,
        Command::Link(args) => block_on(link::link(args))?,
        Command::Invite(args) => block_on(link::invite(args))?,
        Command::Lock(args) => block_on(change::lock(args))?,
        Command::Unlock(args) => block_on(change::unlock(args))?,
        Command::Delete(args) => block_on(change::delete(args))?,
    }
}

/// The rules for a password, unless the operator insists on it.
fn insist(any_password: bool) -> PolicyCheck {
    if any_password { PolicyCheck::Skipped } else { PolicyCheck::Enforced }
}

/// A claim that a user may be given.
fn user_claim(text: &str) -> anyhow::Result<(String, Value)> {
    let (name, value) = claim(text)?;
    check_claim(&name).map_err(anyhow::Error::msg)?;
    Ok((name, value))
}

/// Scopes that may stand several in one text.
pub(super) fn split_scopes(texts: &[String]) -> Vec<String> {
    texts.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect()
}
