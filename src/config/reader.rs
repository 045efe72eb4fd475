//! Typed values of settings; a value that cannot be read is a mistake, and the default stands in so
//! that the rest can be read too.

use super::mistakes::Mistakes;
use super::settings::{Entry, Setting};
use super::sources::{Found, Layer, Read, Sources};

/// Reads settings, and gathers what is wrong.
#[derive(Debug)]
pub(super) struct Reader<'r> {
    read: &'r Read,
    /// The mistakes so far.
    pub(super) mistakes: Mistakes,
}

/// Reads a section from the sources, with all mistakes in both.
pub(super) fn read<T>(
    sources: &Sources,
    section: impl FnOnce(&mut Reader<'_>) -> T,
) -> (T, Mistakes) {
    let mut mistakes = Mistakes::default();
    let read = sources.read(&mut mistakes);
    let mut reader = Reader { read: &read, mistakes };
    (section(&mut reader), reader.mistakes)
}

/// The same, where there is no mistake.
///
/// # Errors
/// All mistakes together.
pub(super) fn load<T>(
    sources: &Sources,
    section: impl FnOnce(&mut Reader<'_>) -> T,
) -> Result<T, Mistakes> {
    let (section, mistakes) = read(sources, section);
    if mistakes.is_empty() { Ok(section) } else { Err(mistakes) }
}

impl<'r> Reader<'r> {
    /// All that was found in the sources.
    pub(super) fn sources(&self) -> &'r Read {
        self.read
    }

    /// Says whether it was set, in a way that could be read.
    pub(super) fn is_set(&self, setting: impl Into<&'static Entry>) -> bool {
        self.found(setting).is_some()
    }

    /// Says whether it was set, be it by a file that cannot be read.
    pub(super) fn is_named(&self, setting: impl Into<&'static Entry>) -> bool {
        self.read.is_named(setting.into().name)
    }

    /// The layer in which it was set, if it was.
    pub(super) fn layer(&self, setting: impl Into<&'static Entry>) -> Option<Layer> {
        self.found(setting).map(|found| found.layer)
    }

    /// The place where it was set, or its name.
    pub(super) fn origin(&self, setting: impl Into<&'static Entry>) -> &'r str {
        let entry = setting.into();
        self.found(entry).map_or(entry.name, |found| found.origin.as_str())
    }

    fn found(&self, setting: impl Into<&'static Entry>) -> Option<&'r Found> {
        self.read.get(setting.into().name)
    }

    /// The value: as set, else the default.
    pub(super) fn get<T: Default>(&mut self, setting: Setting<T>) -> T {
        self.if_set(setting).unwrap_or_else(|| setting.default())
    }

    /// The value as set; nothing where it is not set, or is a mistake.
    pub(super) fn if_set<T>(&mut self, setting: Setting<T>) -> Option<T> {
        let found = self.found(setting)?;
        self.good(setting, (setting.parse)(found.value(setting.entry)))
    }

    /// The members of a list, each read by `parse`; a mistake in one hides none in the next.
    pub(super) fn each<T, E: ToString>(
        &mut self,
        setting: Setting<Vec<String>>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let members = self.get(setting);
        let read = |member: &String| {
            let outcome = parse(member);
            outcome
                .map_err(|it| self.wrong(setting, format!("{member:?}: {}", it.to_string())))
                .ok()
        };
        members.iter().filter_map(read).collect()
    }

    /// The outcome of a check of a setting; its failure is a mistake there.
    pub(super) fn good<T, E: ToString>(
        &mut self,
        setting: impl Into<&'static Entry>,
        outcome: Result<T, E>,
    ) -> Option<T> {
        outcome.map_err(|problem| self.wrong(setting, problem.to_string())).ok()
    }

    /// Notes a mistake at the place where the setting was set.
    pub(super) fn wrong(&mut self, setting: impl Into<&'static Entry>, problem: impl Into<String>) {
        self.mistakes.add(self.origin(setting), problem);
    }

    /// Notes what is allowed, but ought to be said.
    pub(super) fn warn(&mut self, setting: impl Into<&'static Entry>, problem: impl Into<String>) {
        self.mistakes.warn(self.origin(setting), problem);
    }
}
