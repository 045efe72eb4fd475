//! `audit list`, `summary` and `purge`: the table of audit events.

use anyhow::anyhow;
use serde_json::{Value, json};

use super::accounts::{ambiguous_user, cell, failed};
use super::audit::{self, COMMAND};
use super::output::{Column, Output};
use super::settings::SettingFlags;
use super::{Exit, Failure, Outcome, block_on, clock_and_random};
use crate::account::{self, AuditEvent, EventSummary, UserLookup};
use crate::app::{AccountDatabase, open_account_database};
use crate::config::{AuditConfig, Config};
use crate::issuer::audit::Event;
use crate::issuer::audit::search::{
    self, EventSearch, Period, SearchError, USUAL_LIMIT, event_json, page_json, summary_json,
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List audit events, newest first; each flag narrows the search
    List(ListArgs),
    /// Count the events of a period by kind, and refused logins by name and by address
    Summary(SummaryArgs),
    /// Delete events; a server deletes those older than AUDIT_RETENTION by itself
    Purge(PurgeArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Of this user: a username, an e-mail, or an id
    #[arg(long)]
    user: Option<String>,
    /// With this name written at a login, in any spelling, be it nobody's
    #[arg(long)]
    login: Option<String>,
    /// From this address
    #[arg(long)]
    address: Option<String>,
    /// Of this kind, such as `login_refused`
    #[arg(long)]
    kind: Option<String>,
    #[command(flatten)]
    period: PeriodArgs,
    /// List so many at most: 1 to 1000
    #[arg(long, default_value_t = USUAL_LIMIT)]
    limit: usize,
    /// Go on behind the page that ended so
    #[arg(long)]
    cursor: Option<String>,
    /// Print an object with the events, and where the next page begins
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, clap::Args)]
pub(super) struct PeriodArgs {
    /// Not before this time: 2026-11-22 or 2026-11-22T08:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct SummaryArgs {
    #[command(flatten)]
    period: PeriodArgs,
    /// Print an object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, clap::Args)]
pub(super) struct PurgeArgs {
    /// Delete what happened before this time; without it, what is older than AUDIT_RETENTION
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// Print an object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

pub(super) fn run(command: &Command) -> Outcome {
    match command {
        Command::List(args) => block_on(list(args))?,
        Command::Summary(args) => block_on(summary(args))?,
        Command::Purge(args) => block_on(purge(args))?,
    }
}

/// The database, and what is configured about its events.
async fn open(flags: &SettingFlags) -> Result<(AuditConfig, AccountDatabase), Failure> {
    let (config, accounts) = flags.load(Config::load_audit)?;
    let database = open_account_database(&accounts).await.map_err(Failure::unavailable)?;
    Ok((config, database))
}

fn unanswered(error: SearchError) -> Failure {
    match error {
        SearchError::Bad(bad) => Failure::usage(bad),
        SearchError::Store(error) => failed(error),
    }
}

async fn list(args: &ListArgs) -> Outcome {
    let (config, database) = open(&args.settings).await?;
    let user = match &args.user {
        Some(who) => Some(user_id(&database, who).await?),
        None => None,
    };
    let search = EventSearch {
        user,
        login: args.login.clone(),
        address: args.address.clone(),
        kind: args.kind.clone(),
        from: args.period.from.clone(),
        to: args.period.to.clone(),
        limit: Some(args.limit),
        cursor: args.cursor.clone(),
    };
    let page = search.page(database.events.as_ref(), &config.pseudonyms).await;
    let page = page.map_err(unanswered)?;
    if args.json {
        Output::json(&page_json(&page))?;
        return Ok(Exit::Done);
    }
    Output::list(&page.events, false, event_json, COLUMNS)?;
    if let Some(next) = &page.next {
        Output::say(&format!("there may be more: go on with --cursor {next}"));
    }
    Ok(Exit::Done)
}

/// The id of the user of that name; a name that is no account's, as that of a user who was deleted,
/// is taken for an id.
async fn user_id(database: &AccountDatabase, who: &str) -> Result<String, Failure> {
    match account::find_user(database.accounts.as_ref(), who).await.map_err(failed)? {
        UserLookup::Found(user) => Ok(user.id.as_str().to_owned()),
        UserLookup::Ambiguous { by_login, .. } => Err(ambiguous_user(who, &by_login)),
        UserLookup::NotFound => Ok(who.to_owned()),
    }
}

const COLUMNS: &[Column<AuditEvent>] = &[
    ("TIME", 20, |it| it.time.to_string()),
    ("EVENT", 18, |it| it.kind.clone()),
    ("WHO", 27, |it| optional(it.user.as_ref().or(it.login.as_ref()).or(it.client.as_ref()))),
    ("ADDRESS", 27, |it| optional(it.address.as_ref())),
    ("REASON", 20, |it| optional(it.reason.as_ref())),
    ("ERROR", 0, |it| optional(it.error.as_ref())),
];

fn optional(text: Option<&String>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| cell(text))
}

async fn summary(args: &SummaryArgs) -> Outcome {
    let (_, database) = open(&args.settings).await?;
    let period = Period { from: args.period.from.clone(), to: args.period.to.clone() };
    let summary = period.summary(database.events.as_ref()).await.map_err(unanswered)?;
    if args.json {
        Output::json(&summary_json(&summary))?;
        return Ok(Exit::Done);
    }
    Output::lines(&summary_lines(&summary).join("\n"))?;
    Ok(Exit::Done)
}

fn summary_lines(summary: &EventSummary) -> Vec<String> {
    let line = |count: u64, what: &str| format!("{count:>9}  {what}");
    let kinds = summary.kinds.iter().map(|(kind, count, left_out)| match left_out {
        0 => line(*count, kind),
        more => line(*count, &format!("{kind}, and {more} more that were left out")),
    });
    let by = |what: &str, counts: &[(String, u64)]| -> Vec<String> {
        let head = (!counts.is_empty()).then(|| format!("refused logins by {what}:"));
        head.into_iter().chain(counts.iter().map(|(of, count)| line(*count, &cell(of)))).collect()
    };
    let names = by("name", &summary.refused_logins);
    kinds.chain(names).chain(by("address", &summary.refused_addresses)).collect()
}

async fn purge(args: &PurgeArgs) -> Outcome {
    let log = audit::open(&args.settings)?;
    let (config, database) = open(&args.settings).await?;
    let (clock, _) = clock_and_random();
    let before = match (&args.before, config.retention) {
        (Some(text), _) => search::time(text).map_err(Failure::usage)?,
        (None, Some(age)) => clock.now().before(age),
        (None, None) => {
            return Err(Failure::usage(anyhow!(
                "AUDIT_RETENTION=0: nothing is too old; say with --before what to delete"
            )));
        }
    };
    let purged = search::purge(database.events.as_ref(), before).await.map_err(failed)?;
    if purged > 0 {
        log.event(Event::AuditPurged).count(purged).reason(COMMAND).write();
    }
    if args.json {
        let told: Value = json!({ "purged": purged, "before": before.to_string() });
        Output::json(&told)?;
    } else {
        Output::say(&format!("{purged} events before {before} are deleted"));
    }
    Ok(Exit::Done)
}
