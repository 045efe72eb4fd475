//! Where settings come from: a file, over it the environment, over that the flags.
//!
//! Nothing is decided here. [`Sources::read`] puts one text beside each setting, together with
//! where it was found, and notes what is wrong with the sources themselves.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::issuers::IssuerTable;
use super::mistakes::Mistakes;
use super::settings::{Kind, SETTINGS, Setting};

/// The raw material: what the process was started with.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file, where one was named.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// The flags, by the name of their setting, with `_FILE` for the flags that name files.
    pub flags: BTreeMap<String, String>,
}

/// A value, and where it was found.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The value.
    pub(super) text: String,
    /// Where: `LEEWAY`, `--leeway`, or `leeway in FILE`.
    pub(super) origin: String,
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// What was found for each setting.
#[derive(Debug, Default)]
pub(super) struct Read {
    values: BTreeMap<&'static str, Found>,
    /// The file's `[[issuers]]`.
    pub(super) issuers: Vec<IssuerTable>,
}

impl Read {
    /// The value of a setting, if it was set at all.
    pub(super) fn get(&self, name: &str) -> Option<&Found> {
        self.values.get(name)
    }
}

impl Sources {
    /// The environment of this process, without the values that are not UTF-8.
    pub fn environment() -> BTreeMap<String, String> {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// Reads everything. What is wrong is added to `mistakes`, and the rest is read all the same.
    pub(super) fn read(&self, mistakes: &mut Mistakes) -> Read {
        let (file_values, issuers) = match &self.file {
            Some(path) => read_file(path, mistakes),
            None => (BTreeMap::new(), Vec::new()),
        };
        let in_file = Level { values: &file_values, naming: Naming::File(self.file.as_deref()) };
        let in_environment = Level { values: &self.environment, naming: Naming::Environment };
        let in_flags = Level { values: &self.flags, naming: Naming::Flag };
        let mut values = BTreeMap::new();
        for setting in SETTINGS {
            let levels = [&in_flags, &in_environment, &in_file];
            // Every level is read, so that a mistake in one that is overridden is still told.
            let found = levels.map(|level| level.find(setting, mistakes));
            if let Some(found) = found.into_iter().flatten().next() {
                values.insert(setting.name, found);
            }
        }
        Read { values, issuers }
    }
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
    /// The setting's value here, under whichever of its names; all of them must agree.
    fn find(&self, setting: &Setting, mistakes: &mut Mistakes) -> Option<Found> {
        let mut found: Option<Found> = None;
        for name in std::iter::once(&setting.name).chain(setting.aliases) {
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
    fn under_name(&self, setting: &Setting, name: &str, mistakes: &mut Mistakes) -> Vec<Found> {
        let mut found = Vec::new();
        if let Some(text) = self.value(name) {
            found.push(Found { text, origin: self.origin(name) });
        }
        let endings: &[&str] = match (setting.kind, name) {
            (Kind::Plain, _) => &[],
            (_, "RSA_PUBLIC_KEY" | "RSA_PRIVATE_KEY") => &["_FILE", "_PATH"],
            _ => &["_FILE"],
        };
        for ending in endings {
            let name = format!("{name}{ending}");
            let Some(path) = self.value(&name) else {
                continue;
            };
            let origin = self.origin(&name);
            match std::fs::read_to_string(&path) {
                // Editors and `echo` end files with a line break that is no part of a secret.
                Ok(text) => {
                    let text = text.trim_end_matches(['\n', '\r']).to_owned();
                    found.push(Found { text, origin });
                }
                Err(error) => mistakes.add(&origin, format!("cannot read {path:?}: {error}")),
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

/// The file's values as text, and its `[[issuers]]`. Unknown keys are mistakes.
fn read_file(path: &Path, mistakes: &mut Mistakes) -> (BTreeMap<String, String>, Vec<IssuerTable>) {
    let place = path.display().to_string();
    let mut values = BTreeMap::new();
    let mut issuers = Vec::new();
    let table = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read it: {error}"))
        .and_then(|text| text.parse::<toml::Table>().map_err(|error| without_source(&error)));
    let table = match table {
        Ok(table) => table,
        Err(problem) => {
            mistakes.add(&place, problem);
            return (values, issuers);
        }
    };
    for (key, value) in table {
        if key == "issuers" {
            match value.try_into::<Vec<IssuerTable>>() {
                Ok(tables) => issuers = tables,
                Err(error) => mistakes.add(&format!("issuers in {place}"), without_source(&error)),
            }
        } else if is_known(&key) {
            match as_text(&value) {
                Some(text) => {
                    values.insert(key, text);
                }
                None => mistakes.add(
                    &format!("{key} in {place}"),
                    "must be a text, a number, true or false, or a list of texts",
                ),
            }
        } else {
            mistakes.add(&format!("{key} in {place}"), "there is no such setting");
        }
    }
    (values, issuers)
}

/// TOML's own message without the quoted line, which may hold a secret.
fn without_source(error: &toml::de::Error) -> String {
    format!("not valid: {}", error.message())
}

fn is_known(key: &str) -> bool {
    SETTINGS.iter().any(|setting| {
        std::iter::once(&setting.name).chain(setting.aliases).any(|name| {
            let name = name.to_ascii_lowercase();
            let rest = key.strip_prefix(&name);
            match (rest, setting.kind) {
                (Some(""), _) | (Some("_file"), Kind::Text | Kind::Secret) => true,
                (Some("_path"), _) => name.starts_with("rsa_"),
                _ => false,
            }
        })
    })
}

fn as_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Array(members) => {
            members.iter().map(toml::Value::as_str).collect::<Option<Vec<_>>>().map(|m| m.join(","))
        }
        toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}
