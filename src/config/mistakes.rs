//! Everything that is wrong with a configuration, told at once.

use std::fmt;

/// The mistakes, in the order in which they were found. None of them quotes a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

/// One mistake: where it is, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mistake {
    place: String,
    problem: String,
}

impl Mistakes {
    /// Adds one.
    pub fn add(&mut self, place: &str, problem: impl Into<String>) {
        let mistake = Mistake { place: place.to_owned(), problem: problem.into() };
        if !self.0.contains(&mistake) {
            self.0.push(mistake);
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was found, each as one line.
    pub fn lines(&self) -> Vec<String> {
        self.0.iter().map(|mistake| format!("{}: {}", mistake.place, mistake.problem)).collect()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        writeln!(f, "the configuration has {count} mistake{}:", if count == 1 { "" } else { "s" })?;
        for line in self.lines() {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
