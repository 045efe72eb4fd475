//! Casbin as conditions ask it: compiled once, and swapped whole where rules of the database change.
//!
//! Rules of files are good until a file changes. Those of the database are good for as long as the bound
//! says since they were last known to be the present ones: what nobody has looked at for longer decides
//! nothing, in either direction.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::rules::PolicyRule;
use super::{BadCasbin, Casbin, CasbinSource};
use crate::clock::Moment;

/// The enforcer of this process, for whoever asks it beside routes; replaced together with them.
pub type SharedCasbin = Arc<ArcSwapOption<CasbinInForce>>;

/// The rules of the database, as far as this process knows them.
#[derive(Debug)]
pub struct StoredRules {
    bound: Duration,
    known: ArcSwapOption<KnownRules>,
}

/// All rules of the database at one version.
#[derive(Clone, Debug)]
pub struct KnownRules {
    /// The version.
    pub version: u64,
    /// The rules.
    pub rules: Arc<[PolicyRule]>,
    /// A moment at which this was the present version.
    pub read: Moment,
}

/// Casbin of these files, and of the rules of the database where they count.
#[derive(Debug)]
pub struct CasbinInForce {
    source: CasbinSource,
    stored: Option<Arc<StoredRules>>,
    /// The enforcer; `None` where the rules are not known, or one of them is a mistake.
    current: ArcSwapOption<Compiled>,
}

/// An enforcer.
#[derive(Clone, Debug)]
struct Compiled {
    casbin: Arc<Casbin>,
    /// The rules of the database in it, and when they were last the present ones.
    stored: Option<KnownRules>,
}

/// Nobody knows the rules now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rules of the database are not known")]
pub struct RulesUnknown;

impl KnownRules {
    /// Returns whether these are the same rules, and not only as many changes: a database that was
    /// restored counts anew.
    pub fn is_same(&self, other: &Self) -> bool {
        self.version == other.version && Arc::ptr_eq(&self.rules, &other.rules)
    }
}

impl StoredRules {
    /// Rules that are not known yet, and once they are, good for as long as `bound`.
    pub fn new(bound: Duration) -> Self {
        Self { bound, known: ArcSwapOption::empty() }
    }

    /// The time for which they are good.
    pub fn bound(&self) -> Duration {
        self.bound
    }

    /// The rules that were known last.
    pub fn known(&self) -> Option<Arc<KnownRules>> {
        self.known.load_full()
    }

    /// Takes note of what was read.
    pub fn set_known(&self, known: KnownRules) {
        self.known.store(Some(Arc::new(known)));
    }
}

impl CasbinInForce {
    /// Compiles these files, with the rules of the database where they count and are known.
    ///
    /// # Errors
    /// The first mistake in them.
    pub(crate) fn compile(
        source: CasbinSource,
        stored: Option<Arc<StoredRules>>,
    ) -> Result<Self, BadCasbin> {
        let compiled = match &stored {
            None => {
                let rules = source.rules.as_deref().unwrap_or_default();
                let casbin = Arc::new(Casbin::compile(&source.model, rules)?);
                Some(Compiled { casbin, stored: None })
            }
            Some(stored) => match stored.known() {
                None => {
                    // The files are checked all the same.
                    source.compile(&[])?;
                    None
                }
                Some(known) => Some(Compiled {
                    casbin: Arc::new(source.compile(&known.rules)?),
                    stored: Some(KnownRules::clone(&known)),
                }),
            },
        };
        let current = ArcSwapOption::from(compiled.map(Arc::new));
        Ok(Self { source, stored, current })
    }

    /// Casbin by its built-in model and these rules alone.
    #[cfg(test)]
    pub(crate) fn built_in(stored: Arc<StoredRules>) -> Self {
        let source = CasbinSource { model: super::BUILT_IN_MODEL.to_owned(), rules: None };
        Self::compile(source, Some(stored)).expect("the built-in model")
    }

    /// The texts of its files.
    pub fn source(&self) -> &CasbinSource {
        &self.source
    }

    /// Returns whether rules of the database count.
    pub fn has_stored(&self) -> bool {
        self.stored.is_some()
    }

    /// The number of rules in force.
    pub(crate) fn rules(&self) -> usize {
        self.current.load().as_ref().map_or(0, |current| current.casbin.rules())
    }

    /// Takes note that these are the present rules. Returns whether they are those in force.
    pub fn confirm(&self, known: &KnownRules) -> bool {
        let Some(current) = self.current.load_full() else { return false };
        if !current.stored.as_ref().is_some_and(|own| own.is_same(known)) {
            return false;
        }
        self.put(Arc::clone(&current.casbin), known.clone());
        true
    }

    /// Puts an enforcer of these rules in force.
    pub fn put(&self, casbin: Arc<Casbin>, known: KnownRules) {
        self.current.store(Some(Arc::new(Compiled { casbin, stored: Some(known) })));
    }

    /// Takes the enforcer out of force: its rules are known not to be the present ones.
    pub fn withdraw(&self) {
        self.current.store(None);
    }

    /// Returns whether this subject with these roles may do this to the object, `now`. Without a moment
    /// nobody knows how old the rules of the database are.
    ///
    /// # Errors
    /// [`RulesUnknown`] where the rules of the database were not looked at for too long.
    pub fn allows(
        &self,
        subject: &str,
        roles: &[impl AsRef<str>],
        (object, action): (&str, &str),
        now: Option<Moment>,
    ) -> Result<bool, RulesUnknown> {
        let current = self.current.load();
        let current = current.as_ref().ok_or(RulesUnknown)?;
        if let Some(stored) = &self.stored {
            let read = current.stored.as_ref().map(|known| known.read);
            let age = now.zip(read).map(|(now, read)| now.since(read));
            if age.is_none_or(|age| age >= stored.bound) {
                return Err(RulesUnknown);
            }
        }
        Ok(current.casbin.allows(subject, roles, object, action))
    }
}

#[cfg(test)]
mod tests;
