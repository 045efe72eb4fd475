//! The keys that sign: KEY_RING_FILE, or the key that `dev` made; and that there is one at all.

use std::path::{Path, PathBuf};

use super::reader::Reader;
use super::settings::{self, KEY_SOURCES};
use super::tokens::{KeysConfig, TokenConfig};
use crate::secret::Secret;
use crate::token::key_file::{self, KeyFileError};
use crate::token::{Algorithm, SigningKey};

/// The file in DATA_DIR that `dev` keeps its signing key in.
pub const DEV_KEY_FILE: &str = "signing-key.pem";
/// The algorithm of that key: short signatures, and every library reads it.
pub const DEV_KEY_ALGORITHM: Algorithm = Algorithm::ES256;
/// The file beside it with the name that `dev` issues under.
pub const DEV_ISSUER_FILE: &str = "issuer";

/// The mistake where something has to be signed and nothing can.
pub(super) const NO_SIGNER: &str = "there is no key that signs: set KEY_RING_FILE (`portcullis key rotate` \
                                    makes it), PRIVATE_KEY_FILE or SECRET_KEY_FILE";
/// The settings that such a key would be in.
const SIGNERS: [&settings::Entry; 4] = [
    settings::KEY_RING_FILE.entry,
    settings::PRIVATE_KEY.entry,
    settings::RSA_PRIVATE_KEY.entry,
    settings::SECRET_KEY.entry,
];

/// Keys that verify, and the one of them that signs, if one does.
pub(super) type Pair = (Option<KeysConfig>, Option<SigningKey>);

/// Says whether no key signs, and no mistake about one was told already.
pub(super) fn lacks_signer(reader: &Reader<'_>, tokens: &TokenConfig) -> bool {
    let is_reported = !reader.mistakes.is_empty() && SIGNERS.iter().any(|it| reader.is_named(*it));
    tokens.signing.is_none() && tokens.ring.is_none() && !is_reported
}

/// The file of KEY_RING_FILE, once it is read; what is wrong with it or beside it is told.
pub(super) fn ring_file(reader: &mut Reader<'_>) -> Option<PathBuf> {
    let path = reader.get(settings::KEY_RING_FILE)?;
    let others = KEY_SOURCES.into_iter().filter(|it| *it != settings::KEY_RING_FILE.entry);
    let others: Vec<_> = others.filter(|it| reader.is_set(*it)).map(|it| it.name).collect();
    if !others.is_empty() {
        let problem = format!(
            "{} is set too, and our own keys have one place: take a private key over with \
             `portcullis key rotate --import FILE`, then unset it; those of others belong into \
             [[issuers]]",
            others.join(", ")
        );
        reader.wrong(settings::KEY_RING_FILE, problem);
    }
    let place = path.display();
    let problem = match key_file::read(&path) {
        Ok(_) => return Some(path),
        Err(error @ KeyFileError::Missing) => {
            format!("{place}: {error}; `portcullis key rotate --ring {place}` makes it")
        }
        Err(error) => format!("{place}: {error}"),
    };
    reader.wrong(settings::KEY_RING_FILE, problem);
    Some(path)
}

/// The name that `dev` issued under when it last ran here.
pub(super) fn dev_issuer(data_dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(data_dir.join(DEV_ISSUER_FILE)).ok()?;
    Some(text.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The key that `dev` made, where it may be used; else there is none, which is a mistake.
pub(super) fn dev_key(reader: &mut Reader<'_>, data_dir: Option<&Path>) -> Pair {
    let path = data_dir.map(|folder| folder.join(DEV_KEY_FILE));
    let pem = path.as_ref().and_then(|path| std::fs::read(path).ok());
    let (Some(path), Some(pem)) = (path, pem) else {
        tell_of_no_key(reader, data_dir.is_some());
        return (None, None);
    };
    match SigningKey::from_private_pem(DEV_KEY_ALGORITHM, &Secret::new(pem)) {
        Ok(key) => (Some(KeysConfig::Fixed(vec![key.verifying().clone()])), Some(key)),
        Err(error) => {
            reader.mistakes.add(&path.display().to_string(), error.to_string());
            (None, None)
        }
    }
}

fn tell_of_no_key(reader: &mut Reader<'_>, is_beside_dev: bool) {
    if reader.get(settings::AUTHORIZATION_SERVER) {
        reader.wrong(settings::AUTHORIZATION_SERVER, NO_SIGNER);
        return;
    }
    let way_out = if is_beside_dev {
        "or run `portcullis dev` first, which makes one"
    } else {
        "the key that `portcullis dev` made is never used unasked"
    };
    let problem = format!(
        "there is no key: set ALGORITHM and PUBLIC_KEY_FILE (or RSA_PUBLIC_KEY_PATH), \
         SECRET_KEY_FILE, JWKS_URL or JWKS_FILE; {way_out}"
    );
    reader.wrong(settings::PUBLIC_KEY, problem);
}
