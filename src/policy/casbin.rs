//! Casbin: a model and a policy of its own, asked for a subject, an object and an action.
//!
//! Its enforcer looks at one rule after the other and interprets the model's matcher for each, so
//! decisions are remembered. They are dropped together with the enforcer when a file changes.
//! Casbin itself passes over a line that it does not understand, and such a line may have been a
//! denial: here it is a mistake.

mod blame;
mod rules;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use casbin::function_map::{OperatorFunction, dynamic_to_str};
use casbin::rhai::Dynamic;
use casbin::{CoreApi as _, DefaultModel, Enforcer, Model as _};
use futures_util::FutureExt as _;
use moka::sync::Cache;
use tracing::error;

use crate::wire::warning_throttle::WarningThrottle;
use rules::Rule;

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

/// An enforcer of one model and one policy, and its decisions so far.
pub(crate) struct Casbin {
    enforcer: Enforcer,
    decisions: Cache<String, bool>,
    rules: usize,
    failures: WarningThrottle,
}

/// A mistake in Casbin's files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadCasbin {
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
}

impl Casbin {
    /// Builds the enforcer of a model and a policy.
    ///
    /// # Errors
    /// The first mistake in them.
    pub(crate) fn compile(model: &str, policy: &str) -> Result<Self, BadCasbin> {
        let mut enforcer = ready(Enforcer::new_raw(read_model(model)?, ()))?;
        let rules = rules::read(policy, enforcer.get_model())?;
        enforcer.add_function("keyMatch", OperatorFunction::Arg2(key_match));
        for rule in rules.iter().filter(|rule| rule.kind == "p") {
            try_rule(&mut enforcer, rule)?;
        }
        let model = enforcer.get_mut_model();
        model.clear_policy();
        for rule in &rules {
            model.add_policy(&rule.kind[..1], &rule.kind, rule.fields.clone());
        }
        enforcer.build_role_links().map_err(|error| BadCasbin::Model(error.to_string()))?;
        let decisions = Cache::builder()
            .max_capacity(MAX_CACHED_BYTES)
            .weigher(|key: &String, _| u32::try_from(key.len() + ENTRY_BYTES).unwrap_or(u32::MAX))
            .build();
        let failures = WarningThrottle::default();
        Ok(Self { enforcer, decisions, rules: rules.len(), failures })
    }

    /// The number of its rules.
    pub(crate) fn rules(&self) -> usize {
        self.rules
    }

    /// Returns whether this subject may do this to the object. What Casbin cannot decide is denied.
    pub(super) fn allows(&self, subject: &str, object: &str, action: &str) -> bool {
        if [subject, object, action].iter().any(|text| text.len() > MAX_TEXT_BYTES) {
            return false;
        }
        // The lengths keep texts apart that read the same when they are joined.
        let key = format!("{}:{}:{subject}{object}{action}", subject.len(), object.len());
        if let Some(decision) = self.decisions.get(&key) {
            return decision;
        }
        let decision = enforce(&self.enforcer, [subject, object, action]);
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
    let problem = format!("Casbin cannot decide by it: {problem}");
    Err(BadCasbin::Rule { line: rule.line, problem })
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
    outcome?.map_err(|error| BadCasbin::Model(error.to_string()))
}

#[cfg(test)]
mod tests;
