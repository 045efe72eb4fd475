//! `serve` and `check-config`.

use super::output::Output;
use super::settings::SettingFlags;
use super::{Exit, Failure, Outcome, load, surroundings};
use crate::app::App;
use crate::config::{Config, Mistakes, StoreConfig};
use serde_json::json;
use tracing::warn;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    settings: SettingFlags,
}

pub(super) fn run(args: &Args) -> Outcome {
    let config = load(&args.settings)?;
    let _logging = config.logs.start();
    if config.tokens.uses_dev_key {
        warn!(
            data_dir = %config.data_dir.display(),
            "no key is configured; tokens are verified with the key that `portcullis dev` made"
        );
    }
    if matches!(config.sessions.store, StoreConfig::Memory) {
        warn!("sessions are kept in this process alone, and are gone when it ends");
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(&config))
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
    Output::say("the configuration is good");
    for issuer in &config.tokens.issuers {
        let iss = issuer.iss.as_deref().unwrap_or("(not checked)");
        Output::say(&format!("  issuer {}: iss {iss}, leeway {:?}", issuer.name, issuer.leeway));
    }
    for address in &config.gate.listen {
        Output::say(&format!("  gate at {address}{}", config.gate.prefix));
    }
    Ok(Exit::Done)
}
