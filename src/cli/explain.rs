//! `explain`.

use std::borrow::Cow;

use anyhow::{Context as _, anyhow};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::output::Output;
use super::settings::SettingFlags;
use super::token::argument_or_stdin;
use super::{Exit, Failure, Outcome, block_on, clock_and_random, load_for_command};
use crate::app::App;
use crate::gate::Dialect;
use crate::gate::denial::Class;
use crate::gate::explain::{Explanation, explain};
use crate::gate::verdict::Verdict;

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
    /// The gateway that asks: nginx or traefik
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
    let explanation =
        explain(app.service.gate(), &args.dialect.read(&request), clock.as_ref()).await;
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
    let mut headers = HeaderMap::new();
    for text in &args.headers {
        let (name, value) = header(text).map_err(Failure::usage)?;
        headers.append(name, value);
    }
    if let Some(token) = &args.token {
        let value = format!("Bearer {}", argument_or_stdin(token)?);
        let value = HeaderValue::from_str(&value).context("--token").map_err(Failure::usage)?;
        headers.append(AUTHORIZATION, value);
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(args.scopes.iter().map(|scope| ("scope", scope)));
    let uri = format!("{}?{}", args.dialect.path(), query.finish());
    let mut request = http::Request::get(uri).body(())?;
    *request.headers_mut() = headers;
    Ok(request)
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
    match text {
        "nginx" => Ok(Dialect::Nginx),
        "traefik" => Ok(Dialect::Traefik),
        _ => Err(anyhow!("write `nginx` or `traefik`")),
    }
}
