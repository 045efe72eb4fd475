//! The decision what an import adds: every record is new, there already, or in conflict with
//! another. It changes nothing.

use std::collections::{BTreeMap, HashMap};

use super::incoming::{Conflict, Incoming, NewKey, NewUser, described};
use crate::account::{ApiKey, Login, User};
use crate::issuer::users::fields;
use crate::session::UserId;

/// The changes that an import would make.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The users to add.
    pub(super) users: Vec<User>,
    /// The API keys to add.
    pub(super) keys: Vec<ApiKey>,
    /// The number of users who are there already.
    pub(super) users_there: u64,
    /// The number of keys that are there already.
    pub(super) keys_there: u64,
    /// The records that cannot be taken over.
    pub(super) conflicts: Vec<Conflict>,
    /// The number of records that are not meant to be taken over, by what they are and why.
    pub(super) left_out: BTreeMap<&'static str, u64>,
}

/// The users who are known, and the names that they log in with.
#[derive(Debug, Default)]
pub(super) struct Known {
    owners: Vec<Owner>,
    by_id: HashMap<UserId, usize>,
    by_name: HashMap<String, usize>,
}

/// Somebody who has an id and names.
#[derive(Debug)]
struct Owner {
    described: String,
    username: Login,
    is_stored: bool,
}

impl Known {
    /// Adds a user who is in the accounts.
    pub(super) fn add_stored(&mut self, user: &User) {
        let described = format!("{} of the accounts", described(user));
        self.add(user, described, true);
    }

    fn add(&mut self, user: &User, described: String, is_stored: bool) {
        let index = self.owners.len();
        self.owners.push(Owner { described, username: user.username.clone(), is_stored });
        self.by_id.insert(user.id.clone(), index);
        for login in logins(user) {
            self.by_name.insert(login.1.canonical().to_owned(), index);
        }
    }

    fn of_id(&self, id: &UserId) -> Option<&Owner> {
        self.by_id.get(id).map(|index| &self.owners[*index])
    }

    fn of_name(&self, login: &Login) -> Option<&Owner> {
        self.by_name.get(login.canonical()).map(|index| &self.owners[*index])
    }

    /// The stored user that this one is, or the reason why it can be nobody.
    fn find(&self, new: &NewUser) -> Result<Option<&Owner>, String> {
        let user = &new.user;
        let same = if new.has_id { self.of_id(&user.id) } else { self.of_name(&user.username) };
        if let Some(owner) = same {
            if owner.is_stored && owner.username == user.username {
                return Ok(Some(owner));
            }
            if new.has_id {
                return Err(format!("its id is that of {}", owner.described));
            }
        }
        for (what, login) in logins(user) {
            if let Some(owner) = self.of_name(login) {
                let written = login.as_str().escape_debug();
                let owner = &owner.described;
                return Err(format!("its {what}, \"{written}\", is a name of {owner}"));
            }
        }
        Ok(None)
    }
}

/// The names of a user, each with what it is.
fn logins(user: &User) -> impl Iterator<Item = (&'static str, &Login)> {
    let email = user.email.iter().map(|email| ("e-mail", email));
    std::iter::once(("username", &user.username)).chain(email)
}

impl Plan {
    /// Decides about all records; `keys` are those of the source that are there already, by their
    /// digests, with their owners.
    pub(super) fn make(
        incoming: Incoming,
        mut known: Known,
        mut keys: HashMap<String, UserId>,
    ) -> Self {
        let (conflicts, left_out) = (incoming.unreadable, incoming.left_out);
        let mut plan = Self { conflicts, left_out, ..Self::default() };
        for new in incoming.users {
            plan.user(new, &mut known);
        }
        for new in incoming.keys {
            plan.key(new, &known, &mut keys);
        }
        plan
    }

    fn user(&mut self, new: NewUser, known: &mut Known) {
        let described = format!("{}: {}", new.origin, described(&new.user));
        let found = known.find(&new).and_then(|found| match fields::check(&new.user) {
            Err(problem) if found.is_none() => Err(problem.to_string()),
            _ => Ok(found),
        });
        match found {
            Ok(Some(_)) => self.users_there += 1,
            Ok(None) => {
                known.add(&new.user, described, false);
                self.users.push(new.user);
            }
            Err(reason) => {
                self.conflicts.push(Conflict { record: described, reason });
            }
        }
    }

    fn key(&mut self, new: NewKey, known: &Known, keys: &mut HashMap<String, UserId>) {
        let NewKey { origin, key } = new;
        let owner = keys.get(key.digest.as_str());
        let reason = match owner {
            Some(owner) if *owner == key.user => {
                self.keys_there += 1;
                return;
            }
            Some(owner) => format!("it is a key of user {:?} already", owner.as_str()),
            None if known.of_id(&key.user).is_none() => {
                format!("its user {:?} is not taken over", key.user.as_str())
            }
            None => {
                keys.insert(key.digest.as_str().to_owned(), key.user.clone());
                self.keys.push(key);
                return;
            }
        };
        self.conflicts.push(Conflict { record: origin, reason });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::KeyDigest;
    use crate::clock::UnixTime;

    const NOW: UnixTime = UnixTime::from_secs(1_000);

    fn user(id: &str, username: &str, email: &str) -> User {
        let login = |text| Login::parse(text).expect("a name");
        let email = Some(email).filter(|email| !email.is_empty()).map(login);
        User { email, ..User::new(UserId::parse(id).expect("an id"), login(username), NOW) }
    }

    fn key(user: &str, key: &str) -> ApiKey {
        let (user, digest) = (UserId::parse(user).expect("an id"), KeyDigest::from_sha512_hex(key));
        ApiKey::new(format!("key_{key}"), user, digest, NOW)
    }

    fn known() -> Known {
        let mut known = Known::default();
        known.add_stored(&user("1", "carol", "carol@example.org"));
        known
    }

    fn plan(users: &[User], keys: &[ApiKey]) -> Plan {
        let mut incoming = Incoming::default();
        for (line, user) in (1..).zip(users) {
            incoming.user(format!("line {line}"), user.clone());
        }
        for key in keys {
            incoming.keys.push(NewKey { origin: key.id.clone(), key: key.clone() });
        }
        let there = KeyDigest::from_sha512_hex("old").as_str().to_owned();
        Plan::make(incoming, known(), HashMap::from([(there, UserId::parse("1").expect("an id"))]))
    }

    #[test]
    fn a_name_that_anybody_else_has_in_any_spelling_is_a_conflict_that_names_both() {
        for (id, username, email, told) in [
            ("1", "mallory", "", "its id is that of user \"1\" (carol) of the accounts"),
            (
                "2",
                "CAROL",
                "",
                "its username, \"CAROL\", is a name of user \"1\" (carol) of the accounts",
            ),
            ("2", "ｃａｒｏｌ", "", "its username, \"ｃａｒｏｌ\", is a name of user \"1\""),
            ("2", "ca\u{200b}rol", "", "its username, \"ca\\u{200b}rol\", is a name of user \"1\""),
            ("2", "carol@EXAMPLE.org", "", "its username, \"carol@EXAMPLE.org\", is a name of"),
            ("2", "dave", "Carol", "its e-mail, \"Carol\", is a name of user \"1\""),
            ("2", "dave", "carol@example.org", "its e-mail, "),
        ] {
            let plan = plan(&[user(id, username, email)], &[]);
            let [conflict] = &plan.conflicts[..] else { panic!("{username}: {plan:?}") };
            assert!(conflict.reason.starts_with(told), "{conflict:?}");
            assert!(conflict.record.starts_with(&format!("line 1: user \"{id}\"")), "{conflict:?}");
            assert!(plan.users.is_empty() && plan.users_there == 0, "{username}");
        }
    }

    #[test]
    fn two_records_of_a_source_that_want_one_name_are_a_conflict_and_the_first_stays() {
        let (one, two) = (user("2", "dave", ""), user("3", "erin", "DAVE"));
        let plan = plan(&[one.clone(), two, user("2", "frank", "")], &[]);
        assert_eq!(plan.users, [one]);
        let reasons: Vec<_> = plan.conflicts.iter().map(|it| it.reason.as_str()).collect();
        let of_one = "line 1: user \"2\" (dave)";
        assert_eq!(
            reasons,
            [
                format!("its e-mail, \"DAVE\", is a name of {of_one}"),
                format!("its id is that of {of_one}")
            ]
        );
    }

    #[test]
    fn who_is_there_with_his_id_and_his_username_is_left_as_he_is() {
        let plan = plan(&[user("1", "Carol", "new@example.org")], &[]);
        assert!(plan.users.is_empty() && plan.conflicts.is_empty());
        assert_eq!(plan.users_there, 1);
    }

    #[test]
    fn what_no_user_may_have_is_a_conflict() {
        let long = Some("x".repeat(300));
        let bad = User { full_name: long, ..user("2", "dave", "") };
        let plan = plan(&[bad, user("3", "erin", "")], &[]);
        assert_eq!((plan.users.len(), plan.conflicts.len()), (1, 1));
        assert!(plan.conflicts[0].reason.contains("full name"), "{:?}", plan.conflicts);
    }

    #[test]
    fn who_has_no_id_is_known_by_his_username() {
        let unnamed = |username| NewUser {
            origin: "line 1".to_owned(),
            user: user("random", username, ""),
            has_id: false,
        };
        for (username, there, conflicts) in
            [("CAROL", 1, 0), ("carol@example.org", 0, 1), ("dave", 0, 0)]
        {
            let incoming = Incoming { users: vec![unnamed(username)], ..Incoming::default() };
            let plan = Plan::make(incoming, known(), HashMap::new());
            assert_eq!((plan.users_there, plan.conflicts.len()), (there, conflicts), "{username}");
        }
    }

    #[test]
    fn a_key_is_new_or_there_or_of_somebody_else_or_of_nobody() {
        let users = [user("2", "dave", ""), user("3", "CAROL", "")];
        let keys =
            [key("1", "old"), key("2", "old"), key("2", "new"), key("1", "new"), key("3", "x")];
        let plan = plan(&users, &keys);
        assert_eq!(plan.keys, [key("2", "new")]);
        assert_eq!(plan.keys_there, 1);
        let told: Vec<_> = plan
            .conflicts
            .iter()
            .skip(1)
            .map(|it| (it.record.as_str(), it.reason.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("key_old", "it is a key of user \"1\" already"),
                ("key_new", "it is a key of user \"2\" already"),
                ("key_x", "its user \"3\" is not taken over"),
            ]
        );
    }
}
