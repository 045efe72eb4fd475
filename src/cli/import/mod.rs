//! `import`: users and API keys of other systems.
//!
//! Every import goes the same way: the source is read to its end, a plan says what is new, there
//! already or in conflict, all of it is told, and then what is new is added in one transaction. One
//! that is broken off has added nothing, and one that is run again changes nothing.

mod authnzerver;
mod database;
mod file;
mod incoming;
mod jwthenticator;
mod mdb_engine;
mod plan;
mod report;
mod users;

use std::collections::HashMap;

use anyhow::anyhow;

use super::accounts::{Accounts, failed, load};
use super::progress::Progress;
use super::settings::SettingFlags;
use super::{Failure, Outcome, audit};
use crate::account::{AccountError, AccountStore};
use crate::config::{AccountStoreConfig, AccountsConfig};
use crate::issuer::audit::Event;
use incoming::Incoming;
use plan::{Known, Plan};
use report::Report;

/// The number of users that are read at once.
const PAGE: usize = 500;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Take over authnzerver's accounts; its sessions and API keys are not, since what they are
    /// bound to is not in its database
    Authnzerver(authnzerver::Args),
    /// Take over jwthenticator's registered keys; its refresh tokens are not, since its clients get
    /// new ones by their keys
    Jwthenticator(jwthenticator::Args),
    /// Take over mdb-engine's users from what mongoexport wrote, the users of an application or the
    /// shared ones
    MdbEngine(mdb_engine::Args),
    /// Take over users from a file, an object a line: id, username, email, email_verified,
    /// full_name, kind, roles, scopes, claims, password_hash (Argon2 or bcrypt); all but username
    /// may be left out
    Users(users::Args),
}

pub(super) fn run(command: &Command) -> Outcome {
    match command {
        Command::Authnzerver(args) => super::block_on(authnzerver::import(args))?,
        Command::Jwthenticator(args) => super::block_on(jwthenticator::import(args))?,
        Command::MdbEngine(args) => super::block_on(mdb_engine::import(args))?,
        Command::Users(args) => super::block_on(users::import(args))?,
    }
}

/// The flags of every import.
#[derive(Debug, clap::Args)]
struct Flags {
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Leave out the records that are in conflict or cannot be read, and import the others
    #[arg(long)]
    skip_conflicts: bool,
    /// Print an object with the counts and the conflicts
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

impl Flags {
    /// The accounts' section; a mistake in the settings is told before a source is read.
    fn config(&self) -> Result<AccountsConfig, Failure> {
        Ok(load(&self.settings)?.0)
    }
}

/// Plans and tells, and adds what is new unless that is not wanted.
async fn take_over(incoming: Incoming, flags: &Flags, source: &'static str) -> Outcome {
    if flags.dry_run {
        let plan = dry_plan(incoming, flags).await?;
        return Report::of(&plan).dry_run(flags);
    }
    let log = audit::open(&flags.settings)?;
    let accounts = Accounts::open(&flags.settings).await?;
    let plan = plan(incoming, accounts.store.as_ref()).await?;
    let report = Report::of(&plan);
    if !plan.conflicts.is_empty() && !flags.skip_conflicts {
        return report.refused(flags);
    }
    let added = plan.users.len() + plan.keys.len();
    if added > 0 {
        add(&plan, accounts.store.as_ref()).await?;
        log.event(Event::Imported).count(added as u64).reason(source).write();
    }
    report.imported(flags)
}

/// The plan of a dry run, for which no file is made.
async fn dry_plan(incoming: Incoming, flags: &Flags) -> Result<Plan, Failure> {
    match flags.config()?.store {
        AccountStoreConfig::Sqlite(path) if !path.exists() => {
            Ok(Plan::make(incoming, Known::default(), HashMap::new()))
        }
        _ => {
            let accounts = Accounts::open(&flags.settings).await?;
            plan(incoming, accounts.store.as_ref()).await
        }
    }
}

/// Holds the source against all accounts that there are.
async fn plan(incoming: Incoming, store: &dyn AccountStore) -> Result<Plan, Failure> {
    let mut known = Known::default();
    let mut after = None;
    loop {
        let page = store.users(after.as_ref(), PAGE).await.map_err(failed)?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        for user in &page {
            known.add_stored(user);
        }
    }
    let mut keys = HashMap::new();
    for new in &incoming.keys {
        if let Some(found) = store.key(&new.key.digest).await.map_err(failed)? {
            keys.insert(found.digest.as_str().to_owned(), found.user);
        }
    }
    Ok(Plan::make(incoming, known, keys))
}

/// Adds all that is new, or nothing.
async fn add(plan: &Plan, store: &dyn AccountStore) -> Result<(), Failure> {
    let total = plan.users.len() + plan.keys.len();
    let mut progress = Progress::new(total as u64);
    let added = store.import(&plan.users, &plan.keys, &mut || progress.step()).await;
    progress.finish();
    added.map_err(|error| match error {
        AccountError::Taken(_) | AccountError::NoSuchUser => Failure::no(anyhow!(
            "the accounts were changed meanwhile ({error}); nothing was imported: run it again"
        )),
        other => failed(other),
    })
}
