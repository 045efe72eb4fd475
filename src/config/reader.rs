//! Typed values out of texts; whatever cannot be read is a mistake, and a default stands in so that
//! the rest can be read too.

use std::path::PathBuf;
use std::time::Duration;

use super::mistakes::Mistakes;
use super::settings::Setting;
use super::sources::{Found, Layer, Read};
use crate::secret::Secret;

/// What is wrong with a list that is set and holds nothing.
pub(super) const NO_MEMBERS: &str = "is set, and there is nothing in it; leave it out";

/// Reads settings, and gathers what is wrong.
#[derive(Debug)]
pub(super) struct Reader<'r> {
    read: &'r Read,
    /// What was wrong so far.
    pub(super) mistakes: &'r mut Mistakes,
}

impl<'r> Reader<'r> {
    /// Reads from `read`, and adds to `mistakes`.
    pub(super) fn new(read: &'r Read, mistakes: &'r mut Mistakes) -> Self {
        Self { read, mistakes }
    }

    /// Whether all sources could be read, so that what is not found is not there.
    pub(super) fn is_whole(&self) -> bool {
        self.read.is_whole
    }

    /// The value as it was set.
    pub(super) fn found(&self, name: &str) -> Option<&'r Found> {
        self.read.get(name)
    }

    /// Whether it was set, be it by a file that cannot be read.
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.read.is_named(name)
    }

    /// In which layer it was set, if it was.
    pub(super) fn layer(&self, name: &str) -> Option<Layer> {
        self.found(name).map(|found| found.layer)
    }

    /// The value as text: as set, or the default, or nothing.
    pub(super) fn text(&self, name: &str) -> String {
        let default = Setting::named(name).map_or("", |setting| setting.default);
        self.found(name).map_or(default, |found| found.text.trim()).to_owned()
    }

    /// The text, where it is not empty.
    pub(super) fn optional(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// The members of a comma list. One that is set and has none is a mistake: whoever wrote it
    /// meant something by it, and it would count as not set.
    pub(super) fn list(&mut self, name: &str) -> Vec<String> {
        let text = self.text(name);
        let members = text.split(',').map(str::trim).filter(|member| !member.is_empty());
        let members: Vec<_> = members.map(str::to_owned).collect();
        if members.is_empty() && self.found(name).is_some() {
            self.wrong(name, NO_MEMBERS);
        }
        members
    }

    /// A path, where one is set.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.optional(name).map(PathBuf::from)
    }

    /// A secret, where one is set.
    pub(super) fn secret(&self, name: &str) -> Option<Secret> {
        self.found(name).map(|found| Secret::new(found.text.clone()))
    }

    /// The value through `parse`; on a mistake, what `parse` makes of the default.
    pub(super) fn parsed<T: Default, E: ToString>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> T {
        let outcome = parse(&self.text(name));
        outcome.unwrap_or_else(|problem| {
            self.wrong(name, problem.to_string());
            let default = Setting::named(name).map_or("", |setting| setting.default);
            parse(default).unwrap_or_default()
        })
    }

    /// A whole number within bounds.
    pub(super) fn number(&mut self, name: &str, least: u64, most: u64) -> u64 {
        self.parsed(name, |text| {
            let number = text.parse::<u64>().ok().filter(|n| (least..=most).contains(n));
            number.ok_or_else(|| format!("{text:?} is not a whole number from {least} to {most}"))
        })
    }

    /// A time in `unit`s, with fractions, within bounds given in units.
    pub(super) fn duration(
        &mut self,
        name: &str,
        unit: Duration,
        least: f64,
        most: f64,
    ) -> Duration {
        self.parsed(name, |text| {
            let number = text.parse::<f64>().ok().filter(|n| (least..=most).contains(n));
            let word = if unit == Duration::from_secs(60) { "minutes" } else { "seconds" };
            number
                .map(|number| unit.mul_f64(number))
                .ok_or_else(|| format!("{text:?} is not a number of {word} from {least} to {most}"))
        })
    }

    /// A time in seconds.
    pub(super) fn seconds(&mut self, name: &str, least: f64, most: f64) -> Duration {
        self.duration(name, Duration::from_secs(1), least, most)
    }

    /// A yes or no.
    pub(super) fn boolean(&mut self, name: &str) -> bool {
        self.parsed(name, |text| match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("write `true` or `false`"),
        })
    }

    /// Notes a mistake at the place where `name` was set.
    pub(super) fn wrong(&mut self, name: &str, problem: impl Into<String>) {
        let origin = self.found(name).map_or(name, |found| found.origin.as_str());
        self.mistakes.add(origin, problem);
    }

    /// Notes what is allowed, but ought to be said.
    pub(super) fn warn(&mut self, name: &str, problem: impl Into<String>) {
        let origin = self.found(name).map_or(name, |found| found.origin.as_str());
        self.mistakes.warn(origin, problem);
    }
}
