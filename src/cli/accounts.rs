//! Parts that the commands on users, API keys and clients share: the open stores, the user who is
//! meant, what is printed, and how a password is read.

use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};

use super::audit::{self, CommandLog};
use super::settings::SettingFlags;
use super::{Failure, clock_and_random, extend_timeouts};
use crate::account::password::Passwords;
use crate::account::{self, AccountError, AccountStore, Login, RuleStore, User, UserLookup};
use crate::app::{AccountDatabase, open_account_database, open_stores};
use crate::clock::{Clock, UnixTime};
use crate::config::{AccountsConfig, Config, SessionConfig};
use crate::issuer::error::IssueError;
use crate::issuer::metrics::IssuerMetrics;
use crate::issuer::throttle::{Throttle, ThrottleConfig};
use crate::issuer::users::links::Links;
use crate::issuer::users::{UserDependencies, Users, fields};
use crate::lease::Leases;
use crate::limit::Limits;
use crate::secret::{Secret, SystemRandom};
use crate::session::{Sessions, UserId};
use crate::store::StoreMetrics;
use crate::store::records::Records;
use crate::token::SigningRing;

/// The longest line that is read as a password.
const MAX_LINE_BYTES: u64 = 1 << 16;

/// The accounts of a command, open, and where its sessions are.
pub(super) struct Accounts {
    pub(super) config: AccountsConfig,
    pub(super) session_config: SessionConfig,
    pub(super) store: Arc<dyn AccountStore>,
    /// The same database, for the roles of all users.
    pub(super) rules: Arc<dyn RuleStore>,
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
        let opened = open_account_database(&config).await.map_err(Failure::unavailable)?;
        let AccountDatabase { accounts: store, rules, .. } = opened;
        Ok(Self { config, session_config, store, rules })
    }

    /// The configured sessions.
    pub(super) async fn sessions(&self) -> Result<Sessions, Failure> {
        sessions(&self.session_config).await
    }

    /// The issuer's part for users, which tells `log` what it does.
    pub(super) async fn users(&self, log: &CommandLog) -> Result<Users, Failure> {
        let stores = open_stores(&self.session_config).await.map_err(Failure::unavailable)?;
        let (clock, random) = clock_and_random();
        let (clock, policy) = (clock as Arc<dyn Clock>, self.session_config.policy);
        let metrics = StoreMetrics::default;
        let sessions = Sessions::new(stores.sessions, policy, Arc::clone(&clock), metrics());
        let records = Records::new(stores.records, policy.timeout, Arc::clone(&clock), metrics());
        Ok(Users::new(UserDependencies {
            accounts: Arc::clone(&self.store),
            sessions: Arc::new(sessions),
            throttle: Throttle::new(Limits::new(records), UNLIMITED, Arc::clone(&clock)),
            passwords: Arc::new(passwords(&self.config)?),
            rules: self.config.password_rules().map_err(Failure::unavailable)?,
            audit: log.audit(),
            metrics: IssuerMetrics::default(),
            clock,
            random,
        }))
    }

    /// One-time links, signed by these keys.
    pub(super) async fn links(&self, keys: SigningRing) -> Result<Links, Failure> {
        let stores = open_stores(&self.session_config).await.map_err(Failure::unavailable)?;
        let (clock, random) = clock_and_random();
        let (timeout, metrics) = (self.session_config.policy.timeout, StoreMetrics::default());
        let records = Records::new(stores.records, timeout, Arc::clone(&clock), metrics);
        Ok(Links::new(Arc::new(keys), Leases::new(records), clock, random))
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

/// Attempts without limits: a command knows no caller. What others counted can be forgotten.
const UNLIMITED: ThrottleConfig =
    ThrottleConfig { enabled: false, per_minute: 1, lock_tries: 1, lock_time: Duration::ZERO };

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

/// The failure for an issuer's refusal: a no, or a mistake of whoever asked; else a store failed.
pub(super) fn refused(error: IssueError) -> Failure {
    match error {
        IssueError::Unavailable(cause) => Failure::unavailable(cause),
        IssueError::Busy | IssueError::InProgress(_) => Failure::unavailable(error),
        IssueError::InvalidRequest(_) => Failure::usage(error),
        error => Failure::no(error),
    }
}

/// The same failure, after a secret was shown that is now good for nothing.
pub(super) fn secret_is_void(failure: Failure) -> Failure {
    let Failure { exit, error } = failure;
    Failure { exit, error: error.context("the secret above is of no use") }
}

/// A further claim of a user, who cannot be given what the issuer or another flag says.
pub(super) fn check_claim(name: &str) -> anyhow::Result<()> {
    fields::check_claim(name).map_err(anyhow::Error::msg)
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
    fields::user_id(text).map_err(anyhow::Error::msg)
}

/// A username or an e-mail that nobody can take for a client's.
pub(super) fn login(text: &str) -> anyhow::Result<Login> {
    fields::login(text).map_err(anyhow::Error::msg)
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
        "properties": user.properties,
        "has_password": user.password.is_some(),
        "created": user.created.to_string(),
        "updated": user.updated.to_string(),
        "last_login": time_json(user.last_login),
        "verification_sent": time_json(user.verification_sent),
        "reset_sent": time_json(user.reset_sent),
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
