//! Records of another system, read and put into our form, before anything is decided about them.

use std::collections::BTreeMap;
use std::fmt::Display;

use crate::account::{ApiKey, User};

/// All that a source has.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    pub(super) users: Vec<NewUser>,
    pub(super) keys: Vec<NewKey>,
    /// Records that cannot be read.
    pub(super) unreadable: Vec<Conflict>,
    /// The number of records that are not meant to be taken over, by what they are and why.
    pub(super) left_out: BTreeMap<&'static str, u64>,
}

/// A user, and the place where it stands.
#[derive(Debug)]
pub(super) struct NewUser {
    pub(super) origin: String,
    pub(super) user: User,
    /// False where the source has no id and a random one stands there: the username says who it is.
    pub(super) has_id: bool,
}

/// An API key, and the place where it stands.
#[derive(Debug)]
pub(super) struct NewKey {
    pub(super) origin: String,
    pub(super) key: ApiKey,
}

/// A record that cannot be taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    /// The record: its place, and whom it is about.
    pub(super) record: String,
    /// The reason, which names the other record where there is one.
    pub(super) reason: String,
}

impl Incoming {
    /// Adds a user with an id of its own.
    pub(super) fn user(&mut self, origin: impl Into<String>, user: User) {
        self.users.push(NewUser { origin: origin.into(), user, has_id: true });
    }

    /// Adds a record that cannot be read; the reason holds no secret.
    pub(super) fn unreadable(&mut self, origin: impl Into<String>, reason: impl Display) {
        self.unreadable.push(Conflict { record: origin.into(), reason: reason.to_string() });
    }

    /// Counts records that are not meant to be taken over.
    pub(super) fn leave_out(&mut self, what: &'static str, count: u64) {
        if count > 0 {
            *self.left_out.entry(what).or_default() += count;
        }
    }
}

/// A user as a conflict names it.
pub(super) fn described(user: &User) -> String {
    format!("user {:?} ({})", user.id.as_str(), user.username.as_str().escape_debug())
}

/// A name of one line, with single blanks: what a header or a mail can hold.
pub(super) fn one_line(name: &str) -> Option<String> {
    let visible = name.replace(char::is_control, " ");
    let words: Vec<&str> = visible.split_whitespace().collect();
    (!words.is_empty()).then(|| words.join(" "))
}
