//! `import jwthenticator` and `import users`. Each may be run again: what is there stays as it is.

mod jwthenticator;
mod users;

use serde_json::json;

use super::accounts::failed;
use super::audit::CommandLog;
use super::output::Output;
use super::{Exit, Failure, Outcome};
use crate::account::{AccountError, AccountStore, User};
use crate::issuer::audit::Event;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Take over jwthenticator's registered keys; its refresh tokens are not, since its clients get
    /// new ones by their keys
    Jwthenticator(jwthenticator::Args),
    /// Take over users from a file, an object a line: id, username, email, email_verified,
    /// full_name, kind, roles, scopes, claims, password_hash (Argon2 or bcrypt); all but username
    /// may be left out
    Users(users::Args),
}

pub(super) fn run(command: &Command) -> Outcome {
    match command {
        Command::Jwthenticator(args) => super::block_on(jwthenticator::import(args))?,
        Command::Users(args) => super::block_on(users::import(args))?,
    }
}

/// Outcome of the import of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ImportOutcome {
    Added,
    /// It was there.
    AlreadyPresent,
    /// Its id or a name of it is somebody else's.
    Conflict,
}

/// Number of records by outcome.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    added: u64,
    kept: u64,
    refused: u64,
}

impl Counts {
    fn count(&mut self, outcome: ImportOutcome) {
        match outcome {
            ImportOutcome::Added => self.added += 1,
            ImportOutcome::AlreadyPresent => self.kept += 1,
            ImportOutcome::Conflict => self.refused += 1,
        }
    }

    /// Tells the audit log how many were added, also where the rest could not be.
    fn audit(self, log: &CommandLog, source: &str) {
        log.event(Event::Imported).count(self.added).reason(source).write();
    }

    /// Says how many of each; where some were refused, the answer is no.
    fn report(self, what: &str, as_json: bool) -> Outcome {
        let Self { added, kept, refused } = self;
        if as_json {
            Output::json(&json!({ "added": added, "there_already": kept, "refused": refused }))?;
        } else {
            let told = format!("{what}: {added} added, {kept} there already, {refused} refused");
            Output::say(&told);
        }
        Ok(if refused == 0 { Exit::Done } else { Exit::No })
    }
}

/// Adds a user, unless it is there.
async fn add_user(store: &dyn AccountStore, user: &User) -> Result<ImportOutcome, Failure> {
    match store.add_user(user).await {
        Ok(()) => Ok(ImportOutcome::Added),
        Err(AccountError::Taken(_)) => {
            let found = store.user(&user.id).await.map_err(failed)?;
            let is_same = found.is_some_and(|found| found.username == user.username);
            Ok(if is_same { ImportOutcome::AlreadyPresent } else { ImportOutcome::Conflict })
        }
        Err(error) => Err(failed(error)),
    }
}
