//! `serve` and `check-config`.

use super::output::Output;
use super::settings::SettingFlags;
use super::{Exit, Failure, Outcome, run_to_its_end, surroundings};
use crate::app::App;
use crate::config::{Config, IssuerConfig, KeysConfig, Mistakes, StoreConfig};
use crate::token::algorithm;
use serde_json::json;
use tracing::{info, warn};

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
    say_what_is_promised(&config);
    run_to_its_end(serve(&config))
}

/// How late a revocation may be learnt of, where the operator chose something else than the usual
/// for the time in which the store is down.
fn say_what_is_promised(config: &Config) {
    if !config.gate.open.is_empty() {
        warn!(
            paths = %config.gate.open,
            "OPEN_GATE_PATHS: the gate answers 200 there to anybody; a gateway that asks at one of \
             these paths by mistake may let everybody in"
        );
    }
    let (bound, when_down) = (config.cache.staleness, config.cache.when_down);
    if when_down > bound {
        warn!(
            ?bound,
            ?when_down,
            "SESSION_STORE_DOWN: while the store is down, sessions are believed for longer than \
             SESSION_STALENESS; what is revoked then may be let in for so long"
        );
    } else if when_down < bound {
        info!(
            ?bound,
            ?when_down,
            "SESSION_STORE_DOWN: while the store is down, sessions are believed for less than \
             SESSION_STALENESS, then answered 503"
        );
    }
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
    let (bound, when_down) = (config.cache.staleness, config.cache.when_down);
    Output::say(&format!("  staleness {bound:?}; while the store is down {when_down:?}"));
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
