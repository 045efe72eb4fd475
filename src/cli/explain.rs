//! `explain`.

use std::borrow::Cow;
use std::net::IpAddr;

use anyhow::{Context as _, anyhow};
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
use crate::gate::explain::{Explanation, explain};
use crate::gate::verdict::Verdict;
use crate::policy::canonical::Told;

#[derive(Debug, clap::Args)]
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
    /// The method of the client's request
    #[arg(long, default_value = "GET")]
    method: String,
    /// The address of the client
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,
    /// The gateway that asks: nginx, ingress, traefik, caddy, haproxy or envoy
    #[arg(long, default_value = "nginx", value_parser = dialect)]
    dialect: Dialect,
    /// Print an object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

pub(super) fn run(args: &Args) -> Outcome {
    block_on(run_explain(args))?
}

async fn run_explain(args: &Args) -> Outcome {
    let config = load_for_command(&args.settings)?;
    let (clock, random) = clock_and_random();
    let app = App::build(&config, clock.clone(), random).await.map_err(Failure::unavailable)?;
    app.read_published_keys().await.map_err(Failure::unavailable)?;
    let request = request(args)?.into_parts().0;
    if args.url.is_none() && app.service.gate().has_policy() {
        return Err(Failure::usage(anyhow!(
            "POLICY_FILE is set: name the client's request by --url"
        )));
    }
    let endpoint = Endpoint::at(request.uri.path()).context("--url: a path begins with a slash");
    let endpoint = endpoint.map_err(Failure::usage)?;
    let mut inquiry = endpoint.read(&request);
    inquiry.line.client = args.client;
    let explanation = explain(app.service.gate(), &inquiry, clock.as_ref()).await;
    let response = args.dialect.render(&explanation.verdict, &config.gate.denial_config);
    if args.json {
        Output::json(&to_json(&explanation, &response))?;
    } else {
        Output::lines(&to_text(&explanation, &response))?;
    }
    Ok(match &explanation.verdict {
        Verdict::Allow(_) => Exit::Done,
        Verdict::Deny(denial) if denial.code.class() == Class::Unavailable => Exit::Unavailable,
        Verdict::Deny(_) => Exit::No,
    })
}

/// The request as the gateway would send it.
fn request(args: &Args) -> Result<http::Request<()>, Failure> {
    let told = args.url.as_deref().map(|url| told(&args.method, url)).transpose();
    let told =
        told.map_err(Failure::usage)?.unwrap_or(Told { target: Some("/"), ..Told::default() });
    let request = args.dialect.question(&told, &args.scopes);
    let mut request = request.context("--url, --method or --scope").map_err(Failure::usage)?;
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

/// The client's request. The path stays as it was typed: its spelling is what is judged.
fn told<'a>(method: &'a str, url: &'a str) -> anyhow::Result<Told<'a>> {
    let (scheme, rest) = url.split_once("://").context("--url: begin with https:// or http://")?;
    let (host, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let target = if target.is_empty() { "/" } else { target };
    let (method, scheme) = (Some(method), Some(scheme));
    Ok(Told { method, scheme, host: Some(host), target: Some(target), client: None })
}

fn outcome(verdict: &Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Allow(_) => ("allow", "ok"),
        Verdict::Deny(denial) => ("deny", denial.code.as_str()),
    }
}

fn to_text<B>(explanation: &Explanation, response: &http::Response<B>) -> String {
    let mut lines: Vec<String> = explanation
        .steps
        .iter()
        .map(|step| {
            let mark = if step.passed { "yes" } else { "NO " };
            format!("{mark} {:<12} {}", step.step, step.finding)
        })
        .collect();
    let (verdict, code) = outcome(&explanation.verdict);
    lines.push(format!("verdict: {verdict} ({code}), status {}", response.status().as_u16()));
    for (name, value) in response.headers() {
        lines.push(format!("  {name}: {}", shown(value)));
    }
    lines.join("\n")
}

fn to_json<B>(explanation: &Explanation, response: &http::Response<B>) -> Value {
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
