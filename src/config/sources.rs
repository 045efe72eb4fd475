//! Sources of settings: a file, over it the environment, over that the flags.
//!
//! Nothing is decided here. [`Sources::read`] puts one text beside each setting, together with
//! where it was found, and notes what is wrong with the sources themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use super::mistakes::Mistakes;
use super::settings::{Entry, Kind, SETTINGS};
use super::tables::IssuerTable;
use super::values::NO_MEMBERS;
use super::{file_permissions, names, refused};
use crate::wire::deserialization::{self, Misread};

/// The raw material: what the process was started with.
#[derive(Clone, Default)]
pub struct Sources {
    /// The file, where one was named.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// Names in the environment whose values are not UTF-8.
    pub unreadable: Vec<String>,
    /// The flags, by the name of their setting, with `_FILE` for the flags that name files.
    pub flags: BTreeMap<String, String>,
}

impl fmt::Debug for Sources {
    /// Names alone: there are secrets among the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("file", &self.file)
            .field("environment", &self.environment.keys())
            .field("flags", &self.flags.keys())
            .finish_non_exhaustive()
    }
}

/// A value, and where it was found.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The value.
    pub(super) text: String,
    /// The place: `LEEWAY`, `--leeway`, or `leeway in FILE`.
    pub(super) origin: String,
    /// The layer in which it was set.
    pub(super) layer: Layer,
}

/// The three places, from the weakest to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layer {
    File,
    Environment,
    Flag,
}

impl Found {
    /// The text as it is read: what stands around it counts in a secret alone.
    pub(super) fn value(&self, setting: &Entry) -> &str {
        if setting.kind == Kind::Secret { &self.text } else { self.text.trim() }
    }
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// The values that were found.
#[derive(Debug, Default)]
pub(super) struct Read {
    values: BTreeMap<&'static str, Found>,
    named: BTreeSet<&'static str>,
    /// The file's `[[issuers]]`.
    pub(super) issuers: Vec<IssuerTable>,
    /// Says whether the file could be read at all, if one was named.
    pub(super) is_whole: bool,
}

impl Read {
    /// The value of a setting, if it was set at all.
    pub(super) fn get(&self, name: &str) -> Option<&Found> {
        self.values.get(name)
    }

    /// Says whether a setting is named, be it by a file that cannot be read. That mistake is told, and
    /// need not be told again as if there were nothing.
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.named.contains(name)
    }
}

impl Sources {
    /// The environment of this process.
    pub fn of_environment() -> Self {
        let mut sources = Self::default();
        for (name, value) in std::env::vars_os() {
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => drop(sources.environment.insert(name, value)),
                (Ok(name), Err(_)) => sources.unreadable.push(name),
                (Err(_), _) => {}
            }
        }
        sources
    }

    /// Reads everything. What is wrong is added to `mistakes`, and the rest is read all the same.
    pub(super) fn read(&self, mistakes: &mut Mistakes) -> Read {
        let content = self.file.as_ref().map(|path| read_file(path, mistakes));
        let FileContent { values: file_values, issuers, is_whole } = content.unwrap_or_default();
        if self.environment.get("REDIS_CONNECTION_TYPE").is_some_and(|kind| kind == "sentinel") {
            mistakes.add(
                "REDIS_CONNECTION_TYPE",
                "is not read; write DB_URL=redis+sentinel://HOST,HOST,HOST/MASTER",
            );
        }
        self.warn_of_unknown_variables(mistakes);
        for name in &self.unreadable {
            if names::is_known(name) {
                mistakes.add(name, "is not UTF-8");
            }
        }
        let in_file = Level { values: &file_values, naming: Naming::File(self.file.as_deref()) };
        let in_environment = Level { values: &self.environment, naming: Naming::Environment };
        let in_flags = Level { values: &self.flags, naming: Naming::Flag };
        let (mut values, mut named) = (BTreeMap::new(), BTreeSet::new());
        for setting in SETTINGS.iter().copied() {
            let levels = [&in_flags, &in_environment, &in_file];
            // Every level is read, so that a mistake in one that is overridden is still told.
            let found = levels.map(|level| level.find(setting, mistakes));
            if levels.iter().any(|level| level.names(setting)) {
                named.insert(setting.name);
            }
            if let Some(found) = found.into_iter().flatten().next() {
                values.insert(setting.name, found);
            }
        }
        let wire: Option<&Found> = values.get("AUTHNZERVER_LISTEN");
        if wire.is_some_and(|listen| listen.text != "off") {
            refused::check(&self.environment, mistakes);
        }
        Read { values, named, issuers, is_whole }
    }
}

impl Sources {
    /// Variables that look like settings and are none. They may be somebody else's.
    fn warn_of_unknown_variables(&self, mistakes: &mut Mistakes) {
        for (name, value) in self.environment.iter().filter(|(name, _)| !names::is_known(name)) {
            // Kubernetes tells every service's address so, also that of one called `portcullis`.
            let is_of_a_service = value.starts_with("tcp://");
            if let Some(meant) = names::nearest_variable(name).filter(|_| !is_of_a_service) {
                mistakes.warn(name, format!("is no setting; do you mean {meant}?"));
            }
        }
    }
}

/// Editors and `echo` end files with a line break that is no part of a secret.
const LINE_END: [char; 2] = ['\n', '\r'];

/// The content of a secret's file.
pub(super) fn without_line_end(content: &[u8]) -> &[u8] {
    let end = content.iter().rposition(|byte| !LINE_END.contains(&char::from(*byte)));
    &content[..end.map_or(0, |last| last + 1)]
}

/// One of the three places, with its way of naming settings.
struct Level<'s> {
    values: &'s BTreeMap<String, String>,
    naming: Naming<'s>,
}

#[derive(Clone, Copy)]
enum Naming<'s> {
    Flag,
    Environment,
    File(Option<&'s Path>),
}

impl Level<'_> {
    /// Says whether the setting is named here, be it by a file that cannot be read.
    fn names(&self, setting: &'static Entry) -> bool {
        names::names_of(setting).any(|name| self.value(&name).is_some())
    }

    /// The setting's value here, under whichever of its names; all of them must agree.
    fn find(&self, setting: &Entry, mistakes: &mut Mistakes) -> Option<Found> {
        let mut found: Option<Found> = None;
        for name in setting.names() {
            for candidate in self.under_name(setting, name, mistakes) {
                match &found {
                    Some(first) if first.text != candidate.text => mistakes.add(
                        &candidate.origin,
                        format!(
                            "disagrees with {}: they are two names for one thing",
                            first.origin
                        ),
                    ),
                    Some(_) => {}
                    None => found = Some(candidate),
                }
            }
        }
        found
    }

    /// The value itself, and the content of the file that holds it.
    fn under_name(
        &self,
        setting: &Entry,
        name: &'static str,
        mistakes: &mut Mistakes,
    ) -> Vec<Found> {
        let mut found = Vec::new();
        if let Some(text) = self.value(name) {
            found.push(Found { text, origin: self.origin(name), layer: self.layer() });
        }
        for name in setting.file_names_of(name) {
            let Some(path) = self.value(&name) else {
                continue;
            };
            let origin = self.origin(&name);
            match std::fs::read_to_string(&path) {
                Ok(text) => {
                    file_permissions::warn(mistakes, setting, &origin, Path::new(&path));
                    let text = text.trim_end_matches(LINE_END).to_owned();
                    found.push(Found { text, origin, layer: self.layer() });
                }
                // The path is not repeated: often enough it is the secret itself, set by mistake.
                Err(error) => {
                    let problem = format!("cannot read the file that it names: {error}");
                    mistakes.add(&origin, problem);
                }
            }
        }
        found
    }

    /// An empty value counts as none, as compose files leave them; but an empty ISSUER says that
    /// issuers are not checked.
    fn value(&self, name: &str) -> Option<String> {
        let key = match self.naming {
            Naming::File(_) => name.to_ascii_lowercase(),
            Naming::Flag | Naming::Environment => name.to_owned(),
        };
        self.values.get(&key).filter(|text| !text.is_empty() || name == "ISSUER").cloned()
    }

    fn layer(&self) -> Layer {
        match self.naming {
            Naming::File(_) => Layer::File,
            Naming::Environment => Layer::Environment,
            Naming::Flag => Layer::Flag,
        }
    }

    fn origin(&self, name: &str) -> String {
        let key = name.to_ascii_lowercase();
        match self.naming {
            Naming::Flag => format!("--{}", key.replace('_', "-")),
            Naming::Environment => name.to_owned(),
            Naming::File(Some(path)) => format!("{key} in {}", path.display()),
            Naming::File(None) => key,
        }
    }
}

/// The content of a file: its values as text, its `[[issuers]]`, and whether all of it could be read.
struct FileContent {
    values: BTreeMap<String, String>,
    issuers: Vec<IssuerTable>,
    is_whole: bool,
}

impl Default for FileContent {
    /// The content of no file.
    fn default() -> Self {
        Self { values: BTreeMap::new(), issuers: Vec::new(), is_whole: true }
    }
}

/// Reads a file. Unknown keys are mistakes.
fn read_file(path: &Path, mistakes: &mut Mistakes) -> FileContent {
    let place = path.display().to_string();
    let mut content = FileContent::default();
    let table = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read it: {error}"))
        .and_then(|text| text.parse::<toml::Table>().map_err(|error| not_toml(&error, &text)));
    let table = match table {
        Ok(table) => table,
        Err(problem) => {
            mistakes.add(&place, problem);
            return FileContent { is_whole: false, ..content };
        }
    };
    for (key, value) in table {
        if key == "issuers" {
            let there = value.as_array().map_or(1, Vec::len);
            content.issuers = read_issuers(value, &place, mistakes);
            content.is_whole = content.issuers.len() == there;
        } else if key == "issuer" && !value.is_str() {
            content.is_whole = false;
            mistakes.add(&format!("{key} in {place}"), "for tables write [[issuers]]");
        } else if key == "socket_mode" && !value.is_str() {
            // TOML has octal numbers of its own, so a number here would be read twice.
            mistakes.add(&format!("{key} in {place}"), "write it as a text: \"660\"");
        } else if names::is_known(&key.to_ascii_uppercase()) && !key.contains(char::is_uppercase) {
            match as_text(&value) {
                Some(text) if text.is_empty() && value.is_array() => {
                    mistakes.add(&format!("{key} in {place}"), NO_MEMBERS);
                }
                Some(text) => {
                    content.values.insert(key, text);
                }
                None => mistakes.add(
                    &format!("{key} in {place}"),
                    "must be a text, a number, true or false, or a list of texts",
                ),
            }
        } else {
            let meant = names::nearest(&key).map(|name| name.to_ascii_lowercase());
            let meant = meant.map_or_else(String::new, |name| format!("; do you mean {name}?"));
            mistakes.add(&format!("{key} in {place}"), format!("there is no such setting{meant}"));
        }
    }
    if holds_secret(&content.values) {
        file_permissions::warn_of_secret(mistakes, &place, path);
    }
    content
}

/// Says whether a secret itself stands in the file.
fn holds_secret(values: &BTreeMap<String, String>) -> bool {
    let value = |setting: &Entry| values.get(&setting.name.to_ascii_lowercase());
    SETTINGS.iter().copied().any(|setting| match setting.kind {
        Kind::Secret => value(setting).is_some(),
        Kind::Text | Kind::Plain => {
            setting.value == "URL" && value(setting).is_some_and(|url| url.contains('@'))
        }
    })
}

/// The `[[issuers]]`, each for itself, so that a mistake in one hides none in the next.
fn read_issuers(value: toml::Value, place: &str, mistakes: &mut Mistakes) -> Vec<IssuerTable> {
    let toml::Value::Array(tables) = value else {
        mistakes.add(&format!("issuers in {place}"), "must be tables: [[issuers]]");
        return Vec::new();
    };
    let read = |(number, table): (usize, toml::Value)| {
        let at = format!("issuers[{number}] in {place}");
        let read = deserialization::read(table);
        read.map_err(|misread| mistakes.add(&at, without_values(&misread))).ok()
    };
    tables.into_iter().enumerate().filter_map(read).collect()
}

/// TOML's own message, where it names fields alone; what names values may hold a secret.
fn without_values(misread: &Misread<toml::de::Error>) -> String {
    let message = misread.error.message();
    if message.starts_with("unknown field") || message.starts_with("missing field") {
        return misread.in_words("", message);
    }
    let problem =
        "a value has the wrong type; docs/how-to/several-issuers.md shows the form of [[issuers]]";
    misread.in_words("", problem)
}

/// The line where the file stops being TOML. The line itself may hold a secret.
fn not_toml(error: &toml::de::Error, text: &str) -> String {
    let line = error.span().map(|span| text[..span.start.min(text.len())].lines().count().max(1));
    format!("is not valid TOML, in line {}; texts stand in quotes", line.unwrap_or(1))
}

fn as_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(boolean) => Some(boolean.to_string()),
        toml::Value::Array(members) => {
            members.iter().map(toml::Value::as_str).collect::<Option<Vec<_>>>().map(|m| m.join(","))
        }
        toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}
