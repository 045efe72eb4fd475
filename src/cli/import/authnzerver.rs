//! authnzerver's accounts, from its database. The schema is that of its newest version; that of
//! 0.1.3, on PyPI, lacks a column and a table, and will do.

mod row;

use std::collections::HashSet;

use super::super::accounts::passwords;
use super::super::progress::Progress;
use super::super::{Failure, Outcome, clock_and_random};
use super::database::{Place, Source};
use super::incoming::Incoming;
use super::{Flags, take_over};
use crate::account::password::Passwords;
use crate::clock::UnixTime;
use row::{Reading, Row, Taken};

/// The tables that are not taken over, with what is said of their rows.
const LEFT_OUT: [(&str, &str); 5] = [
    ("sessions", "sessions: people log in again"),
    ("apikeys", "API keys of sessions: they end with their sessions"),
    (
        "apikeys_nosession",
        "API keys without a session: their issuer, audience, subject and address are not in the \
         database, and a key that is bound to nothing would open more than it did; issue new ones",
    ),
    ("groups", "groups: no request of authnzerver uses them"),
    ("preferences", "preferences: no request of authnzerver uses them"),
];

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    flags: Flags,
}

pub(super) async fn import(args: &Args) -> Outcome {
    let config = args.flags.config()?;
    let mut source = Source::open(&args.place).await?;
    let (clock, _) = clock_and_random();
    let incoming = read_all(&mut source, &passwords(&config)?, clock.now()).await;
    take_over(incoming.map_err(Failure::unavailable)?, &args.flags, "authnzerver").await
}

async fn read_all(
    source: &mut Source,
    passwords: &Passwords,
    now: UnixTime,
) -> anyhow::Result<Incoming> {
    let columns = source.columns().await?;
    let sql = select(source, &columns);
    let mut progress = Progress::new(source.number("SELECT count(*) FROM users").await?);
    let mut incoming = Incoming::default();
    let reading = Reading { passwords, now };
    let mut after = i64::MIN;
    loop {
        let page: Vec<Row> = source.page(&sql, after).await?;
        let Some(last) = page.last() else { break };
        after = last.user_id;
        for row in &page {
            progress.step();
            let origin = format!("row {}", row.user_id);
            match reading.user(row) {
                Ok(Taken::User(user)) => incoming.user(origin, *user),
                Ok(Taken::LeftOut(why)) => incoming.leave_out(why, 1),
                Err(reason) => incoming.unreadable(origin, reason),
            }
        }
    }
    progress.finish();
    leave_out(source, &columns, &mut incoming).await?;
    Ok(incoming)
}

/// The users, by id.
fn select(source: &Source, columns: &HashSet<String>) -> String {
    let flag = |column: &str| format!("CAST(CASE WHEN {column} THEN 1 ELSE 0 END AS BIGINT)");
    let has_info = columns.contains("users.extra_info");
    let info = if has_info { "CAST(extra_info AS TEXT)" } else { "CAST(NULL AS TEXT)" };
    format!(
        "SELECT CAST(user_id AS BIGINT) AS user_id, system_id, full_name, password, email, \
         {verified} AS email_verified, {active} AS is_active, user_role, {info} AS extra_info, \
         {created} AS created, {updated} AS updated, {login} AS last_login, \
         {verification} AS verification_sent, {reset} AS reset_sent \
         FROM users WHERE user_id > $1 ORDER BY user_id LIMIT $2",
        verified = flag("email_verified"),
        active = flag("is_active"),
        created = source.millis("created_on"),
        updated = source.millis("last_updated"),
        login = source.millis("last_login_success"),
        verification = source.millis("emailverify_sent_datetime"),
        reset = source.millis("emailforgotpass_sent_datetime"),
    )
}

async fn leave_out(
    source: &mut Source,
    columns: &HashSet<String>,
    incoming: &mut Incoming,
) -> anyhow::Result<()> {
    for (table, what) in LEFT_OUT {
        let start = format!("{table}.");
        if columns.iter().any(|column| column.starts_with(&start)) {
            let sql = format!("SELECT count(*) FROM {table}");
            incoming.leave_out(what, source.number(&sql).await?);
        }
    }
    Ok(())
}
