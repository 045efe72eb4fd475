//! `user add`.

use serde_json::Value;

use super::{insist, split_scopes, user_claim};
use crate::account::{Login, User, UserKind};
use crate::cli::accounts::{Accounts, login, read_new_password, refused, user_id, user_json};
use crate::cli::output::Output;
use crate::cli::settings::SettingFlags;
use crate::cli::token::scopes;
use crate::cli::{Exit, Outcome};
use crate::issuer::users::Actor;
use crate::session::UserId;

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(in crate::cli) struct AddArgs {
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

pub(super) async fn add(args: &AddArgs) -> Outcome {
    let (accounts, log) = Accounts::open_to_change(&args.settings).await?;
    let users = accounts.users(&log).await?;
    let draft = users.draft(args.username.clone()).map_err(refused)?;
    let user = User {
        id: args.id.clone().unwrap_or_else(|| draft.id.clone()),
        email: args.email.clone(),
        email_verified: args.email_verified,
        full_name: args.full_name.clone(),
        kind: args.kind,
        roles: args.roles.clone(),
        scopes: split_scopes(&args.scopes),
        claims: args.claims.iter().cloned().collect(),
        ..draft
    };
    let password = if args.no_password || args.kind == UserKind::Anonymous {
        None
    } else {
        Some(read_new_password()?)
    };
    let password = password.as_ref().map(|password| (password, insist(args.any_password)));
    let user = users.add(user, password, Actor::Command).await.map_err(refused)?;
    if args.json {
        Output::json(&user_json(&user))?;
    } else {
        Output::line(user.id.as_str())?;
    }
    Ok(Exit::Done)
}

fn kind(text: &str) -> Result<UserKind, &'static str> {
    UserKind::parse(text).ok_or("write person, service or anonymous")
}
