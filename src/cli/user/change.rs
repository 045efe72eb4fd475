//! `user edit`, `passwd`, `verify`, `lock`, `unlock`, `delete`.

use anyhow::anyhow;
use serde_json::{Value, json};

use super::{OneArgs, insist, split_scopes, user_claim};
use crate::account::{Login, User, UserKind};
use crate::cli::accounts::{Accounts, UserArg, cell, login, read_new_password, refused, user_json};
use crate::cli::output::Output;
use crate::cli::settings::SettingFlags;
use crate::cli::token::{claim, scopes};
use crate::cli::{Exit, Failure, Outcome};
use crate::issuer::error::IssueError;
use crate::issuer::users::Actor;
use crate::issuer::users::fields::merge;

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(in crate::cli) struct EditArgs {
    #[command(flatten)]
    who: UserArg,
    /// Another name to log in with
    #[arg(long, value_parser = login)]
    username: Option<Login>,
    /// Another e-mail, which is not verified
    #[arg(long, value_parser = login)]
    email: Option<Login>,
    /// Take its e-mail away
    #[arg(long, conflicts_with = "email")]
    no_email: bool,
    /// Another full name; an empty one takes it away
    #[arg(long)]
    full_name: Option<String>,
    /// All its roles from now on; may be repeated
    #[arg(long = "role")]
    roles: Vec<String>,
    /// Take all roles away
    #[arg(long, conflicts_with = "roles")]
    no_roles: bool,
    /// All scopes that it may be granted from now on; may be repeated
    #[arg(long = "scope", value_parser = scopes)]
    scopes: Vec<String>,
    /// Take all scopes away
    #[arg(long, conflicts_with = "scopes")]
    no_scopes: bool,
    /// A further claim of its tokens; null takes it away; may be repeated
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = user_claim)]
    claims: Vec<(String, Value)>,
    /// A property, for applications; null takes it away; may be repeated
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = claim)]
    properties: Vec<(String, Value)>,
    /// Print the user as an object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PasswdArgs {
    #[command(flatten)]
    who: UserArg,
    /// Take a password that the policy would refuse
    #[arg(long)]
    any_password: bool,
    /// Print an object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

impl EditArgs {
    fn apply(&self, user: &mut User) {
        if let Some(username) = &self.username {
            user.username = username.clone();
        }
        if self.no_email || self.email.is_some() {
            if self.email != user.email {
                user.email_verified = false;
            }
            user.email.clone_from(&self.email);
        }
        if let Some(name) = &self.full_name {
            user.full_name = Some(name.clone()).filter(|name| !name.is_empty());
        }
        if self.no_roles || !self.roles.is_empty() {
            user.roles.clone_from(&self.roles);
        }
        if self.no_scopes || !self.scopes.is_empty() {
            user.scopes = split_scopes(&self.scopes);
        }
        merge(&mut user.claims, self.claims.iter().cloned().collect());
        merge(&mut user.properties, self.properties.iter().cloned().collect());
    }
}

pub(super) async fn edit(args: &EditArgs) -> Outcome {
    let (accounts, log) = Accounts::open_to_change(&args.settings).await?;
    let users = accounts.users(&log).await?;
    let user = accounts.user(&args.who.name).await?;
    let change = |user: &mut User| {
        args.apply(user);
        Ok(())
    };
    let changed = users.change(&user.id, Actor::Command, change).await;
    let changed = changed.map_err(half_done)?;
    if args.json {
        Output::json(&user_json(&changed.user))?;
        return Ok(Exit::Done);
    }
    report(false, &changed.user, "changed", Ok(changed.ended))
}

pub(super) async fn passwd(args: &PasswdArgs) -> Outcome {
    let (accounts, log) = Accounts::open_to_change(&args.settings).await?;
    let users = accounts.users(&log).await?;
    let user = accounts.user(&args.who.name).await?;
    if user.kind == UserKind::Anonymous {
        return Err(Failure::usage(anyhow!("an anonymous user has no password")));
    }
    let (password, check) = (read_new_password()?, insist(args.any_password));
    let ended = users.set_password(&user.id, &password, check, Actor::Command).await;
    report(args.json, &user, "the password is set", ended)
}

pub(super) async fn verify(args: &OneArgs) -> Outcome {
    let (accounts, log) = Accounts::open_to_change(&args.settings).await?;
    let users = accounts.users(&log).await?;
    let user = accounts.user(&args.who.name).await?;
    if user.email.is_none() {
        return Err(Failure::no(anyhow!("this user has no e-mail that could be verified")));
    }
    let verified = users.mark_verified(&user.id, None, Actor::Command).await;
    report(args.json, &user, "the e-mail is verified", verified.map(|_| 0))
}

pub(super) async fn lock(args: &OneArgs) -> Outcome {
    let (accounts, log) = Accounts::open_to_change(&args.settings).await?;
    let users = accounts.users(&log).await?;
    let user = accounts.user(&args.who.name).await?;
    report(args.json, &user, "locked", users.lock(&user.id, Actor::Command).await)
}

pub(super) async fn unlock(args: &OneArgs) -> Outcome {
    let (accounts, log) = Accounts::open_to_change(&args.settings).await?;
    let users = accounts.users(&log).await?;
    let user = accounts.user(&args.who.name).await?;
    users.unlock(&user.id, Actor::Command).await.map_err(refused)?;
    report(args.json, &user, "unlocked", Ok(0))
}

pub(super) async fn delete(args: &OneArgs) -> Outcome {
    let (accounts, log) = Accounts::open_to_change(&args.settings).await?;
    let users = accounts.users(&log).await?;
    let user = accounts.user(&args.who.name).await?;
    report(args.json, &user, "deleted", users.delete(&user.id, Actor::Command).await)
}

/// Says what was done, to whom, and how many sessions ended; somebody else may have deleted the user
/// in between.
fn report(as_json: bool, user: &User, what: &str, ended: Result<u64, IssueError>) -> Outcome {
    let (is_done, ended) = match ended {
        Ok(ended) => (true, ended),
        Err(IssueError::NotFound) => (false, 0),
        Err(error) => return Err(half_done(error)),
    };
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

/// The failure of what may have been done in part.
fn half_done(error: IssueError) -> Failure {
    let is_partial = matches!(error, IssueError::Unavailable(_));
    let Failure { exit, error } = refused(error);
    let what = "the user may not log in any more, or have another password or fewer rights, but its \
                sessions may live on; run the same again";
    Failure { exit, error: if is_partial { error.context(what) } else { error } }
}
