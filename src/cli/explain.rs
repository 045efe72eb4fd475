//! `explain`.

mod curl;
mod har;
mod log_line;
mod recorded;

use std::borrow::Cow;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::ValueHint;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::output::Output;
use super::settings::SettingFlags;
use super::token::argument_or_stdin;
use super::{Exit, Failure, Outcome, block_on, clock_and_random, load_for_command};
use crate::app::App;
use crate::gate::Dialect;
use crate::gate::denial::Class;
use crate::gate::dialect::Endpoint;
use crate::gate::explain::{Explanation, Step, explain};
use crate::gate::verdict::Verdict;
use recorded::Recorded;

#[derive(Debug, clap::Args)]
#[group(id = "recording", multiple = false, args = ["url", "curl", "har", "request_id"])]
pub(super) struct Args {
    /// The token or handle, sent as a bearer token; `-` reads it from standard input
    #[arg(long, allow_hyphen_values = true)]
    token: Option<String>,
    /// A header of the request, as in `Cookie: session=x`; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// A scope that the gateway's address demands; may be repeated
    #[arg(long = "scope")]
    scopes: Vec<String>,
    /// The client's request, as in `https://app.example.com/users/5`; a policy judges by it
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The method of the client's request [default: GET]
    #[arg(long, conflicts_with_all = ["curl", "har", "request_id"])]
    method: Option<String>,
    /// The client's request, as a `curl` command; `-` reads it from standard input
    #[arg(long, value_name = "COMMAND", allow_hyphen_values = true)]
    curl: Option<String>,
    /// A HAR file of a browser, with the client's request
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    har: Option<PathBuf>,
    /// The entry of that file, counted from 1 [default: the only one]
    #[arg(long, value_name = "NUMBER", requires = "har")]
    entry: Option<usize>,
    /// The id of a request in the gate's access log, which has its method, host and path
    #[arg(long, value_name = "ID", requires = "log")]
    request_id: Option<String>,
    /// A file with that log
    #[arg(long, value_name = "FILE", requires = "request_id", value_hint = ValueHint::FilePath)]
    log: Option<PathBuf>,
    /// The address of the client
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,
    /// The gateway that asks: nginx, ingress, traefik, caddy, haproxy or envoy [default: that of the
    /// log, else nginx]
    #[arg(long, value_parser = dialect)]
    dialect: Option<Dialect>,
    /// The answer that the external authorizer is taken to give, allow or deny; it is not asked
    #[arg(long, value_name = "ANSWER", value_parser = answer)]
    authorizer: Option<bool>,
    /// Print an object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

fn answer(text: &str) -> Result<bool, &'static str> {
    match text {
        "allow" => Ok(true),
        "deny" => Ok(false),
        _ => Err("write `allow` or `deny`"),
    }
}

pub(super) fn run(args: &Args) -> Outcome {
    block_on(run_explain(args))?
}

async fn run_explain(args: &Args) -> Outcome {
    let config = load_for_command(&args.settings)?;
    let (clock, random) = clock_and_random();
    let app = App::build(&config, clock.clone(), random).await.map_err(Failure::unavailable)?;
    app.read_published_keys().await.map_err(Failure::unavailable)?;
    let recorded = recorded(args)?;
    if recorded.is_none() && app.service.gate().has_policy() {
        let problem =
            "POLICY_FILE is set: name the client's request by --url, --curl, --har or --request-id";
        return Err(Failure::usage(anyhow!(problem)));
    }
    let names_request = recorded.is_some();
    let mut recorded = recorded.unwrap_or_else(Recorded::unknown);
    if names_request && !app.service.gate().has_policy() {
        let note = "POLICY_FILE is not set, so no route judges the URL and the method";
        recorded.notes.push(note.to_owned());
    }
    let dialect = args.dialect.or(recorded.dialect).unwrap_or(Dialect::Nginx);
    let request = request(args, dialect, &recorded)?.into_parts().0;
    let endpoint = Endpoint::at(request.uri.path()).context("a path begins with a slash");
    let endpoint = endpoint.map_err(Failure::usage)?;
    let mut inquiry = endpoint.read(&(&request).into());
    inquiry.line.client = args.client.or(recorded.client);
    inquiry.certificates = app.service.told_certificates(dialect, false, inquiry.headers);
    let gate = app.service.gate();
    let explanation = explain(gate, &inquiry, args.authorizer, clock.as_ref()).await;
    let response = app.service.render(dialect, &inquiry, &explanation.verdict);
    if let Some(Err(reason)) = app.service.redirect(&inquiry, &explanation.verdict) {
        recorded.notes.push(format!("no redirect to the login page: {reason}"));
    }
    if args.json {
        Output::json(&to_json(&explanation, &response, &recorded.notes))?;
    } else {
        Output::lines(&to_text(&explanation, &response, &recorded.notes))?;
    }
    Ok(match &explanation.verdict {
        Verdict::Allow(_) => Exit::Done,
        Verdict::Deny(denial) if denial.code.class() == Class::Unavailable => Exit::Unavailable,
        Verdict::Deny(_) => Exit::No,
    })
}

/// The client's request, where one is named. A failure holds nothing of it: there may be a
/// credential in it.
fn recorded(args: &Args) -> Result<Option<Recorded>, Failure> {
    let method = args.method.as_deref().unwrap_or("GET");
    let recorded = if let Some(url) = &args.url {
        Recorded::of_url(method, url).context("--url")
    } else if let Some(command) = &args.curl {
        curl::read(&argument_or_stdin(command)?).context("--curl")
    } else if let Some(path) = &args.har {
        har::read(path, args.entry).context("--har")
    } else if let (Some(id), Some(log)) = (&args.request_id, &args.log) {
        log_line::read(log, id).context("--request-id")
    } else {
        return Ok(None);
    };
    recorded.map(Some).map_err(Failure::usage)
}

/// The request as the gateway would send it.
fn request(
    args: &Args,
    dialect: Dialect,
    recorded: &Recorded,
) -> Result<http::Request<()>, Failure> {
    let request = dialect.question(&recorded.told(), &args.scopes);
    let request = request.context("no gateway can tell such a URL, method or scope");
    let mut request = request.map_err(Failure::usage)?;
    for (name, value) in &recorded.headers {
        request.headers_mut().append(name, value.clone());
    }
    for text in &args.headers {
        let (name, value) = header(text).map_err(Failure::usage)?;
        request.headers_mut().append(name, value);
    }
    if let Some(token) = &args.token {
        let value = format!("Bearer {}", argument_or_stdin(token)?);
        let value = HeaderValue::from_str(&value).context("--token").map_err(Failure::usage)?;
        request.headers_mut().append(AUTHORIZATION, value);
    }
    Ok(request)
}

fn outcome(verdict: &Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Allow(_) => ("allow", "ok"),
        Verdict::Deny(denial) => ("deny", denial.code.as_str()),
    }
}

fn to_text<B>(explanation: &Explanation, response: &http::Response<B>, notes: &[String]) -> String {
    let step = |step: &Step| {
        let mark = if step.passed { "yes" } else { "NO " };
        format!("{mark} {:<12} {}", step.step, step.finding)
    };
    let mut lines: Vec<_> = notes.iter().map(|note| format!("note: {note}")).collect();
    lines.extend(explanation.steps.iter().map(step));
    let (verdict, code) = outcome(&explanation.verdict);
    lines.push(format!("verdict: {verdict} ({code}), status {}", response.status().as_u16()));
    for (name, value) in response.headers() {
        lines.push(format!("  {name}: {}", shown(value)));
    }
    lines.join("\n")
}

fn to_json<B>(explanation: &Explanation, response: &http::Response<B>, notes: &[String]) -> Value {
    let (verdict, code) = outcome(&explanation.verdict);
    let headers: Vec<_> = response
        .headers()
        .iter()
        .map(|(name, value)| json!([name.as_str(), shown(value)]))
        .collect();
    json!({
        "verdict": verdict,
        "code": code,
        "status": response.status().as_u16(),
        "headers": headers,
        "steps": explanation.steps,
        "notes": notes,
    })
}

/// A header's value; one that is a credential stays hidden.
fn shown(value: &HeaderValue) -> Cow<'_, str> {
    if value.is_sensitive() && !value.is_empty() {
        return format!("(a credential of {} bytes)", value.len()).into();
    }
    String::from_utf8_lossy(value.as_bytes())
}

/// Not left to clap, whose message would repeat the value, credentials and all.
fn header(text: &str) -> anyhow::Result<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':').context("--header: write `NAME: VALUE`")?;
    let name: HeaderName = name.trim().parse().context("--header: that is no name of a header")?;
    let value = HeaderValue::from_str(value.trim()).context("--header: that is no value")?;
    Ok((name, value))
}

fn dialect(text: &str) -> anyhow::Result<Dialect> {
    let names = Dialect::ALL.map(Dialect::name).join(", ");
    Dialect::named(text).with_context(|| format!("write one of {names}"))
}
