//! `token mint` and `token inspect`.

use std::io::Read as _;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};

use super::mint::{MintRequest, Minted, mint};
use super::output::Output;
use super::settings::SettingFlags;
use super::{Exit, Failure, Outcome, block_on, clock_and_random, load_for_command};
use crate::app::App;
use crate::session::Session;
use crate::token::{Claims, is_scope};
use crate::token::{algorithm, integers, jws};
use crate::wire::json;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a token, and open the session that it names; the token is alone on standard output
    Mint(MintArgs),
    /// Show what a token says, and whether it is good
    Inspect(InspectArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct MintArgs {
    /// The user: `sub`
    #[arg(long)]
    user: String,
    /// `preferred_username`
    #[arg(long)]
    username: Option<String>,
    /// `email`
    #[arg(long)]
    email: Option<String>,
    /// A scope that it grants; may be repeated, and may hold several separated by blanks
    #[arg(long = "scope", value_parser = scopes)]
    scopes: Vec<String>,
    /// A member of `roles`; may be repeated
    #[arg(long = "role")]
    roles: Vec<String>,
    /// `aud`, where it is not the first of JWT_AUDIENCE
    #[arg(long)]
    audience: Option<String>,
    /// A further claim; the value is JSON, or else text; may be repeated
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(String, Value)>,
    /// The lifetime of token and session
    #[arg(long, value_name = "MINUTES", default_value_t = 1440, value_parser = clap::value_parser!(u64).range(1..=5_256_000))]
    lifetime: u64,
    /// Make a token without a session; it is good until it expires
    #[arg(long)]
    no_session: bool,
    /// Print an object with the token, its session and its expiry
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, clap::Args)]
pub(super) struct InspectArgs {
    /// The token, or `-` for standard input
    token: String,
    /// Print an object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

pub(super) fn run(command: &Command) -> Outcome {
    match command {
        Command::Mint(args) => block_on(run_mint(args))?,
        Command::Inspect(args) => block_on(run_inspect(args))?,
    }
}

async fn run_mint(args: &MintArgs) -> Outcome {
    let config = load_for_command(&args.settings)?;
    let (clock, random) = clock_and_random();
    let request = MintRequest {
        user: args.user.clone(),
        username: args.username.clone(),
        email: args.email.clone(),
        scopes: args.scopes.iter().flat_map(|s| s.split_whitespace()).map(str::to_owned).collect(),
        roles: args.roles.clone(),
        audience: args.audience.clone(),
        claims: args.claims.clone(),
        lifetime: Duration::from_secs(args.lifetime * 60),
        with_session: !args.no_session,
    };
    let minted = mint(&config, &request, clock.now(), random.as_ref()).map_err(Failure::usage)?;
    let app = match &minted.session {
        Some(_) => Some(App::build(&config, clock, random).await.map_err(Failure::unavailable)?),
        None => None,
    };
    let opened = app.as_ref().zip(minted.session.as_ref());
    if let Some((app, session)) = opened {
        app.sessions.put(session).await.map_err(Failure::unavailable)?;
    }
    if let Err(unread) = print(&minted, args.json) {
        // No session may live that nobody holds a token of.
        if let Some((app, session)) = opened {
            app.sessions.revoke(&session.id).await.map_err(Failure::unavailable)?;
        }
        return Err(unread.into());
    }
    if !args.json {
        match &minted.session {
            Some(Session { id, .. }) => {
                Output::say(&format!("session {id}, until {}", minted.expires));
            }
            None => Output::say(&format!("no session; good until {}", minted.expires)),
        }
    }
    Ok(Exit::Done)
}

fn print(minted: &Minted, as_json: bool) -> anyhow::Result<()> {
    if !as_json {
        return Output::secret(&minted.token);
    }
    let shown = json!({
        "token": minted.token,
        "session": minted.session.as_ref().map(|session| session.id.as_str()),
        "expires": minted.expires.to_string(),
    });
    Output::secret(&shown.to_string())
}

async fn run_inspect(args: &InspectArgs) -> Outcome {
    let config = load_for_command(&args.settings)?;
    let token = argument_or_stdin(&args.token)?;
    let (clock, random) = clock_and_random();
    let parts = jws::split(&token, config.max_token_bytes).map_err(not_a_token)?;
    let payload = jws::decode(parts.payload).map_err(not_a_token)?;
    let claims = Claims::parse(&payload).map_err(not_a_token)?;
    let app = App::build(&config, clock, random).await.map_err(Failure::unavailable)?;
    app.read_published_keys().await.map_err(Failure::unavailable)?;
    let outcome = app.service.gate().decisions().verifier().verify(&token);
    let problem = outcome.as_ref().err().map(ToString::to_string);
    let claims = Value::Object(claims.to_map());
    let name = algorithm::name(parts.header.algorithm);
    if args.json {
        Output::json(&json!({
            "algorithm": name,
            "key_id": parts.header.key_id,
            "claims": claims,
            "valid": problem.is_none(),
            "problem": problem,
        }))?;
    } else {
        let key = parts.header.key_id.as_deref().unwrap_or("(none)");
        Output::line(&format!("algorithm  {name}\nkey        {key:?}"))?;
        Output::lines(&format!("claims     {claims:#}"))?;
        Output::line(&match &problem {
            None => {
                "valid      yes (whether its session lives is for `portcullis explain`)".to_owned()
            }
            Some(problem) => format!("valid      no: {problem}"),
        })?;
    }
    Ok(if problem.is_none() { Exit::Done } else { Exit::No })
}

fn not_a_token(error: crate::token::TokenError) -> Failure {
    Failure { exit: Exit::No, error: error.into() }
}

/// The argument itself, or standard input where it is `-`.
pub(super) fn argument_or_stdin(argument: &str) -> Result<String, Failure> {
    if argument != "-" {
        return Ok(argument.trim().to_owned());
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
    Ok(text.trim().to_owned())
}

/// One scope or several; one that no route could demand is a slip.
pub(super) fn scopes(text: &str) -> anyhow::Result<String> {
    match text.split_whitespace().find(|scope| !is_scope(scope)) {
        Some(bad) => Err(anyhow!("{bad:?} is no scope (RFC 6749, section 3.3)")),
        None => Ok(text.to_owned()),
    }
}

/// A claim as a flag has it.
pub(super) fn claim(text: &str) -> anyhow::Result<(String, Value)> {
    let (name, value) = text.split_once('=').ok_or_else(|| anyhow!("write NAME=VALUE"))?;
    let read = json::from_slice(&integers::quoted(value.as_bytes()));
    let value = read.unwrap_or_else(|_| Value::from(value));
    Ok((name.to_owned(), value))
}
