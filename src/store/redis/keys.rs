//! Names of keys. On one server they stand as they are; on a cluster, which has one database only,
//! the number of the database is a part of them.

use std::fmt::Display;

use super::Redis;

/// The part of a key that decides which server of a cluster keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// All of the key: its slot is its own.
    WholeKey,
    /// The name in the key, with this prefix: keys with the same prefix and name share a slot.
    HashTag(&'static str),
}

/// The keys of one kind.
#[derive(Clone, Debug)]
pub struct Keys {
    before: String,
    after: &'static str,
}

impl Keys {
    pub(super) fn new(kind: &str, slot: Slot, cluster_database: Option<u32>) -> Self {
        let Some(database) = cluster_database else {
            return Self { before: format!("portcullis:{kind}:"), after: "" };
        };
        let start = format!("portcullis:{database}:{kind}:");
        match slot {
            // For a key with an empty tag all of it counts, and braces in the name do not.
            Slot::WholeKey => Self { before: format!("{start}{{}}"), after: "" },
            Slot::HashTag(tag) => Self { before: format!("{start}{{{tag}"), after: "}" },
        }
    }

    /// The key with this name.
    pub fn of(&self, name: impl Display) -> String {
        format!("{}{name}{}", self.before, self.after)
    }

    /// The name in a key, where it is one of these keys.
    pub fn name<'k>(&self, key: &'k str) -> Option<&'k str> {
        key.strip_prefix(self.before.as_str())?.strip_suffix(self.after)
    }

    /// The prefix of all of them. Holds no character of a pattern.
    pub fn prefix(&self) -> &str {
        &self.before
    }
}

impl Redis {
    /// The keys of one kind, as they are named on this Redis.
    pub fn keys(&self, kind: &str, slot: Slot) -> Keys {
        Keys::new(kind, slot, self.is_cluster().then_some(self.database))
    }
}

#[cfg(test)]
mod tests {
    use super::super::cluster::slot_of;
    use super::*;

    #[test]
    fn a_name_is_found_in_its_key_and_in_no_other() {
        for (database, expected) in
            [(None, "portcullis:user:a}b"), (Some(9), "portcullis:9:user:{u:a}b}")]
        {
            let keys = Keys::new("user", Slot::HashTag("u:"), database);
            assert_eq!(keys.of("a}b"), expected);
            assert_eq!(keys.name(expected), Some("a}b"));
            assert!(expected.starts_with(keys.prefix()));
            assert_eq!(keys.name("portcullis:8:user:{u:a}"), None);
            assert_eq!(keys.name("portcullis:session:a"), None);
        }
    }

    #[test]
    fn what_is_about_the_same_is_kept_together_and_the_rest_is_spread() {
        let keys = |kind, slot| Keys::new(kind, slot, Some(9));
        let (index, before) =
            (keys("user", Slot::HashTag("u:")), keys("not-before", Slot::HashTag("u:")));
        for user in ["a", "}", "{", "{}", "a}b", "\u{f6}"] {
            let slots = [index.of(user), before.of(user)].map(|key| slot_of(key.as_bytes()));
            assert_eq!(slots[0], slots[1], "{user}");
        }
        let own = keys("lease", Slot::WholeKey);
        let slots: std::collections::HashSet<u16> =
            (0..100).map(|n| slot_of(own.of(format!("{{x}}{n}")).as_bytes())).collect();
        assert!(slots.len() > 90, "a name that clients chose gathers nothing in one place");
    }
}
