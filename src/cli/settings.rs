//! One flag for each setting, out of the one table of settings.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueHint};

use super::Failure;
use crate::config::settings::{self, Entry, Kind, SETTINGS};
use crate::config::{Mistakes, Sources};

/// The environment's name for the configuration file.
const CONFIG: &str = "CONFIG";
/// The setting whose flag says something else where it has no value.
const ISSUER: &str = settings::ISSUER.entry.name;
/// The text that stands for its absence; no issuer can be called that.
const NO_VALUE: &str = "\u{0}";

/// The settings that were given as flags, and the file.
#[derive(Clone, Default)]
pub(super) struct SettingFlags {
    file: Option<PathBuf>,
    given: BTreeMap<String, String>,
}

impl fmt::Debug for SettingFlags {
    /// Names alone: a value may be a secret that was set where it should not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.given.keys()).finish()
    }
}

impl SettingFlags {
    /// File, environment and flags.
    pub(super) fn sources(&self) -> Sources {
        let sources = Sources::of_environment();
        let named = sources.environment.get(CONFIG).filter(|path| !path.is_empty());
        let file = self.file.clone().or_else(|| named.map(PathBuf::from));
        Sources { file, flags: self.given.clone(), ..sources }
    }

    /// A section of the configuration that these make; a mistake is one of usage.
    pub(super) fn load<T>(
        &self,
        section: impl FnOnce(&Sources) -> Result<T, Mistakes>,
    ) -> Result<T, Failure> {
        section(&self.sources()).map_err(Failure::usage)
    }
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new(CONFIG)
            .long("config")
            .value_name("FILE")
            .value_hint(ValueHint::FilePath)
            .help("A TOML file with settings, by their names in lower case [env: CONFIG]");
        // The settings are many, and stand in the long form of help alone.
        let all = Arg::new("help-settings")
            .long("help-settings")
            .action(ArgAction::HelpLong)
            .help("Print help with all settings, each of which is a flag too");
        let help = Arg::new("help")
            .short('h')
            .long("help")
            .action(ArgAction::HelpShort)
            .help("Print help");
        let command = command.disable_help_flag(true).args([config, all, help]);
        SETTINGS.iter().copied().flat_map(flags_of).fold(command, Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// A flag for the value, one for a file with the value, or both.
fn flags_of(setting: &'static Entry) -> impl Iterator<Item = Arg> {
    // The first of its names is shown.
    let arg = |names: Vec<String>, value: &str, help: String| {
        let mut flags = names.iter().map(|name| name.to_ascii_lowercase().replace('_', "-"));
        Arg::new(names.first().cloned().unwrap_or_default())
            .long(flags.next().unwrap_or_default())
            .aliases(flags)
            .value_name(value.to_uppercase())
            .allow_hyphen_values(true)
            .hide_short_help(true)
            .help_heading("Settings")
            .help(help)
    };
    let mut notes = format!("[env: {}]", setting.name);
    if !setting.default.is_empty() {
        notes = format!("{notes} [default: {}]", setting.default);
    }
    let value = (setting.kind != Kind::Secret).then(|| {
        let names = setting.names().map(str::to_owned).collect();
        arg(names, setting.value, format!("{} {notes}", setting.help))
    });
    let file = (setting.kind != Kind::Plain).then(|| {
        let name = setting.name;
        let help = format!("A file with {name} [env: {name}_FILE, or {name}]");
        arg(setting.file_names().collect(), "path", help).value_hint(ValueHint::FilePath)
    });
    let value = value.map(|arg| if setting.name == ISSUER { optional_value(arg) } else { arg });
    value.into_iter().chain(file)
}

/// `--issuer` without a value: be one.
fn optional_value(arg: Arg) -> Arg {
    arg.num_args(0..=1).allow_hyphen_values(false).default_missing_value(NO_VALUE).help(
        "Without a value: issue tokens too (AUTHORIZATION_SERVER). With one: the `iss` of \
               accepted tokens [env: ISSUER] [default: prismaticain]",
    )
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let text = |name: &str| matches.get_one::<String>(name).cloned();
        let names = SETTINGS.iter().copied().flat_map(flags_of).map(|arg| arg.get_id().to_string());
        let mut given: BTreeMap<_, _> =
            names.filter_map(|name| text(&name).map(|value| (name, value))).collect();
        if given.get(ISSUER).is_some_and(|value| value == NO_VALUE) {
            given.remove(ISSUER);
            let issues = settings::AUTHORIZATION_SERVER.entry.name;
            given.insert(issues.to_owned(), "true".to_owned());
        }
        Ok(Self { file: text(CONFIG).map(PathBuf::from), given })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_setting_is_a_flag_too() {
        let command = SettingFlags::augment_args(Command::new("test"));
        let mut old_names = 0;
        for setting in SETTINGS.iter().copied() {
            let values = setting.names().filter(|_| setting.kind != Kind::Secret);
            for name in values.map(str::to_owned).chain(setting.file_names()) {
                let flag = format!("--{}", name.to_ascii_lowercase().replace('_', "-"));
                let matches = command.clone().try_get_matches_from(["test", &flag, "7"]);
                let flags = SettingFlags::from_arg_matches(&matches.expect(&flag)).expect(&flag);
                let given: Vec<_> = flags.given.keys().collect();
                assert!(
                    matches!(given[..], [own] if own.starts_with(setting.name)),
                    "{name}: {given:?}"
                );
                old_names += usize::from(!given.contains(&&name));
            }
        }
        // GRPC_CLIENT_CA_FILE, JWT_ALGORITHM, RSA_PUBLIC_KEY_PATH, RSA_PRIVATE_KEY_PATH.
        assert!(old_names >= 4, "{old_names}");
    }
}
