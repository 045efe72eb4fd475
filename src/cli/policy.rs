//! `policy test`, and `policy rule`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueHint;
use serde_json::{Value, json};

use super::output::Output;
use super::policy_rule;
use super::settings::SettingFlags;
use super::{Exit, Failure, Outcome};
use crate::config::settings::POLICY_FILE;
use crate::config::{Config, Expectation, ExpectedCase};
use crate::gate::denial::{Denial, DenialCode};
use crate::gate::policy_case::{self, judge};
use crate::policy::DecisionRequest;
use crate::policy::canonical::Refusal;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Judge the requests of a file by a policy, and say which verdicts are not the expected ones
    Test(TestArgs),
    /// Casbin's rules in the database of accounts (CASBIN_STORED_RULES)
    #[command(subcommand)]
    Rule(policy_rule::Command),
}

#[derive(Debug, clap::Args)]
pub(super) struct TestArgs {
    /// The requests and the expected verdicts, in TOML
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    cases: PathBuf,
    /// The policy, in place of POLICY_FILE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    policy: Option<String>,
    /// Print an object with all cases
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

pub(super) fn run(command: &Command) -> Outcome {
    match command {
        Command::Test(args) => test(args),
        Command::Rule(command) => policy_rule::run(command),
    }
}

/// A case, and what came of it.
struct Judged<'c> {
    case: &'c ExpectedCase,
    verdict: Result<Option<Arc<str>>, Denial>,
    asked: Option<Box<DecisionRequest>>,
}

fn test(args: &TestArgs) -> Outcome {
    let mut sources = args.settings.sources();
    if let Some(policy) = &args.policy {
        sources.flags.insert(POLICY_FILE.entry.name.to_owned(), policy.clone());
    }
    let test = Config::load_policy_test(&sources, &args.cases).map_err(Failure::usage)?;
    let judged = test.cases.iter().map(|case| {
        let policy_case::Judged { verdict, asked } = judge(&test.policy, &case.case);
        Judged { case, verdict, asked }
    });
    let judged: Vec<_> = judged.collect();
    let failed = judged.iter().filter(|it| !it.is_expected()).count();
    if args.json {
        let cases: Vec<_> = judged.iter().map(Judged::to_json).collect();
        Output::json(
            &json!({ "passed": judged.len() - failed, "failed": failed, "cases": cases }),
        )?;
    } else {
        let file = args.cases.display().to_string();
        for judged in judged.iter().filter(|it| !it.is_expected()) {
            Output::lines(&judged.to_text(&file))?;
        }
        Output::lines(&format!("{} cases, {failed} failed", judged.len()))?;
    }
    Ok(if failed == 0 { Exit::Done } else { Exit::No })
}

impl Judged<'_> {
    fn route(&self) -> Option<&str> {
        let route = match &self.verdict {
            Ok(route) => route,
            Err(denial) => &denial.route,
        };
        route.as_deref()
    }

    fn is_expected(&self) -> bool {
        let Expectation { allow, code, route } = &self.case.expected;
        let is_route = route.as_ref().is_none_or(|route| self.route() == Some(route));
        let is_verdict = match &self.verdict {
            Ok(_) => *allow,
            Err(denial) => !allow && code.is_none_or(|code| code == denial.code),
        };
        is_verdict && is_route
    }

    fn to_text(&self, file: &str) -> String {
        let ExpectedCase { name, line, expected, .. } = self.case;
        let code = expected.code.map(|code| format!(" ({})", code.as_str()));
        let route = expected.route.as_ref().map(|route| format!(" by the route {route:?}"));
        let asked = self.asked.as_ref().map(|asked| {
            format!("; the authorizer would be asked: {asked} `authorizer` says what it answers")
        });
        format!(
            "{file}, line {line}: {name:?} expects {}{}{}, and it is {}{}",
            word(expected.allow),
            code.unwrap_or_default(),
            route.unwrap_or_default(),
            self.verdict_in_words(),
            asked.unwrap_or_default(),
        )
    }

    fn verdict_in_words(&self) -> String {
        let route = match self.route() {
            Some(route) => format!("by the route {route:?}"),
            None => "by no route".to_owned(),
        };
        match &self.verdict {
            Ok(_) => format!("allow {route}"),
            Err(denial) => {
                let refusal = denial.refusal.map(|refusal| format!(": {}", refusal.code()));
                let (code, refusal) = (denial.code.as_str(), refusal.unwrap_or_default());
                format!("deny ({code}{refusal}) {route}")
            }
        }
    }

    fn to_json(&self) -> Value {
        let ExpectedCase { name, line, expected, .. } = self.case;
        let denial = self.verdict.as_ref().err();
        json!({
            "name": name,
            "line": line,
            "passed": self.is_expected(),
            "expected": {
                "verdict": word(expected.allow),
                "code": expected.code.map(DenialCode::as_str),
                "route": expected.route,
            },
            "verdict": word(self.verdict.is_ok()),
            "code": denial.map_or("ok", |denial| denial.code.as_str()),
            "refusal": denial.and_then(|denial| denial.refusal).map(Refusal::code),
            "route": self.route(),
            "asked": self.asked.as_ref().map(ToString::to_string),
        })
    }
}

fn word(allow: bool) -> &'static str {
    if allow { "allow" } else { "deny" }
}
