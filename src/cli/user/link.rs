//! `user link` and `user invite`: one-time links, for whoever brings them to their owner himself.

use serde_json::json;

use crate::account::Login;
use crate::app::own_keys;
use crate::cli::accounts::{Accounts, UserArg, refused};
use crate::cli::audit::COMMAND;
use crate::cli::output::Output;
use crate::cli::settings::SettingFlags;
use crate::cli::token::scopes;
use crate::cli::{Exit, Outcome, load_for_command};
use crate::config::Config;
use crate::issuer::audit::Event;
use crate::issuer::users::fields;
use crate::issuer::users::links::{LIFETIME, NewLink, Purpose};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct LinkArgs {
    #[command(flatten)]
    who: UserArg,
    /// verify-email, reset-password or change-email
    #[arg(long, default_value = "reset-password", value_parser = purpose)]
    purpose: Purpose,
    /// The new e-mail, for change-email, or where the user has none
    #[arg(long, value_parser = email)]
    email: Option<Login>,
    /// Print an object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct InviteArgs {
    /// The e-mail of who is invited, which will be its username
    #[arg(value_parser = email)]
    email: Login,
    /// A role that it will have; may be repeated
    #[arg(long = "role")]
    roles: Vec<String>,
    /// A scope that it may be granted; may be repeated, and may hold several separated by blanks
    #[arg(long = "scope", value_parser = scopes)]
    scopes: Vec<String>,
    /// Print an object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

pub(super) async fn link(args: &LinkArgs) -> Outcome {
    let config = load_for_command(&args.settings)?;
    let (accounts, log) = Accounts::open_to_change(&args.settings).await?;
    let keys = own_keys(&config.tokens)?;
    let user = accounts.user(&args.who.name).await?;
    let links = accounts.links(keys).await?;
    let link = links.make(args.purpose, &user, args.email.clone()).map_err(refused)?;
    let made = log.event(Event::LinkMade).user(user.id.as_str());
    made.reason(link.purpose.as_str()).write();
    show(&link, args.json, &config)
}

pub(super) async fn invite(args: &InviteArgs) -> Outcome {
    let config = load_for_command(&args.settings)?;
    let (accounts, log) = Accounts::open_to_change(&args.settings).await?;
    let links = accounts.links(own_keys(&config.tokens)?).await?;
    let of_issuer = config.issuance.as_ref().map(|it| it.self_service.invitation_lifetime);
    let lifetime = of_issuer.unwrap_or(7 * 24 * 4 * LIFETIME);
    let scopes = super::split_scopes(&args.scopes);
    let link = links.invitation(&args.email, &args.roles, &scopes, lifetime).map_err(refused)?;
    log.event(Event::LinkMade).login(args.email.as_str()).reason(COMMAND).write();
    show(&link, args.json, &config)
}

/// Prints the token, alone, and where it leads and until when on standard error.
fn show(link: &NewLink, as_json: bool, config: &Config) -> Outcome {
    let mail = config.issuance.as_ref().and_then(|it| it.mail.as_ref());
    let token = link.token.expose_str().unwrap_or_default();
    let url = mail.map(|mail| {
        mail.link_url.replace("{purpose}", link.purpose.as_str()).replace("{token}", token)
    });
    if as_json {
        Output::json(&json!({
            "purpose": link.purpose.as_str(),
            "email": link.email.as_str(),
            "token": token,
            "url": url,
            "expires": link.expires.to_string(),
        }))?;
    } else {
        Output::line(url.as_deref().unwrap_or(token))?;
        Output::say(&format!("good once, until {}", link.expires));
    }
    Ok(Exit::Done)
}

fn purpose(text: &str) -> Result<Purpose, &'static str> {
    Purpose::of_user(text).ok_or("write verify-email, reset-password or change-email")
}

fn email(text: &str) -> Result<Login, String> {
    fields::email(text)
}
