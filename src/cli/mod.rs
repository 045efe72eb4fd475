//! The commands, their flags and their exit codes.
//!
//! Output that a script needs is alone on standard output; everything else goes to standard error.

mod accounts;
mod apikey;
mod audit;
mod audit_events;
mod client;
mod client_secret;
mod dev;
mod explain;
mod import;
mod key;
mod key_ring;
mod mint;
mod output;
mod policy;
mod policy_rule;
mod progress;
mod role;
mod serve;
mod session;
mod settings;
mod summary;
mod token;
mod user;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::app::close_stores_after;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Mistakes, SessionConfig};
use crate::secret::SystemRandom;
use output::Output;
use settings::SettingFlags;

/// The end of a command, as scripts see it. The numbers above 1 are those of `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was asked.
    Done,
    /// The answer is no: the request is denied, the token is not valid, there was no session or user, the name
    /// is taken.
    No,
    /// The command or the configuration is wrong; nothing was started.
    Usage,
    /// A store, an address or a file is not available.
    Unavailable,
    /// Anything else.
    Failed,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::No => 1,
            Exit::Usage => 64,
            Exit::Unavailable => 69,
            Exit::Failed => 70,
        })
    }
}

/// A reason for which a command did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Usage, error: error.into() }
    }

    fn no(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::No, error: error.into() }
    }

    fn unavailable(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Unavailable, error: error.into() }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { exit: Exit::Failed, error: error.into() }
    }
}

type Outcome = Result<Exit, Failure>;

/// Forward authentication: a gateway asks before every request, Portcullis answers.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, max_term_width = 100, propagate_version = true)]
#[command(after_help = "\
Exit codes: 0 done; 1 the answer is no; 64 wrong usage or configuration; 69 a store or an address \
is not available; 70 anything else.
Settings are read from --config FILE, over it from the environment, over that from flags; \
`portcullis serve --help-settings` lists them.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try it: gate, key, store and a demo user in one process on this host
    Dev(dev::Args),
    /// Run the gate, and with `--issuer` (AUTHORIZATION_SERVER) the issuer
    Serve(serve::Args),
    /// Check the configuration as `serve` would, and do nothing else
    CheckConfig(serve::CheckArgs),
    /// Make and show keys
    #[command(subcommand)]
    Key(key::Command),
    /// Make and look at tokens
    #[command(subcommand)]
    Token(token::Command),
    /// List and end sessions
    #[command(subcommand)]
    Session(session::Command),
    /// Users: who may log in
    #[command(subcommand)]
    User(user::Command),
    /// API keys: what programs log in with
    #[command(subcommand)]
    Apikey(apikey::Command),
    /// Clients of OAuth: which programs ask for tokens
    #[command(subcommand)]
    Client(client::Command),
    /// Search the audit events
    #[command(subcommand)]
    Audit(audit_events::Command),
    /// Take over the users and keys of another system
    #[command(subcommand)]
    Import(import::Command),
    /// Test a policy, without keys, store or server; keep Casbin's rules
    #[command(subcommand)]
    Policy(policy::Command),
    /// Roles: who has which
    #[command(subcommand)]
    Role(role::Command),
    /// Say how a request would be answered, and why, without a server
    Explain(explain::Args),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Runs the program with the arguments of this process.
pub fn run() -> ExitCode {
    // Rustls has to be told once which implementation it uses; ours is the only one there is.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    run_with(std::env::args_os()).into()
}

fn run_with(arguments: impl Iterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(rewrite_help(arguments.collect())) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are printed by the same way, and are no mistakes.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    let outcome = dispatch(cli.command);
    audit::write_table();
    match outcome {
        Ok(exit) => exit,
        Err(Failure { exit, error }) => {
            match error.downcast_ref::<Mistakes>() {
                Some(mistakes) => Output::say(mistakes.to_string().trim_end()),
                None => Output::say(&format!("portcullis: {}", error_chain(&error))),
            }
            exit
        }
    }
}

/// An error and its causes. Libraries often say in one what they say again in the next.
fn error_chain(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = cause;
        } else if !told.ends_with(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}

/// `help COMMAND` as `COMMAND --help`: the former would print the settings too.
fn rewrite_help(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if arguments.get(1).is_some_and(|first| first == "help") {
        arguments.remove(1);
        arguments.push("--help".into());
    }
    arguments
}

fn dispatch(command: Command) -> Outcome {
    match command {
        Command::Dev(args) => dev::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::CheckConfig(args) => serve::check(&args),
        Command::Key(command) => key::run(&command),
        Command::Token(command) => token::run(&command),
        Command::Session(command) => session::run(&command),
        Command::User(command) => user::run(&command),
        Command::Apikey(command) => apikey::run(&command),
        Command::Client(command) => client::run(&command),
        Command::Audit(command) => audit_events::run(&command),
        Command::Import(command) => import::run(&command),
        Command::Policy(command) => policy::run(&command),
        Command::Role(command) => role::run(&command),
        Command::Explain(args) => explain::run(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "portcullis", &mut script);
            Output::write(&script)?;
            Ok(Exit::Done)
        }
    }
}

/// The configuration that these flags, the environment and the file make for a command.
fn load_for_command(flags: &SettingFlags) -> Result<Config, Failure> {
    let mut config = flags.load(Config::load_for_command)?;
    extend_timeouts(&mut config.sessions);
    Ok(config)
}

/// The sessions' section, for a command that needs no key and no address.
fn load_sessions(flags: &SettingFlags) -> Result<SessionConfig, Failure> {
    let mut config = flags.load(Config::load_sessions)?;
    extend_timeouts(&mut config);
    Ok(config)
}

/// A command waits longer than a gateway would, and looking at a session is not using it.
fn extend_timeouts(config: &mut SessionConfig) {
    config.policy.timeout = config.policy.timeout.max(COMMAND_TIMEOUT);
    config.policy.records_use = false;
}

/// The time that a command waits for the store.
const COMMAND_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// A runtime for a command that ends at once: one thread is enough.
fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(close_stores_after(work)))
}

/// A runtime for a server. When the server has ended nothing else is waited for: a read of a file
/// or a name that hangs must not keep the process from stopping.
fn run_until_stopped(server: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(close_stores_after(server));
    runtime.shutdown_background();
    outcome
}

/// The clock and the random source of commands.
fn clock_and_random() -> (Arc<dyn Clock>, Arc<SystemRandom>) {
    (Arc::new(SystemClock::new()), Arc::new(SystemRandom))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    /// Every command that does something, with the names that lead to it.
    fn leaves(command: &clap::Command, path: &str) -> Vec<(String, clap::Command)> {
        if !command.has_subcommands() {
            return vec![(path.to_owned(), command.clone())];
        }
        let deeper = |inner: &clap::Command| leaves(inner, &format!("{path} {}", inner.get_name()));
        command.get_subcommands().flat_map(deeper).collect()
    }

    #[test]
    fn help_shows_the_flags_of_a_command_and_the_settings_only_where_they_are_asked_for() {
        let leaves = leaves(&Cli::command(), "portcullis");
        assert!(leaves.len() > 20, "{}", leaves.len());
        for (path, mut command) in leaves {
            let takes_settings = command.get_arguments().any(|arg| arg.get_id() == "LEEWAY");
            let (short, long) =
                (command.render_help().to_string(), command.render_long_help().to_string());
            assert!(!short.contains("--leeway"), "{path}: {short}");
            assert_eq!(long.contains("--leeway"), takes_settings, "{path}");
            assert_eq!(short.contains("--help-settings"), takes_settings, "{path}: {short}");
            for own in command
                .get_arguments()
                .filter(|arg| !arg.is_hide_set() && !arg.is_hide_short_help_set())
            {
                let name = own.get_long().unwrap_or_default();
                assert!(short.contains(name), "{path} --{name}");
            }
        }
    }

    #[test]
    fn what_a_cause_says_again_is_told_once() {
        let cause = anyhow::anyhow!("no such file");
        let error = cause.context("cannot open x: no such file").context("cannot start");
        assert_eq!(error_chain(&error), "cannot start: cannot open x: no such file");
    }

    #[test]
    fn help_before_a_command_is_its_help() {
        let rewritten = |words: &[&str]| {
            let words = words.iter().map(OsString::from).collect();
            rewrite_help(words).join(std::ffi::OsStr::new(" "))
        };
        assert_eq!(rewritten(&["portcullis", "help"]), "portcullis --help");
        let nested = rewritten(&["portcullis", "help", "key", "rotate"]);
        assert_eq!(nested, "portcullis key rotate --help");
        assert_eq!(rewritten(&["portcullis", "serve"]), "portcullis serve");
    }
}
