//! `dev`: everything in one process on loopback, ready to be tried.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tracing::debug;

use super::key::write_new;
use super::mint::{Wish, mint};
use super::output::Output;
use super::settings::SettingFlags;
use super::{Exit, Failure, Outcome, PATIENCE, run_to_its_end, surroundings};
use crate::app::{App, Bound};
use crate::clock::Clock;
use crate::config::{BeforeDev, Config, DEV_KEY_ALGORITHM, DEV_KEY_FILE};
use crate::secret::{Random, SystemRandom};
use crate::server::Address;
use crate::session::{SessionId, UserId};
use crate::token::key;

/// The demo user's token, beside the key and the store.
const TOKEN_FILE: &str = "demo-token";
/// How long it is good.
const LIFETIME: Duration = Duration::from_secs(24 * 3_600);
/// One that ends sooner is replaced at start.
const LEAST_LEFT: Duration = Duration::from_secs(3_600);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    settings: SettingFlags,
}

pub(super) fn run(args: &Args) -> Outcome {
    let mut sources = args.settings.sources();
    let before = Config::before_dev(&sources);
    let data_dir = prepare(&before).map_err(Failure::unavailable)?;
    let mut set = |name: &str, value: &str| sources.flags.insert(name.to_owned(), value.to_owned());
    set("DATA_DIR", &data_dir.to_string_lossy());
    if !before.has_staleness {
        // The store is asked at every request, so that a revocation by a command shows at the
        // very next one, as a newcomer expects.
        set("SESSION_STALENESS", "0");
    }
    let config = Config::load_beside_dev(&sources).map_err(Failure::usage)?;
    only_loopback(&config).map_err(Failure::usage)?;
    let _logging = config.logs.start();
    run_to_its_end(serve(&config))
}

/// The data folder, with a key in it where none is configured.
fn prepare(before: &BeforeDev) -> anyhow::Result<PathBuf> {
    let data_dir = &before.data_dir;
    let mut folder = std::fs::DirBuilder::new();
    folder
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .with_context(|| format!("cannot create {}", data_dir.display()))?;
    let data_dir =
        data_dir.canonicalize().with_context(|| format!("cannot open {}", data_dir.display()))?;
    let path = data_dir.join(DEV_KEY_FILE);
    if before.needs_key && !path.exists() {
        let pem = key::generate(DEV_KEY_ALGORITHM, &SystemRandom)?;
        write_new(&path, pem.expose().trim_ascii_end())?;
    }
    Ok(data_dir)
}

fn only_loopback(config: &Config) -> anyhow::Result<()> {
    for address in config.gate.listen.iter().chain(&config.metrics_listen) {
        if !address.is_loopback() {
            bail!(
                "{address} can be reached from other hosts, and `dev` is for this one alone; \
                   use `portcullis serve`, or an address such as 127.0.0.1:8080"
            );
        }
    }
    Ok(())
}

async fn serve(config: &Config) -> Outcome {
    let (clock, random) = surroundings();
    let app =
        App::build(config, clock.clone(), random.clone()).await.map_err(Failure::unavailable)?;
    let token_file = demo(config, &app, clock.as_ref(), random.as_ref()).await?;
    let bound = app.bind(config).map_err(Failure::unavailable)?;
    Output::line(&what_to_type(config, &bound, &token_file)?)?;
    bound.run().await?;
    Ok(Exit::Done)
}

/// A file with a token of the demo user, whose session lives: the one of last time, or a new one.
async fn demo(
    config: &Config,
    app: &App,
    clock: &dyn Clock,
    random: &dyn Random,
) -> Result<PathBuf, Failure> {
    let path = config.data_dir.join(TOKEN_FILE);
    if let Ok(token) = std::fs::read_to_string(&path)
        && is_good(app, token.trim(), clock).await
    {
        return Ok(path);
    }
    let wish = Wish {
        user: "alice".to_owned(),
        username: Some("alice".to_owned()),
        email: Some("alice@example.com".to_owned()),
        scopes: vec!["user:read".to_owned(), "user:write".to_owned()],
        roles: vec!["demo".to_owned()],
        lifetime: LIFETIME,
        with_session: true,
        ..Wish::default()
    };
    let minted = mint(config, &wish, clock.now(), random).map_err(Failure::usage)?;
    if let Some(session) = &minted.session {
        let put = tokio::time::timeout(PATIENCE, app.sessions.put(session)).await;
        put.context("the session store did not answer")
            .map_err(Failure::unavailable)?
            .map_err(Failure::unavailable)?;
    }
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Failure::unavailable(error));
        }
        _ => write_new(&path, minted.token.as_bytes()).map_err(Failure::unavailable)?,
    }
    Ok(path)
}

async fn is_good(app: &App, token: &str, clock: &dyn Clock) -> bool {
    let Ok(verified) = app.service.gate().admissions().verifier().verify(token) else {
        return false;
    };
    let id = verified.session.as_deref().and_then(|id| SessionId::parse(id).ok());
    let (Ok(user), Some(id)) = (UserId::parse(&verified.subject), id) else {
        return false;
    };
    match app.sessions.live(&user, &id).await {
        Ok(session) => session.expires.since(clock.now()) >= LEAST_LEFT,
        Err(reason) => {
            debug!(?reason, "the demo session is over; a new one is made");
            false
        }
    }
}

/// What is printed at start: each line can be typed as it stands.
fn what_to_type(config: &Config, bound: &Bound, token_file: &Path) -> anyhow::Result<String> {
    let addresses = bound.gate_addresses();
    let curl = match addresses.first().context("the gate listens nowhere")? {
        Address::Tcp(address) => format!("curl -i http://{address}"),
        Address::Unix(path) => format!("curl -i --unix-socket {} http://gate", quoted(path)),
    };
    let ask = format!("{curl}{}/validate_request", config.gate.prefix);
    let ask_with_token = format!("{ask} -H \"Authorization: Bearer $TOKEN\"");
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let (program, data_dir) = (quoted(&program), quoted(&config.data_dir));
    let token_file = quoted(token_file);
    let metrics = bound
        .metrics_addresses()
        .first()
        .map_or_else(|| "off".to_owned(), |address| format!("http://{address}/metrics"));
    Ok(format!(
        "\
Portcullis runs, for this host alone. Ctrl-C stops it; started again, it goes on where it was.

  gate      {gate}
  metrics   {metrics}
  files     {data_dir} (signing key, sessions, the demo user's token)

Type in another terminal:

  # No token: refused, 401
  {ask}

  # The demo user's token: let in, 200, and who it is
  TOKEN=$(cat {token_file})
  {ask_with_token}

  # End the session
  {program} session revoke --data-dir {data_dir} --token \"$TOKEN\"

  # The same request again: refused, 401
  {ask_with_token}

  # A new token, with a session of its own
  TOKEN=$({program} token mint --data-dir {data_dir} --user alice --scope user:read)

Put it behind a gateway: examples/nginx/README.md, examples/traefik/README.md
",
        gate = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    ))
}

/// A path as a shell reads it as one word.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(is_plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}
