//! `key generate` and `key public`; what concerns the key ring is beside it.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use super::key_ring::{self, RingCommand, RotateArgs};
use super::output::Output;
use super::{Exit, Failure, Outcome};
use crate::secret::{Secret, SystemRandom};
use crate::token::{Algorithm, SigningKey, algorithm, key};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a key: a private key in PEM, or for HS256, HS384, HS512 a secret
    Generate {
        /// The algorithm it is for
        #[arg(long, default_value = "ES256", value_parser = algorithm::parse)]
        algorithm: Algorithm,
        /// Write it to this new file, readable by its owner alone, instead of standard output
        #[arg(long, value_name = "FILE", conflicts_with = "json")]
        out: Option<PathBuf>,
        /// Print an object with the key, its algorithm and its `kid`
        #[arg(long)]
        json: bool,
    },
    /// Print the public key of a private one
    Public {
        /// The private key in PEM; standard input where it is not given
        file: Option<PathBuf>,
        /// Print a JWK Set (RFC 7517) instead of PEM
        #[arg(long)]
        jwks: bool,
        /// The algorithm it is for
        #[arg(long, default_value = "ES256", value_parser = algorithm::parse)]
        algorithm: Algorithm,
    },
    /// Add a key to the key ring, to which the present one hands over; its `kid` is alone on standard
    /// output
    Rotate(Box<RotateArgs>),
    /// Look at the key ring
    #[command(subcommand)]
    Ring(RingCommand),
}

pub(super) fn run(command: &Command) -> Outcome {
    match command {
        Command::Generate { algorithm, out, json } => generate(*algorithm, out.as_deref(), *json),
        Command::Public { file, jwks, algorithm } => public(file.as_deref(), *jwks, *algorithm),
        Command::Rotate(args) => key_ring::rotate(args),
        Command::Ring(command) => key_ring::ring(command),
    }
}

fn generate(algorithm: Algorithm, out: Option<&Path>, json: bool) -> Outcome {
    let material = key::generate(algorithm, &SystemRandom)?;
    let id = if algorithm::is_symmetric(algorithm) {
        None
    } else {
        SigningKey::from_private_pem(algorithm, &material)?.id().map(ToString::to_string)
    };
    let (name, text) = (algorithm::name(algorithm), material.expose().trim_ascii_end());
    if json {
        let key = String::from_utf8_lossy(text);
        let shown = json!({ "algorithm": name, "key_id": id, "key": key });
        Output::secret(&shown.to_string())?;
        return Ok(Exit::Done);
    }
    if let Some(id) = id {
        Output::say(&format!("{name} key {id}"));
    }
    match out {
        Some(path) => {
            write_new(path, text).map_err(Failure::unavailable)?;
            Output::say(&format!("written to {}", path.display()));
        }
        None => Output::secret(&String::from_utf8_lossy(text))?,
    }
    Ok(Exit::Done)
}

/// Writes a file that was not there, for its owner's eyes alone.
pub(super) fn write_new(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot create {}", path.display()))?;
    file.write_all(content)
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all())
        .with_context(|| format!("cannot write {}", path.display()))
}

fn public(file: Option<&Path>, jwks: bool, algorithm: Algorithm) -> Outcome {
    let mut pem = Vec::new();
    if let Some(path) = file {
        pem = std::fs::read(path)
            .with_context(|| format!("cannot read {}", path.display()))
            .map_err(Failure::unavailable)?;
    } else {
        std::io::stdin().read_to_end(&mut pem)?;
    }
    let key = SigningKey::from_private_pem(algorithm, &Secret::new(pem)).map_err(Failure::usage)?;
    if jwks {
        let public = key.verifying().public().context("a shared secret has no public key")?;
        Output::json(&json!({ "keys": [public.jwk()] }))?;
    } else {
        let pem = key.public_pem().context("a shared secret has no public key")?;
        Output::write(pem.as_bytes())?;
    }
    Ok(Exit::Done)
}
