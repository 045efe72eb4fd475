//! A setting: its row of the table, and the type of its value.

/// The ways in which a setting's value may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// In the environment, in the file, as a flag.
    Plain,
    /// As plain, or in a file of its own, by the setting's name and `_FILE`.
    Text,
    /// As text, but never as a flag: every user of the host can read a command line.
    Secret,
}

/// A row of the table of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the environment; in lower case, its key in the file; with dashes, its flag.
    pub name: &'static str,
    /// Other names for it, from the older systems.
    pub aliases: &'static [&'static str],
    /// The ways in which its value may be given.
    pub kind: Kind,
    /// A description of the value for people: a unit, or a form.
    pub value: &'static str,
    /// The value that holds where nothing is set; empty: none.
    pub default: &'static str,
    /// A description of its effect, in one line.
    pub help: &'static str,
}

impl Entry {
    /// Its name, then its older ones.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// The names, in the same order, by which a file may be given that holds the value.
    pub fn file_names(&self) -> impl Iterator<Item = String> {
        self.names().flat_map(|name| self.file_names_of(name))
    }

    /// Those that belong to one of its names.
    pub(super) fn file_names_of(&self, name: &'static str) -> impl Iterator<Item = String> + use<> {
        let endings: &[&str] = match self.kind {
            Kind::Plain => &[],
            Kind::Text | Kind::Secret if name.starts_with("RSA_") => &["_FILE", "_PATH"],
            Kind::Text | Kind::Secret => &["_FILE"],
        };
        endings.iter().map(move |ending| format!("{name}{ending}"))
    }
}

/// A setting whose value is a `T`.
pub(crate) struct Setting<T> {
    pub(crate) entry: &'static Entry,
    pub(super) parse: fn(&str) -> Result<T, String>,
}

impl<T: Default> Setting<T> {
    /// The value that holds where nothing is set.
    pub(super) fn default(self) -> T {
        match self.entry.default {
            "" => T::default(),
            text => (self.parse)(text).unwrap_or_default(),
        }
    }
}

impl<T> Clone for Setting<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Setting<T> {}

impl<T> From<Setting<T>> for &'static Entry {
    fn from(setting: Setting<T>) -> Self {
        setting.entry
    }
}

/// The rows of all files of the table, which are `N` together.
pub(super) const fn joined<const N: usize, const F: usize>(
    files: [&[&'static Entry]; F],
) -> [&'static Entry; N] {
    let mut all = [files[0][0]; N];
    let (mut file, mut at) = (0, 0);
    while file < files.len() {
        let mut row = 0;
        while row < files[file].len() {
            all[at] = files[file][row];
            (row, at) = (row + 1, at + 1);
        }
        file += 1;
    }
    all
}

/// Makes a constant of each row, and the list of all: name, type, how the text is read, a
/// description of the value, the default, the help; in brackets the kind, if it is not plain.
macro_rules! settings {
    ($($name:ident $(or $alias:ident)*: $type:ty $([$kind:ident])? = $parse:expr,
        $value:literal, $default:literal, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub(crate) const $name: Setting<$type> = Setting {
                entry: &Entry {
                    name: stringify!($name),
                    aliases: &[$(stringify!($alias)),*],
                    kind: [$(Kind::$kind,)? Kind::Plain][0],
                    value: $value,
                    default: $default,
                    help: $help,
                },
                parse: |text| ($parse)(text).map_err(|problem| problem.to_string()),
            };
        )*

        /// The rows of this file.
        pub(super) const ROWS: &[&Entry] = &[$($name.entry),*];

        /// The settings whose default is not read as a value.
        #[cfg(test)]
        pub(super) fn unreadable_defaults() -> Vec<&'static str> {
            let read = [$(($name.entry, ($name.parse)($name.entry.default).err())),*];
            let is_unreadable = |(entry, problem): (&Entry, Option<String>)| {
                (!entry.default.is_empty() && problem.is_some()).then_some(entry.name)
            };
            read.into_iter().filter_map(is_unreadable).collect()
        }
    };
}
pub(super) use settings;
