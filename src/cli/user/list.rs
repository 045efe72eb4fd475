//! `user list` and `user show`.

use serde_json::Value;

use super::OneArgs;
use crate::account::{AccountStore, Login, User};
use crate::cli::accounts::{Accounts, cell, failed, time_cell, user_json};
use crate::cli::output::{Column, Output};
use crate::cli::settings::SettingFlags;
use crate::cli::{Exit, Failure, Outcome};

/// The number of users that are read at once.
const PAGE: usize = 500;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ListArgs {
    /// Only users who have this role
    #[arg(long)]
    role: Option<String>,
    /// List so many at most
    #[arg(long, default_value_t = 1000)]
    limit: usize,
    /// Print an array of objects
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

pub(super) async fn list(args: &ListArgs) -> Outcome {
    let accounts = Accounts::open(&args.settings).await?;
    let found = first_users(accounts.store.as_ref(), args.role.as_deref(), args.limit).await?;
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

/// The first users by id, or of those who have a role, read page by page.
async fn first_users(
    store: &dyn AccountStore,
    role: Option<&str>,
    limit: usize,
) -> Result<Vec<User>, Failure> {
    let (mut found, mut after) = (Vec::new(), None);
    while found.len() < limit {
        let page = store.users(after.as_ref(), PAGE).await.map_err(failed)?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        let has_role = |user: &User| role.is_none_or(|role| user.roles.iter().any(|it| it == role));
        let room = limit.saturating_sub(found.len());
        found.extend(page.into_iter().filter(has_role).take(room));
    }
    Ok(found)
}

pub(super) async fn show(args: &OneArgs) -> Outcome {
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
