//! Parts that the commands on users, API keys and clients share: the open stores, the user who is
//! meant, what is printed, and how a password is read.

use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value, json};

use super::audit::{self, CommandLog};
use super::settings::SettingFlags;
use super::{Failure, clock_and_random, extend_timeouts};
use crate::account::password::Passwords;
use crate::account::{self, AccountError, AccountStore, Login, User, UserLookup, is_reserved};
use crate::app::{open_accounts, open_stores};
use crate::clock::UnixTime;
use crate::config::{AccountsConfig, Config, SessionConfig};
use crate::issuer::subject::CLIENT_PREFIX;
use crate::secret::{Secret, SystemRandom};
use crate::session::{Sessions, UserId};
use crate::store::StoreMetrics;

/// The longest line that is read as a password.
const MAX_LINE_BYTES: u64 = 1 << 16;

/// The accounts of a command, open, and where its sessions are.
pub(super) struct Accounts {
    pub(super) config: AccountsConfig,
    pub(super) session_config: SessionConfig,
    pub(super) store: Arc<dyn AccountStore>,
}

/// The accounts' section, and that of the sessions, for a command.
pub(super) fn load(flags: &SettingFlags) -> Result<(AccountsConfig, SessionConfig), Failure> {
    let (accounts, mut sessions) = flags.load(Config::load_accounts)?;
    extend_timeouts(&mut sessions);
    Ok((accounts, sessions))
}

impl Accounts {
    /// The configured accounts, for a command that looks at them.
    pub(super) async fn open(flags: &SettingFlags) -> Result<Self, Failure> {
        Self::configured(load(flags)?).await
    }

    /// The same for a command that changes them, and the log that is told of it.
    pub(super) async fn open_to_change(
        flags: &SettingFlags,
    ) -> Result<(Self, CommandLog), Failure> {
        let loaded = load(flags)?;
        let log = audit::open(flags)?;
        Ok((Self::configured(loaded).await?, log))
    }

    async fn configured(loaded: (AccountsConfig, SessionConfig)) -> Result<Self, Failure> {
        let (config, session_config) = loaded;
        let store = open_accounts(&config).await.map_err(Failure::unavailable)?;
        Ok(Self { config, session_config, store })
    }

    /// The configured sessions.
    pub(super) async fn sessions(&self) -> Result<Sessions, Failure> {
        sessions(&self.session_config).await
    }

    /// The user of that name or id.
    ///
    /// # Errors
    /// There is none, or it is the name of one and the id of another: no command may
    /// fall on the wrong one.
    pub(super) async fn user(&self, who: &str) -> Result<User, Failure> {
        match account::find_user(self.store.as_ref(), who).await.map_err(failed)? {
            UserLookup::Found(user) => Ok(*user),
            UserLookup::Ambiguous { by_login, .. } => Err(ambiguous_user(who, &by_login)),
            UserLookup::NotFound => Err(Failure::no(anyhow!("there is no user {who:?}"))),
        }
    }
}

/// The sessions of the configured store.
pub(super) async fn sessions(config: &SessionConfig) -> Result<Sessions, Failure> {
    let store = open_stores(config).await.map_err(Failure::unavailable)?.sessions;
    let (clock, _) = clock_and_random();
    Ok(Sessions::new(store, config.policy, clock, StoreMetrics::default()))
}

/// A name that is taken, or a user who is not there, is a no; anything else is the store's failure.
pub(super) fn failed(error: AccountError) -> Failure {
    match error {
        AccountError::Taken(_) | AccountError::NoSuchUser => Failure::no(error),
        AccountError::Unavailable(_) | AccountError::TimedOut | AccountError::Corrupt { .. } => {
            Failure::unavailable(error)
        }
    }
}

/// The same failure, after a secret was shown that is now good for nothing.
pub(super) fn secret_is_void(failure: Failure) -> Failure {
    let Failure { exit, error } = failure;
    Failure { exit, error: error.context("the secret above is of no use") }
}

/// A further claim of a user, who cannot be given what the issuer or another flag says.
pub(super) fn check_claim(name: &str) -> anyhow::Result<()> {
    const OF_A_FIELD: [&str; 6] =
        ["username", "preferred_username", "email", "email_verified", "name", "roles"];
    if is_reserved(name) {
        bail!("the claim {name:?} is the issuer's to write, and would be dropped");
    }
    if OF_A_FIELD.contains(&name) {
        bail!(
            "the claim {name:?} comes from what a user has of his own: username, e-mail, name, roles"
        );
    }
    Ok(())
}

/// Hashes passwords as configured.
pub(super) fn passwords(config: &AccountsConfig) -> Result<Passwords, Failure> {
    Ok(Passwords::new(config.hashing, Arc::new(SystemRandom))?)
}

/// The user that a command is about.
#[derive(Debug, clap::Args)]
pub(super) struct UserArg {
    /// The user: a username, an e-mail, or an id
    #[arg(value_name = "USER", allow_hyphen_values = true)]
    pub(super) name: String,
}

/// A text that is the id of one user and a name of another.
pub(super) fn ambiguous_user(who: &str, by_login: &User) -> Failure {
    Failure::usage(anyhow!(
        "{who:?} is the id of one user and a name of another; name the first by username or \
         e-mail, the second by its id {:?}",
        by_login.id.as_str()
    ))
}

/// An id that nobody can take for a client's.
pub(super) fn user_id(text: &str) -> anyhow::Result<UserId> {
    refuse_client_prefix(text)?;
    Ok(UserId::parse(text)?)
}

/// A username or an e-mail that nobody can take for a client's.
pub(super) fn login(text: &str) -> anyhow::Result<Login> {
    let login = Login::parse(text)?;
    refuse_client_prefix(login.canonical())?;
    Ok(login)
}

fn refuse_client_prefix(text: &str) -> anyhow::Result<()> {
    if text.to_lowercase().starts_with(CLIENT_PREFIX) {
        bail!("what starts with {CLIENT_PREFIX} is for the tokens of clients");
    }
    Ok(())
}

/// A new password: asked for twice on a terminal, else one line of standard input.
pub(super) fn read_new_password() -> Result<Secret, Failure> {
    let stdin = std::io::stdin();
    let password = if stdin.is_terminal() {
        let ask = |prompt| rpassword::prompt_password(prompt).context("cannot ask for a password");
        let first = Secret::new(ask("New password: ")?);
        if first != Secret::new(ask("The same again: ")?) {
            return Err(Failure::usage(anyhow!("these were two different passwords")));
        }
        first
    } else {
        let mut line = Vec::new();
        let mut limited = stdin.lock().take(MAX_LINE_BYTES);
        limited.read_until(b'\n', &mut line).context("cannot read standard input")?;
        let end = line.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r'));
        line.truncate(end.map_or(0, |last| last + 1));
        Secret::new(line)
    };
    if password.expose().is_empty() {
        return Err(Failure::usage(anyhow!(
            "the password is empty; it is read from standard input"
        )));
    }
    Ok(password)
}

/// A user as machines read it; without the hash.
pub(super) fn user_json(user: &User) -> Value {
    json!({
        "id": user.id.as_str(),
        "username": user.username.as_str(),
        "email": user.email.as_ref().map(Login::as_str),
        "email_verified": user.email_verified,
        "full_name": user.full_name,
        "kind": user.kind.as_str(),
        "state": user.state.as_str(),
        "roles": user.roles,
        "scopes": user.scopes,
        "claims": user.claims,
        "has_password": user.password.is_some(),
        "created": user.created.to_string(),
        "updated": user.updated.to_string(),
        "last_login": time_json(user.last_login),
    })
}

/// A time, or null.
pub(super) fn time_json(time: Option<UnixTime>) -> Option<String> {
    time.map(|time| time.to_string())
}

/// A time for a table.
pub(super) fn time_cell(time: Option<UnixTime>) -> String {
    time_json(time).unwrap_or_else(|| "-".to_owned())
}

/// A text that somebody wrote, with whatever could move the cursor escaped.
pub(super) fn cell(text: &str) -> String {
    text.escape_debug().to_string()
}
