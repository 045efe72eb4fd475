//! Causes of unavailability, for the operator's log alone.

use tracing::{debug, error, warn};

use crate::account::AccountError;
use crate::policy::RulesUnknown;
use crate::secret::RandomFailed;
use crate::store::StoreError;
use crate::token::KeyError;

/// The reason why something is unavailable. It holds no secret. Clients see no difference, so all
/// causes are equal.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Cause {
    /// A store did not answer, or refused.
    #[error("{0}")]
    Store(StoreError),
    /// The account store did not answer, or refused.
    #[error("{0}")]
    Accounts(AccountError),
    /// The application's hook gave no answer that can be used.
    #[error("the token hook {0}")]
    Hook(String),
    /// The list of stolen passwords gave no answer that can be used.
    #[error("the list of stolen passwords {0}")]
    Breaches(String),
    /// The process ends.
    #[error("the process ends")]
    Stopping,
    /// No key is known that could verify a token. Its sender may have made the token up.
    #[error("the keys of an issuer are not known")]
    NoVerificationKeys,
    /// There is a record whose content cannot be trusted.
    #[error("{0}")]
    CorruptRecord(String),
    /// No key signs now.
    #[error("there is no key that signs now: `portcullis key rotate` makes one")]
    NoSigningKey,
    /// The key does not sign.
    #[error("{0}")]
    Signing(String),
    /// The random source failed.
    #[error("{0}")]
    Random(RandomFailed),
    /// Passwords cannot be hashed.
    #[error("{0}")]
    Hashing(&'static str),
    /// An object could not be written as JSON.
    #[error("{0}")]
    Serialization(String),
    /// Casbin's rules are not known.
    #[error("{0}")]
    Policy(RulesUnknown),
}

impl Cause {
    /// Logs the cause, as an error where requests fail until somebody mends it. Lines are
    /// rate-limited by the event in the code that writes them, so each cause has an event of its
    /// own: a frequent one hides no other.
    pub(in crate::issuer) fn log(&self) {
        match self {
            Self::Store(error) => warn!(%error, "a store gave no answer to a request for tokens"),
            Self::Accounts(error) => warn!(%error, "the account store gave no answer"),
            Self::Hook(_) => warn!(error = %self, "nobody checked a password"),
            Self::Breaches(_) => warn!(error = %self, "a new password could not be checked"),
            Self::Stopping => warn!(error = %self, "a request for tokens was cut"),
            Self::NoVerificationKeys => debug!(error = %self, "a token could not be verified"),
            Self::CorruptRecord(error) => error!(%error, "a stored record cannot be read"),
            Self::NoSigningKey => error!(error = %self, "nothing can be issued"),
            Self::Signing(error) => error!(%error, "a token could not be signed"),
            Self::Random(error) => error!(%error, "there are no random numbers"),
            Self::Hashing(error) => error!(%error, "passwords cannot be checked"),
            Self::Policy(error) => warn!(%error, "Casbin cannot be asked"),
            Self::Serialization(error) => error!(%error, "an object could not be written as JSON"),
        }
    }
}

impl PartialEq for Cause {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Cause {}

impl From<StoreError> for Cause {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt { .. } => Self::CorruptRecord(error.to_string()),
            _ => Self::Store(error),
        }
    }
}

impl From<AccountError> for Cause {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Corrupt { .. } => Self::CorruptRecord(error.to_string()),
            _ => Self::Accounts(error),
        }
    }
}

impl From<RandomFailed> for Cause {
    fn from(error: RandomFailed) -> Self {
        Self::Random(error)
    }
}

impl From<KeyError> for Cause {
    fn from(error: KeyError) -> Self {
        Self::Signing(error.to_string())
    }
}

impl From<serde_json::Error> for Cause {
    fn from(error: serde_json::Error) -> Self {
        Self::Serialization(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::{Arc, Mutex};

    use tracing::callsite::Identifier;
    use tracing::{Event, Level, Subscriber};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;
    use crate::issuer::error::IssueError;

    /// The places in the code that wrote lines, and the levels of these.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<(Identifier, Level)>>>);

    impl<S: Subscriber> Layer<S> for Written {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let line = (event.metadata().callsite(), *event.metadata().level());
            self.0.lock().expect("no panic").push(line);
        }
    }

    /// The level of each cause. A new one does not compile before it is here, and in the list.
    fn level(cause: &Cause) -> Level {
        match cause {
            Cause::Store(_)
            | Cause::Accounts(_)
            | Cause::Hook(_)
            | Cause::Breaches(_)
            | Cause::Stopping
            | Cause::Policy(_) => Level::WARN,
            Cause::NoVerificationKeys => Level::DEBUG,
            Cause::CorruptRecord(_)
            | Cause::NoSigningKey
            | Cause::Signing(_)
            | Cause::Random(_)
            | Cause::Hashing(_)
            | Cause::Serialization(_) => Level::ERROR,
        }
    }

    #[test]
    fn each_cause_has_its_level_and_a_rate_limit_of_its_own() {
        let causes = [
            Cause::Store(StoreError::TimedOut),
            Cause::Accounts(AccountError::TimedOut),
            Cause::Hook("did not answer in time".to_owned()),
            Cause::Breaches("did not answer in time".to_owned()),
            Cause::Stopping,
            Cause::Policy(RulesUnknown),
            Cause::NoVerificationKeys,
            Cause::from(StoreError::corrupt("s1", "it is of another kind")),
            Cause::NoSigningKey,
            Cause::from(KeyError::UnwritableClaims),
            Cause::from(RandomFailed),
            Cause::Hashing("there is no memory"),
            Cause::Serialization("a key is no text".to_owned()),
        ];
        let written = Written::default();
        let subscriber = tracing_subscriber::registry().with(written.clone());
        tracing::subscriber::with_default(subscriber, || {
            for cause in &causes {
                IssueError::Unavailable(cause.clone()).log();
            }
        });
        let written = written.0.lock().expect("no panic");
        let levels: Vec<_> = written.iter().map(|(_, level)| *level).collect();
        assert_eq!(levels, causes.each_ref().map(level));
        let places: HashSet<_> = written.iter().map(|(place, _)| place.clone()).collect();
        assert_eq!(places.len(), causes.len(), "each has a place of its own");
    }
}
