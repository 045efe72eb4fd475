//! `dev`: everything in one process on loopback, ready to be tried.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::key::write_new;
use super::output::Output;
use super::settings::SettingFlags;
use super::summary::list;
use super::{Exit, Failure, Outcome, clock_and_random, run_until_stopped};
use crate::account::{AccountError, Client, ClientSecret, KeyDigest, Login, User};
use crate::app::{App, Bound, BoundIssuer};
use crate::clock::UnixTime;
use crate::config::settings::{self, Entry};
use crate::config::{
    BeforeDev, Config, DEV_ISSUER_FILE, DEV_KEY_ALGORITHM, DEV_KEY_FILE, IssuanceConfig,
};
use crate::issuer::Dependencies;
use crate::issuer::http::API_KEY_GRANT;
use crate::secret::{Secret, SystemRandom};
use crate::server::{Address, ListenerConfig};
use crate::session::UserId;
use crate::token::key;

/// The accounts of `dev`, apart from all others: `serve` never sees a user whose password is in a
/// README.
const ACCOUNTS_FILE: &str = "dev-accounts.db";
const USER: &str = "alice";
const PASSWORD: &str = "wonderland";
const CLIENT: &str = "demo";
const CLIENT_SECRET: &str = "demo-secret";
const SCOPES: [&str; 2] = ["user:read", "user:write"];

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    settings: SettingFlags,
}

pub(super) fn run(args: &Args) -> Outcome {
    let mut sources = args.settings.sources();
    let before = Config::before_dev(&sources);
    let data_dir = prepare(&before).map_err(Failure::unavailable)?;
    let mut set = |setting: &Entry, value: &str| {
        sources.flags.insert(setting.name.to_owned(), value.to_owned());
    };
    set(settings::DATA_DIR.entry, &data_dir.to_string_lossy());
    set(settings::AUTHORIZATION_SERVER.entry, "true");
    if !before.has_staleness {
        // The store is asked at every request, so that a revocation by a command shows at the
        // very next one, as a newcomer expects.
        set(settings::SESSION_STALENESS.entry, "0");
    }
    if !before.has_accounts {
        let file = data_dir.join(ACCOUNTS_FILE);
        set(settings::ACCOUNTS_URL.entry, &format!("sqlite:{}", file.display()));
    }
    let config = Config::load_dev(&sources).map_err(Failure::usage)?;
    only_loopback(&config).map_err(Failure::usage)?;
    write_issuer_name(&config).map_err(Failure::unavailable)?;
    let _logging = config.logs.start();
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    run_until_stopped(serve(&config, !before.has_accounts))
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

/// Leaves the issuer's name beside its key, for the commands that use what `dev` left.
fn write_issuer_name(config: &Config) -> anyhow::Result<()> {
    let Some(issuance) = &config.issuance else { return Ok(()) };
    let path = config.data_dir.join(DEV_ISSUER_FILE);
    std::fs::write(&path, format!("{}\n", issuance.policy.iss))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn only_loopback(config: &Config) -> anyhow::Result<()> {
    let mut all = vec![&config.gate.listen, &config.metrics_listen];
    all.extend(config.issuance.iter().flat_map(|it| [&it.listen, &it.internal, &it.grpc]));
    for address in all.into_iter().flat_map(|listener| &listener.addresses) {
        if !address.is_loopback() {
            bail!(
                "{address} can be reached from other hosts, and `dev` is for this one alone; \
                   use `portcullis serve`, or an address such as 127.0.0.1:8080"
            );
        }
    }
    Ok(())
}

async fn serve(config: &Config, with_demo: bool) -> Outcome {
    let (clock, random) = clock_and_random();
    let app =
        App::build(config, clock.clone(), random.clone()).await.map_err(Failure::unavailable)?;
    if let Some(issuer) = app.issuer.as_ref().filter(|_| with_demo) {
        demo(&issuer.dependencies, clock.now()).await.map_err(Failure::unavailable)?;
    }
    let bound = app.bind(config).map_err(Failure::unavailable)?;
    Output::line(&quick_start(config, &bound, with_demo)?)?;
    Box::pin(bound.run()).await?;
    Ok(Exit::Done)
}

/// The demo user and the demo client, unless they are there from last time.
async fn demo(issuer: &Dependencies, now: UnixTime) -> anyhow::Result<()> {
    let username = Login::parse(USER)?;
    let scopes: Vec<String> = SCOPES.iter().map(|scope| (*scope).to_owned()).collect();
    if issuer.accounts.user_by_login(&username).await?.is_none() {
        // As in production, the id is not the name that she logs in with.
        let id = UserId::generate(issuer.random.as_ref())?;
        let user = User {
            email: Some(Login::parse("alice@example.com")?),
            email_verified: true,
            full_name: Some("Alice Liddell".to_owned()),
            roles: vec!["demo".to_owned()],
            scopes: scopes.clone(),
            password: Some(issuer.passwords.hash(&Secret::new(PASSWORD)).await?),
            ..User::new(id, username, now)
        };
        added(issuer.accounts.add_user(&user).await)?;
    }
    let digest = KeyDigest::of(&Secret::new(CLIENT_SECRET));
    let client = Client {
        id: CLIENT.to_owned(),
        label: Some("the demo client".to_owned()),
        secrets: vec![ClientSecret { digest, expires: None }],
        jwks: None,
        grants: ["password", "client_credentials", "refresh_token", API_KEY_GRANT]
            .map(str::to_owned)
            .to_vec(),
        scopes,
        audiences: Vec::new(),
        introspects: true,
        created: now,
    };
    added(issuer.accounts.add_client(&client).await)
}

/// Another `dev` in the same folder may have been quicker.
fn added(outcome: Result<(), AccountError>) -> anyhow::Result<()> {
    match outcome {
        Ok(()) | Err(AccountError::Taken(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The curl command for a listener: its beginning, and the URL that a path is appended to.
fn curl(at: &ListenerConfig, addresses: &[Address]) -> anyhow::Result<(String, String)> {
    Ok(match addresses.first().context("it listens nowhere")? {
        Address::Tcp(address) => {
            // Whoever signed the certificate: the connection does not leave this host.
            let trusting = if at.tls.is_some() { " -k" } else { "" };
            let shown =
                if at.asks_for_certificates() { " --cert CERT.pem --key KEY.pem" } else { "" };
            (format!("curl{trusting}{shown}"), format!("{}://{address}", at.scheme()))
        }
        Address::Unix(path) => {
            (format!("curl --unix-socket {}", quoted(path)), "http://localhost".to_owned())
        }
    })
}

/// The text that is printed at start: where it listens, and what can be typed as it stands.
fn quick_start(config: &Config, bound: &Bound, with_demo: bool) -> anyhow::Result<String> {
    let issuer = bound.issuer().context("there is no issuer")?;
    let head = where_it_listens(config, bound, issuer);
    if with_demo {
        return Ok(format!("{head}{}", with_the_demo(config, bound, issuer)?));
    }
    Ok(format!("{head}\nACCOUNTS_URL names accounts of yours: there is no demo user among them.\n"))
}

fn where_it_listens(config: &Config, bound: &Bound, issuer: &BoundIssuer) -> String {
    let metrics = bound.metrics_addresses();
    format!(
        "\
Portcullis runs, for this host alone. Ctrl-C stops it; started again, it goes on where it was.

  gate      {gate} (what the gateway asks)
  ext_authz {ext_authz} (what Envoy asks by gRPC)
  issuer    {issuer_at} (what the gateway leads to: log in, refresh, revoke)
  internal  {internal} (other services and administrators)
  gRPC      {grpc}
  metrics   {metrics}
  files     {data_dir} (signing key, sessions, accounts, administrator's token, audit log)
",
        gate = list(&bound.gate_addresses()),
        ext_authz = list(&bound.ext_authz_addresses()),
        issuer_at = list(&issuer.public_addresses()),
        internal = list(&issuer.internal_addresses()),
        grpc = list(&issuer.grpc_addresses()),
        metrics = metrics.first().map_or_else(
            || "off".to_owned(),
            |address| format!("{}://{address}/metrics", config.metrics_listen.scheme())
        ),
        data_dir = quoted(&config.data_dir),
    )
}

/// The commands by which the demo user logs in, is let in, and is logged out.
fn with_the_demo(config: &Config, bound: &Bound, issuer: &BoundIssuer) -> anyhow::Result<String> {
    let issuance = config.issuance.as_ref().context("there is no issuer")?;
    let (gate_curl, gate_url) = curl(&config.gate.listen, &bound.gate_addresses())?;
    let (curl, url) = curl(&issuance.listen, &issuer.public_addresses())?;
    let ask = format!("{gate_curl} -i {gate_url}{}/validate_request", config.gate.prefix);
    let token_path = &issuance.web.token_path;
    let post = format!("{curl} -s {url}{token_path} -u {CLIENT}:{CLIENT_SECRET}");
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let accounts = format!("sqlite:{}", config.data_dir.join(ACCOUNTS_FILE).display());
    Ok(format!(
        "  demo      user {USER}, password {PASSWORD}; client {CLIENT}, secret {CLIENT_SECRET}

Type in another terminal:

  # No token: refused, 401
  {ask}

  # Log in: a token for {minutes} minutes, and a refresh token that works once
  ANSWER=$({post} -d grant_type=password -d username={USER} -d password={PASSWORD})
  TOKEN=$(echo \"$ANSWER\" | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')
  REFRESH=$(echo \"$ANSWER\" | sed 's/.*\"refresh_token\":\"\\([^\"]*\\)\".*/\\1/')

  # Let in, 200, and who it is
  {ask} -H \"Authorization: Bearer $TOKEN\"

  # The next token
  ANSWER=$({post} -d grant_type=refresh_token -d \"refresh_token=$REFRESH\")
  TOKEN=$(echo \"$ANSWER\" | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')

{admin}  # End the session
  {curl} -i {url}/revoke -u {CLIENT}:{CLIENT_SECRET} -d \"token=$TOKEN\"

  # With the new token, or the old one: refused, 401
  {ask} -H \"Authorization: Bearer $TOKEN\"

  # The users of `dev`
  {program} user list --accounts-url {accounts}

Put it behind a gateway: examples/nginx/README.md, examples/traefik/README.md; beside them
are caddy, haproxy, envoy, ingress-nginx and nginx-gateway-fabric
",
        minutes = issuance.policy.access_lifetime.as_secs().div_ceil(60),
        admin = admin_example(issuance, issuer)?,
        program = quoted(&program),
        accounts = quoted(Path::new(&accounts)),
    ))
}

/// The administrator's command, where there is a listener for him.
fn admin_example(issuance: &IssuanceConfig, issuer: &BoundIssuer) -> anyhow::Result<String> {
    let internal = issuer.internal_addresses();
    if internal.is_empty() {
        return Ok(String::new());
    }
    let (curl, url) = curl(&issuance.internal, &internal)?;
    let token = match (&issuance.generated_admin_token, &issuance.web.admin_token) {
        (Some(file), _) => format!(" -H \"Authorization: Bearer $(cat {})\"", quoted(file)),
        (None, Some(_)) => " -H \"Authorization: Bearer $ADMIN_TOKEN\"".to_owned(),
        (None, None) => String::new(),
    };
    let what = "# Where she is logged in, as the administrator sees it";
    Ok(format!("  {what}\n  {curl} -s{token} {url}/admin/users/{USER}/sessions; echo\n\n"))
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
