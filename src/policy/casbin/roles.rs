//! Roles that a subject has by what is known of him, beside those that rules give him.
//!
//! Casbin's own way is a rule `g` for each user. Accounts have their roles elsewhere, and these hold for
//! one question: they are not in the enforcer, which all questions share, but beside it in the thread
//! that asks. All rules are looked at once, so that a denial of the user or of one role still denies.

use std::cell::RefCell;
use std::sync::Arc;

use casbin::{DefaultRoleManager, MatchingFn, RoleManager};
use parking_lot::RwLock;

/// The most steps from a user to a role by way of other roles, as many as Casbin's own.
const MAX_STEPS: usize = 10;

thread_local! {
    static ASKED: RefCell<Option<Asked>> = const { RefCell::new(None) };
}

/// The subject of a question, and his roles.
struct Asked {
    subject: String,
    roles: Vec<String>,
}

/// Asks while this subject has these roles. The question waits for nothing, so it stays in its thread,
/// and it does not panic.
pub(super) fn with_roles<T>(subject: &str, roles: &[&str], ask: impl FnOnce() -> T) -> T {
    if roles.is_empty() {
        return ask();
    }
    let roles = roles.iter().map(|role| (*role).to_owned()).collect();
    ASKED.set(Some(Asked { subject: subject.to_owned(), roles }));
    let answer = ask();
    ASKED.set(None);
    answer
}

/// The links from users to roles and from roles to roles.
pub(super) fn role_links() -> Arc<RwLock<dyn RoleManager>> {
    Arc::new(RwLock::new(RoleLinks(DefaultRoleManager::new(MAX_STEPS))))
}

/// Casbin's links, and those of the subject who is asked about.
struct RoleLinks(DefaultRoleManager);

impl RoleManager for RoleLinks {
    fn clear(&mut self) {
        self.0.clear();
    }

    fn add_link(&mut self, name1: &str, name2: &str, domain: Option<&str>) {
        self.0.add_link(name1, name2, domain);
    }

    fn matching_fn(&mut self, roles: Option<MatchingFn>, domains: Option<MatchingFn>) {
        self.0.matching_fn(roles, domains);
    }

    fn delete_link(
        &mut self,
        name1: &str,
        name2: &str,
        domain: Option<&str>,
    ) -> casbin::Result<()> {
        self.0.delete_link(name1, name2, domain)
    }

    /// Roles of accounts are those of no domain.
    fn has_link(&self, name1: &str, name2: &str, domain: Option<&str>) -> bool {
        self.0.has_link(name1, name2, domain)
            || domain.is_none()
                && ASKED.with_borrow(|asked| {
                    let asked = asked.as_ref().filter(|asked| asked.subject == name1);
                    asked.is_some_and(|asked| {
                        asked.roles.iter().any(|role| self.0.has_link(role, name2, None))
                    })
                })
    }

    fn get_roles(&self, name: &str, domain: Option<&str>) -> Vec<String> {
        self.0.get_roles(name, domain)
    }

    fn get_users(&self, name: &str, domain: Option<&str>) -> Vec<String> {
        self.0.get_users(name, domain)
    }
}
