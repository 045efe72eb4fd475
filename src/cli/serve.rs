//! `serve` and `check-config`.

use super::output::Output;
use super::settings::SettingFlags;
use super::summary::{self, AcceptedIssuer};
use super::{Exit, Failure, Outcome, clock_and_random, run_until_stopped};
use crate::app::{App, Bound};
use crate::config::{Config, Mistakes, StoreConfig};
use serde_json::json;
use tracing::{info, warn};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    settings: SettingFlags,
}

pub(super) fn run(args: &Args) -> Outcome {
    let config = args.settings.load(Config::load)?;
    let _logging = config.logs.start();
    if matches!(config.sessions.store, StoreConfig::Memory) {
        warn!("sessions are kept in this process alone, and are gone when it ends");
    }
    log_accepted_issuers(&config);
    log_staleness_bounds(&config);
    run_until_stopped(serve(&config))
}

/// Logs whose tokens are let in, what is issued and what is kept where, a line each; and warnings.
fn log_accepted_issuers(config: &Config) {
    for warning in &config.warnings {
        warn!("{warning}");
    }
    for accepted in summary::accepted(&config.tokens) {
        let AcceptedIssuer { issuer, algorithms, keys, audiences, sessions, leeway } = accepted;
        info!(issuer, algorithms, keys, audiences, sessions, leeway, "accepts tokens");
    }
    if let Some(issued) = summary::issued(config) {
        info!("issues {issued}");
    }
    for (what, place) in summary::stores(config) {
        info!(what, place, "keeps");
    }
}

/// Every address that is open, with the ports that the system chose.
fn log_listeners(bound: &Bound) {
    let mut listeners = vec![("gate", summary::list(&bound.gate_addresses()))];
    if !bound.ext_authz_addresses().is_empty() {
        listeners.push(("ext_authz", summary::list(&bound.ext_authz_addresses())));
    }
    listeners.push(("metrics", summary::list(&bound.metrics_addresses())));
    if let Some(issuer) = bound.issuer() {
        listeners.push(("issuer", summary::list(&issuer.public_addresses())));
        listeners.push(("internal", summary::list(&issuer.internal_addresses())));
        listeners.push(("gRPC", summary::list(&issuer.grpc_addresses())));
        if !issuer.authnzerver_addresses().is_empty() {
            listeners.push(("authnzerver", summary::list(&issuer.authnzerver_addresses())));
        }
    }
    for (listener, addresses) in listeners {
        info!(listener, addresses, "listens");
    }
}

/// Logs how late a revocation may be learnt of, where the operator chose something else than the usual
/// for the time in which the store is down.
fn log_staleness_bounds(config: &Config) {
    if !config.gate.open.is_empty() {
        warn!(
            paths = %config.gate.open,
            "OPEN_GATE_PATHS: the gate answers 200 there to anybody; a gateway that asks at one of \
             these paths by mistake may let everybody in"
        );
    }
    let (bound, stale_if_error) = (config.cache.staleness, config.cache.stale_if_error);
    if stale_if_error > bound {
        warn!(
            bound = summary::time(bound),
            when_down = summary::time(stale_if_error),
            "SESSION_STORE_DOWN: while the store is down, sessions are believed for longer than \
             SESSION_STALENESS; what is revoked then may be let in for so long"
        );
    } else if stale_if_error < bound {
        info!(
            bound = summary::time(bound),
            when_down = summary::time(stale_if_error),
            "SESSION_STORE_DOWN: while the store is down, sessions are believed for less than \
             SESSION_STALENESS, then answered 503"
        );
    }
}

async fn serve(config: &Config) -> Outcome {
    let (clock, random) = clock_and_random();
    let app = App::build(config, clock, random).await.map_err(Failure::unavailable)?;
    let bound = app.bind(config).map_err(Failure::unavailable)?;
    log_listeners(&bound);
    Box::pin(bound.run()).await?;
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
        let warnings = match &loaded {
            Ok(config) => config.warnings.clone(),
            Err(mistakes) => mistakes.warnings(),
        };
        let good = mistakes.is_empty();
        Output::json(&json!({ "good": good, "mistakes": mistakes, "warnings": warnings }))?;
        return Ok(if good { Exit::Done } else { Exit::Usage });
    }
    let config = loaded.map_err(Failure::usage)?;
    Output::say("the configuration is good; keys, stores and addresses were not tried");
    for line in summary::lines(&config) {
        Output::say(&line);
    }
    Ok(Exit::Done)
}
