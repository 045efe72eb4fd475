//! Failures of commands, in words that an operator can act on.
//!
//! No text of a server is passed on: a server that does not know a command repeats its arguments,
//! and those of a login are the password. A server's text is only compared with known ones.

use std::fmt::Display;
use std::io;

use redis::{ErrorKind, RedisError};

use crate::store::{Failure, StoreError};

/// The servers' errors that an operator has to act on: the code, a part of the sentence (in small
/// letters), and the advice. A script's error may contain the sentence of a command in it.
const KNOWN: [(&str, &str, &str); 13] = [
    (
        "",
        "db index is out of range",
        "it has no database of that number: set LOGIN_REDIS_DB and REFRESH_RESTRICT_DB to numbers \
         that it has (0 where it has one), or raise its `databases`",
    ),
    (
        "",
        "select is not allowed in cluster mode",
        "it is a server of a cluster: write DB_URL=redis+cluster://...",
    ),
    ("MOVED", "", "it is a server of a cluster: write DB_URL=redis+cluster://..."),
    ("CROSSSLOT", "", "it is a server of a cluster: write DB_URL=redis+cluster://..."),
    (
        "OOM",
        "",
        "it is at `maxmemory` and takes no writes that need memory (OOM): raise `maxmemory`",
    ),
    (
        "",
        "oom command not allowed",
        "it is at `maxmemory` and takes no writes that need memory (OOM): raise `maxmemory`",
    ),
    ("MISCONF", "", MISCONF),
    ("", "misconf", MISCONF),
    (
        "NOREPLICAS",
        "",
        "it takes no writes, for fewer replicas are in reach than `min-replicas-to-write` demands",
    ),
    (
        "READONLY",
        "",
        "it is a replica, which takes no writes (READONLY): DB_URL has to name the master",
    ),
    (
        "",
        "max number of clients reached",
        "it has no connection left for us: raise its `maxclients`",
    ),
    (
        "",
        "unknown command",
        "it does not know a command that is needed; where `rename-command` hides EVAL, EVALSHA or \
         SCAN, undo that, and allow users by ACL instead",
    ),
    (
        "",
        "unknown redis command",
        "it does not know a command that our scripts need: undo its `rename-command`",
    ),
];

const MISCONF: &str = "it takes no writes since it cannot save to its disk (MISCONF): make room \
    there, its own log says what failed";

impl Failure {
    /// The failure for an error of the `redis` crate.
    pub fn of(error: &RedisError) -> Self {
        if error.is_timeout() {
            return Self::TimedOut;
        }
        match error.kind() {
            // The text is the system's, the TLS library's or ours, and none of them knows the URL.
            ErrorKind::Io => {
                Self::Unavailable(error.to_string().trim_end_matches(" - Io").to_owned())
            }
            ErrorKind::UnexpectedReturnType => Self::WrongKind,
            _ if error.code() == Some("WRONGTYPE") => Self::WrongKind,
            _ if matches!(error.code(), Some("WRONGPASS" | "NOAUTH")) => Self::Refused,
            _ => Self::Unavailable(match (cure(error), error.code()) {
                (Some(cure), _) => cure.to_owned(),
                (None, Some("NOPERM")) => "the user of DB_URL lacks a permission".to_owned(),
                (None, Some(code)) => format!("{} ({code})", error.category()),
                (None, None) => error.category().to_owned(),
            }),
        }
    }
}

/// The advice for a known error.
fn cure(error: &RedisError) -> Option<&'static str> {
    let code = error.code().unwrap_or_default();
    let detail = error.detail().unwrap_or_default().to_ascii_lowercase();
    let is_it = |of: &str, words: &str| match (of, words) {
        ("", words) => detail.contains(words),
        (of, _) => code == of,
    };
    KNOWN.iter().find(|(of, words, _)| is_it(of, words)).map(|(.., cure)| *cure)
}

/// For commands on the record of that name.
pub(crate) fn about(id: impl Display) -> impl Fn(RedisError) -> StoreError {
    move |error| StoreError::about(Failure::of(&error), &id)
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Self::of(&error)
    }
}

impl From<Failure> for RedisError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::TimedOut => io::Error::from(io::ErrorKind::TimedOut).into(),
            other => io::Error::other(other).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::ServerErrorKind;

    use super::*;

    #[test]
    fn what_is_known_is_told_with_its_cure_and_nothing_is_repeated() {
        for (detail, cure) in [
            ("DB index is out of range", "LOGIN_REDIS_DB"),
            ("unknown command 'EVALSHA', with args beginning with: 'hunter2' ", "rename-command"),
            ("Error running script: @user_script: 3: -OOM command not allowed", "maxmemory"),
            ("Error running script: @user_script: 3: -MISCONF Errors writing hunter2", "its disk"),
            ("max number of clients reached", "maxclients"),
            ("hunter2", "response error (ERR)"),
        ] {
            let kind = ErrorKind::Server(ServerErrorKind::ResponseError);
            let error = RedisError::from((kind, "An error was signalled", detail.to_owned()));
            let told = Failure::of(&error).to_string();
            assert!(told.contains(cure), "{detail}: {told}");
            assert!(!told.contains("hunter2"), "{detail}: {told}");
        }
    }
}
