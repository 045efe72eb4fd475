//! Casbin: a model and a policy of its own, asked for a subject, an object and an action.
//!
//! Its enforcer looks at one rule after the other and interprets the model's matcher for each, so
//! decisions are remembered. They are dropped together with the enforcer when a rule changes.
//! Casbin itself passes over a line that it does not understand, and such a line may have been a
//! denial: here it is a mistake.

mod blame;
mod in_force;
mod roles;
mod rules;

use std::collections::HashSet;
use std::fmt::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use casbin::function_map::{OperatorFunction, dynamic_to_str};
use casbin::rhai::Dynamic;
use casbin::{CoreApi as _, DefaultModel, Enforcer, Model as _};
use futures_util::FutureExt as _;
use moka::sync::Cache;
use tracing::error;

use crate::wire::warning_throttle::WarningThrottle;
pub use in_force::{CasbinInForce, KnownRules, RulesUnknown, SharedCasbin, StoredRules};
use rules::Rule;
pub use rules::{BadRule, PolicyRule};

/// The room for remembered decisions, in bytes.
const MAX_CACHED_BYTES: u64 = 16 << 20;
/// The room that a remembered decision takes beside its key, in bytes.
const ENTRY_BYTES: usize = 350;
/// The longest text that Casbin is asked about, in bytes: it looks at all of it for each rule.
const MAX_TEXT_BYTES: usize = 1_024;
/// The effect by which everything passes that no rule denies.
const UNLESS_DENIED: &str = "!some(where (p_eft == deny))";
/// The effects that Casbin knows, as it writes them; it panics at any other.
const EFFECTS: [&str; 4] = [
    "some(where (p_eft == allow))",
    UNLESS_DENIED,
    "some(where (p_eft == allow)) && !some(where (p_eft == deny))",
    "priority(p_eft) || deny",
];
/// The sections of a model: their keys, and their names in the file.
const SECTIONS: [(&str, &str); 4] = [
    ("r", "[request_definition]"),
    ("p", "[policy_definition]"),
    ("e", "[policy_effect]"),
    ("m", "[matchers]"),
];

/// The model where the operator has none: roles with all that their roles may, objects that may end in
/// a star, and denials that go before permissions.
pub(crate) const BUILT_IN_MODEL: &str = "\
[request_definition]
r = sub, obj, act

[policy_definition]
p = sub, obj, act, eft

[role_definition]
g = _, _

[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))

[matchers]
m = (p.sub == \"*\" || g(r.sub, p.sub)) && keyMatch(r.obj, p.obj) && (p.act == \"*\" || r.act == p.act)
";

/// The texts that an enforcer is made of, beside the rules of the database.
#[derive(Clone, Debug)]
pub struct CasbinSource {
    /// The model.
    pub model: String,
    /// The rules of a file, where there is one.
    pub rules: Option<String>,
}

/// An enforcer of one model and one policy, and its decisions so far.
pub struct Casbin {
    enforcer: Enforcer,
    decisions: Cache<String, bool>,
    rules: usize,
    /// The number of rules that permit or deny something.
    permissions: usize,
    /// The names in the rules. A role that none of them names changes nothing.
    names: HashSet<String>,
    /// True where roles are not those of subjects alone.
    has_more_roles: bool,
    failures: WarningThrottle,
}

/// A mistake in Casbin's files, or in a rule of the database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCasbin {
    /// In the model.
    #[error("{0}")]
    Model(String),
    /// In a line of the policy.
    #[error("{problem}")]
    Rule {
        /// The number of the line, from 1.
        line: usize,
        /// The problem.
        problem: String,
    },
    /// In a rule of the database.
    #[error("{rule}: {problem}")]
    Stored {
        /// The rule.
        rule: String,
        /// The problem.
        problem: String,
    },
}

impl CasbinSource {
    /// Builds the enforcer of these texts and of rules of the database. With those there may be no
    /// rule at all, and then nobody may do anything.
    ///
    /// # Errors
    /// The first mistake in them.
    pub fn compile(&self, stored: &[PolicyRule]) -> Result<Casbin, BadCasbin> {
        Casbin::build(&self.model, self.rules.as_deref(), stored)
    }
}

impl Casbin {
    /// Builds the enforcer of a model and a policy in files, which has a rule.
    ///
    /// # Errors
    /// The first mistake in them.
    pub(crate) fn compile(model: &str, policy: &str) -> Result<Self, BadCasbin> {
        let casbin = Self::build(model, Some(policy), &[])?;
        if casbin.permissions == 0 {
            let problem = "there is no rule that begins with `p`".to_owned();
            return Err(BadCasbin::Rule { line: 1, problem });
        }
        Ok(casbin)
    }

    fn build(model: &str, file: Option<&str>, stored: &[PolicyRule]) -> Result<Self, BadCasbin> {
        let mut enforcer = ready(Enforcer::new_raw(read_model(model)?, ()))?;
        enforcer.set_role_manager(roles::role_links()).map_err(in_model)?;
        let mut rules = rules::read(file.unwrap_or_default(), enforcer.get_model())?;
        rules.extend(rules::read_stored(stored, enforcer.get_model())?);
        enforcer.add_function("keyMatch", OperatorFunction::Arg2(key_match));
        for rule in rules.iter().filter(|rule| rule.kind == "p") {
            try_rule(&mut enforcer, rule)?;
        }
        let model = enforcer.get_mut_model();
        model.clear_policy();
        for rule in &rules {
            model.add_policy(&rule.kind[..1], &rule.kind, rule.fields.clone());
        }
        let roles = model.get_model().get("g");
        let has_more_roles = roles.is_some_and(|roles| roles.len() > 1);
        enforcer.build_role_links().map_err(in_model)?;
        let decisions = Cache::builder()
            .max_capacity(MAX_CACHED_BYTES)
            .weigher(|key: &String, _| u32::try_from(key.len() + ENTRY_BYTES).unwrap_or(u32::MAX))
            .build();
        Ok(Self {
            enforcer,
            decisions,
            rules: rules.len(),
            permissions: rules.iter().filter(|rule| rule.kind == "p").count(),
            names: rules.into_iter().flat_map(|rule| rule.fields).collect(),
            has_more_roles,
            failures: WarningThrottle::default(),
        })
    }

    /// The number of its rules.
    pub(crate) fn rules(&self) -> usize {
        self.rules
    }

    /// Returns whether this subject, who has these roles besides those that rules give, may do this to
    /// the object. What Casbin cannot decide is denied.
    pub(crate) fn allows(
        &self,
        subject: &str,
        roles: &[impl AsRef<str>],
        object: &str,
        action: &str,
    ) -> bool {
        if self.permissions == 0
            || [subject, object, action].iter().any(|text| text.len() > MAX_TEXT_BYTES)
        {
            return false;
        }
        let mut roles: Vec<&str> =
            roles.iter().map(AsRef::as_ref).filter(|role| self.names.contains(*role)).collect();
        roles.sort_unstable();
        roles.dedup();
        // Where objects have roles too, an object that is called like the subject would get his.
        if self.has_more_roles && !roles.is_empty() && [object, action].contains(&subject) {
            return false;
        }
        let key = key_of(subject, &roles, object, action);
        if let Some(decision) = self.decisions.get(&key) {
            return decision;
        }
        let decision = roles::with_roles(subject, &roles, || {
            enforce(&self.enforcer, [subject, object, action])
        });
        let decision = decision.unwrap_or_else(|problem| {
            if self.failures.is_due() {
                error!(problem, "Casbin cannot decide, so it is denied");
            }
            false
        });
        self.decisions.insert(key, decision);
        decision
    }
}

/// The key of a decision. The lengths keep texts apart that read the same when they are joined.
fn key_of(subject: &str, roles: &[&str], object: &str, action: &str) -> String {
    let (of_subject, of_object) = (subject.len(), object.len());
    let mut key = format!("{of_subject}:{of_object}:{}:{subject}{object}{action}", action.len());
    for role in roles {
        // A text takes whatever is written to it.
        let _ = write!(key, "{}:{role}", role.len());
    }
    key
}

impl fmt::Debug for Casbin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Casbin").field("rules", &self.rules).finish_non_exhaustive()
    }
}

fn read_model(text: &str) -> Result<DefaultModel, BadCasbin> {
    let model = ready(DefaultModel::from_str(text))?;
    let wrong = |problem: String| Err(BadCasbin::Model(problem));
    let definition = |key: &str| model.get_model().get(key).and_then(|section| section.get(key));
    for (key, section) in SECTIONS {
        if definition(key).is_none() {
            return wrong(format!("{section} has no `{key}`{}", blame::unknown_sections(text)));
        }
    }
    let parameters = definition("r").map_or(0, |request| request.tokens.len());
    if parameters != 3 {
        return wrong(format!(
            "[request_definition]: a request has a subject, an object and an action, not {parameters} parts"
        ));
    }
    for (key, section) in SECTIONS {
        let more = model.get_model().get(key).and_then(|all| all.keys().find(|it| *it != key));
        if let Some(more) = more {
            return wrong(format!(
                "{section} has `{more}`, which is never asked: name one `{key}`"
            ));
        }
    }
    let effect = definition("e").map_or("", |effect| &effect.value);
    if !EFFECTS.contains(&effect) {
        return wrong(format!("[policy_effect]: Casbin knows no {effect:?}"));
    }
    let has_effects =
        definition("p").is_some_and(|rule| rule.tokens.iter().any(|it| it == "p_eft"));
    if effect == UNLESS_DENIED && !has_effects {
        return wrong(
            "[policy_definition]: without `eft` no rule denies, and everybody may do everything"
                .to_owned(),
        );
    }
    Ok(model)
}

/// Asks a rule alone for what it names, so that a mistake in the matcher, or in a pattern of the
/// rule, is found before a request meets it.
fn try_rule(enforcer: &mut Enforcer, rule: &Rule) -> Result<(), BadCasbin> {
    let model = enforcer.get_mut_model();
    model.clear_policy();
    model.add_policy("p", &rule.kind, rule.fields.clone());
    let field = |at: usize| rule.fields.get(at).map_or("", String::as_str);
    let decided = enforce(enforcer, [field(0), field(1), field(2)]);
    let Err(problem) = decided else { return Ok(()) };
    if let Some(problem) = blame::of_matcher(enforcer.get_model(), &problem) {
        return Err(BadCasbin::Model(problem));
    }
    Err(rule.mistake(format!("Casbin cannot decide by it: {problem}")))
}

/// Casbin's `keyMatch`: a text, or all that begins with what stands before a star. Its own panics
/// where that would end within a letter of the request.
#[expect(clippy::needless_pass_by_value, reason = "it is Casbin's signature")]
fn key_match(key: Dynamic, pattern: Dynamic) -> Dynamic {
    let (key, pattern) = (dynamic_to_str(&key), dynamic_to_str(&pattern));
    let is_match = match pattern.split_once('*') {
        Some((beginning, _)) => key.starts_with(beginning),
        None => key == pattern,
    };
    is_match.into()
}

/// Casbin's decision. Its functions panic at a pattern that is none.
fn enforce(enforcer: &Enforcer, request: [&str; 3]) -> Result<bool, String> {
    let request = request.into();
    let decided =
        catch_unwind(AssertUnwindSafe(|| enforcer.enforce::<(&str, &str, &str)>(request)));
    match decided {
        Ok(decided) => decided.map_err(|error| error.to_string()),
        Err(_) => Err("a function of the matcher failed".to_owned()),
    }
}

/// The outcome of a future that has nothing to wait for: all is in memory.
fn ready<T>(future: impl Future<Output = casbin::Result<T>>) -> Result<T, BadCasbin> {
    let outcome = future.now_or_never();
    let outcome = outcome.ok_or_else(|| BadCasbin::Model("it cannot be read at once".to_owned()));
    outcome?.map_err(in_model)
}

#[expect(clippy::needless_pass_by_value, reason = "it is passed to `map_err`")]
fn in_model(error: casbin::Error) -> BadCasbin {
    BadCasbin::Model(error.to_string())
}

#[cfg(test)]
mod tests;
