//! The key material of the flat settings, under the names of both older systems.

use super::reader::Reader;
use super::settings::{self, Entry, Setting};
use super::signer::Pair;
use super::tokens::KeysConfig;
use crate::secret::Secret;
use crate::token::key::{self, KeyError};
use crate::token::{Algorithm, SigningKey, VerifyingKey, algorithm};

/// Keys in the settings, before it is said for which algorithm.
pub(super) struct KeyMaterial {
    public: Option<(&'static Entry, Secret)>,
    private: Option<(&'static Entry, Secret)>,
    secret: Option<Secret>,
    /// `None` where the name that was set is none.
    algorithm: Option<Algorithm>,
    pub(super) algorithm_if_set: Option<Algorithm>,
    pub(super) is_of_jwthenticator: bool,
}

impl KeyMaterial {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let public = one_of(reader, settings::PUBLIC_KEY, settings::RSA_PUBLIC_KEY);
        let private = one_of(reader, settings::PRIVATE_KEY, settings::RSA_PRIVATE_KEY);
        let is_of_jwthenticator = [&public, &private]
            .iter()
            .any(|found| found.as_ref().is_some_and(|(from, _)| from.name.starts_with("RSA_")));
        let usual = if is_of_jwthenticator { Algorithm::RS256 } else { Algorithm::HS256 };
        let algorithm_if_set = reader.if_set(settings::ALGORITHM).flatten();
        let is_set = reader.is_set(settings::ALGORITHM);
        Self {
            public,
            private,
            secret: reader.get(settings::SECRET_KEY),
            algorithm: if is_set { algorithm_if_set } else { Some(usual) },
            algorithm_if_set,
            is_of_jwthenticator,
        }
    }

    pub(super) fn has_any(&self) -> bool {
        self.public.is_some() || self.private.is_some() || self.secret.is_some()
    }

    /// The keys for the configured algorithm. The rest of the material is not used, as in the
    /// older systems, where deployments set more than they need.
    pub(super) fn keys(&self, reader: &mut Reader<'_>) -> Pair {
        if let Some((from, pem)) = &self.public
            && key::is_private_pem(pem.expose())
        {
            reader.wrong(*from, KeyError::PrivateWherePublic.to_string());
            return (None, None);
        }
        let Some(algorithm) = self.algorithm else {
            return (None, None);
        };
        self.check_used(reader, algorithm);
        if algorithm::is_symmetric(algorithm) {
            return self.symmetric(reader, algorithm);
        }
        let signing = self.private.as_ref().and_then(|(from, pem)| {
            reader.good(*from, SigningKey::from_private_pem(algorithm, pem))
        });
        let public = self.public.as_ref().and_then(|(from, pem)| {
            let key = VerifyingKey::from_public_pem(None, algorithm, pem.expose());
            reader.good(*from, key)
        });
        if let (Some(signing), Some(public)) = (&signing, &public)
            && !signing.verifying().same_as(public)
        {
            reader.wrong(settings::PRIVATE_KEY, "does not belong to PUBLIC_KEY: they are no pair");
        }
        if self.public.is_none() && self.private.is_none() {
            let name = algorithm::name(algorithm);
            reader
                .wrong(settings::ALGORITHM, format!("{name} needs PUBLIC_KEY, and it is not set"));
        }
        let verifying = public.or_else(|| signing.as_ref().map(|key| key.verifying().clone()));
        (verifying.map(|key| KeysConfig::Fixed(vec![key])), signing)
    }

    /// Tells of keys that are not used: ALGORITHM says which of two kinds is.
    fn check_used(&self, reader: &mut Reader<'_>, algorithm: Algorithm) {
        let pair = self.public.as_ref().or(self.private.as_ref()).map(|(from, _)| *from);
        let (Some(pair), true) = (pair, self.secret.is_some()) else { return };
        let name = algorithm::name(algorithm);
        if !reader.is_set(settings::ALGORITHM) {
            let pair = pair.name;
            let problem = format!("{pair} is set too: ALGORITHM has to say which of them is used");
            reader.wrong(settings::SECRET_KEY, problem);
        } else if algorithm::is_symmetric(algorithm) {
            reader.warn(pair, format!("is not used: ALGORITHM is {name}, which takes SECRET_KEY"));
        } else {
            reader.warn(
                settings::SECRET_KEY,
                format!("is not used: ALGORITHM is {name}, for {}", pair.name),
            );
        }
    }

    fn symmetric(&self, reader: &mut Reader<'_>, algorithm: Algorithm) -> Pair {
        let name = algorithm::name(algorithm);
        let Some(secret) = &self.secret else {
            let problem = format!(
                "{name} needs SECRET_KEY, and it is not set; a key in PEM needs ALGORITHM, \
                 for example RS256"
            );
            reader.wrong(settings::ALGORITHM, problem);
            return (None, None);
        };
        let key = reader.good(settings::SECRET_KEY, SigningKey::from_secret(algorithm, secret));
        (key.as_ref().map(|key| KeysConfig::Fixed(vec![key.verifying().clone()])), key)
    }
}

/// The value that goes by one of two names; where both are set they must agree.
fn one_of(
    reader: &mut Reader<'_>,
    name: Setting<Option<Secret>>,
    other: Setting<Option<Secret>>,
) -> Option<(&'static Entry, Secret)> {
    let (first, second) = (reader.get(name), reader.get(other));
    let (layer, other_layer) = (reader.layer(name), reader.layer(other));
    if let (Some(first), Some(second)) = (&first, &second)
        && layer == other_layer
        && first != second
    {
        let problem =
            format!("disagrees with {}: they are two names for one thing", name.entry.name);
        reader.wrong(other, problem);
    }
    let first = first.filter(|_| layer >= other_layer).map(|first| (name.entry, first));
    first.or_else(|| second.map(|second| (other.entry, second)))
}
