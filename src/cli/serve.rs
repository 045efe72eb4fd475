//! `serve` and `check-config`.

use super::output::Output;
use super::settings::SettingFlags;
use super::{Exit, Failure, Outcome, run_to_its_end, surroundings};
use crate::app::App;
use crate::config::{Config, IssuerConfig, KeysConfig, Mistakes, StoreConfig};
use crate::token::algorithm;
use serde_json::json;
use tracing::warn;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    settings: SettingFlags,
}

pub(super) fn run(args: &Args) -> Outcome {
    let config = Config::load(&args.settings.sources()).map_err(Failure::usage)?;
    let _logging = config.logs.start();
    if matches!(config.sessions.store, StoreConfig::Memory) {
        warn!("sessions are kept in this process alone, and are gone when it ends");
    }
    run_to_its_end(serve(&config))
}

async fn serve(config: &Config) -> Outcome {
    let (clock, random) = surroundings();
    let app = App::build(config, clock, random).await.map_err(Failure::unavailable)?;
    let bound = app.bind(config).map_err(Failure::unavailable)?;
    bound.run().await?;
    Ok(Exit::Done)
}

#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// Print an object with all mistakes
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

pub(super) fn check(args: &CheckArgs) -> Outcome {
    let loaded = Config::load(&args.settings.sources());
    if args.json {
        let mistakes = loaded.as_ref().err().map(Mistakes::lines).unwrap_or_default();
        Output::json(&json!({ "good": mistakes.is_empty(), "mistakes": mistakes }))?;
        return Ok(if loaded.is_ok() { Exit::Done } else { Exit::Usage });
    }
    let config = loaded.map_err(Failure::usage)?;
    Output::say("the configuration is good; keys, store and addresses were not tried");
    for issuer in &config.tokens.issuers {
        Output::say(&describe(issuer));
    }
    Output::say(&format!("  sessions  {:?}", config.sessions.store));
    let addresses: Vec<_> = config.gate.listen.iter().map(ToString::to_string).collect();
    Output::say(&format!("  gate      {}, below {}/", addresses.join(", "), config.gate.prefix));
    let metrics = config.metrics_listen.as_ref().map_or("off".to_owned(), ToString::to_string);
    Output::say(&format!("  metrics   {metrics}"));
    Ok(Exit::Done)
}

fn describe(issuer: &IssuerConfig) -> String {
    let iss = issuer.iss.as_deref().unwrap_or("(not checked)");
    let keys = match &issuer.keys {
        KeysConfig::Fixed(keys) => {
            let names = keys.iter().map(|key| algorithm::name(key.algorithm()));
            names.collect::<Vec<_>>().join(", ")
        }
        KeysConfig::Published(source) => format!("published at {}", source.location),
        KeysConfig::Ring => "in the key ring".to_owned(),
    };
    format!(
        "  issuer    {iss}: keys {keys}; audiences {:?}; sessions {:?}; leeway {} min",
        issuer.audiences,
        issuer.sessions,
        issuer.leeway.as_secs_f64() / 60.0
    )
}
