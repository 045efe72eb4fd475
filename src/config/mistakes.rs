//! Everything that is wrong with a configuration, told at once; and what is allowed, but ought to be said.

use std::fmt;

/// The mistakes, in the order in which they were found. None of them quotes a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes {
    found: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

/// One mistake or warning: where it is, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Diagnostic {
    place: String,
    text: String,
}

impl Mistakes {
    /// Adds a mistake.
    pub fn add(&mut self, place: &str, problem: impl Into<String>) {
        put(&mut self.found, place, problem.into());
    }

    /// Adds what is no mistake, but what an operator may not have meant.
    pub fn warn(&mut self, place: &str, problem: impl Into<String>) {
        put(&mut self.warnings, place, problem.into());
    }

    /// Adds all that was found elsewhere.
    pub(super) fn extend(&mut self, others: Self) {
        self.found.extend(others.found);
        self.warnings.extend(others.warnings);
    }

    /// Says whether there are none; warnings are not counted.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The mistakes, each as one line.
    pub fn lines(&self) -> Vec<String> {
        self.found.iter().map(ToString::to_string).collect()
    }

    /// The warnings, each as one line.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.iter().map(ToString::to_string).collect()
    }
}

/// The same is read more than once, and told once.
fn put(diagnostics: &mut Vec<Diagnostic>, place: &str, text: String) {
    let diagnostic = Diagnostic { place: place.to_owned(), text };
    if !diagnostics.contains(&diagnostic) {
        diagnostics.push(diagnostic);
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.found.len();
        writeln!(f, "the configuration has {count} mistake{}:", if count == 1 { "" } else { "s" })?;
        for line in self.lines() {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
