//! Answers that may have to be given again, sealed by the refresh token that they answer: whoever
//! reads the store learns nothing, and only who holds that token gets the same answer again.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::secret::{Random, RandomFailed};

/// Purpose of the key (RFC 5869, section 3.2), so that it is no other key of the same token.
const PURPOSE: &[u8] = b"portcullis: an answer to be given again";

/// Seals `answer` so that only `token` opens it: AES-256-GCM under a key of HKDF-SHA256. The
/// token holds 256 random bits, so a plain derivation is enough.
///
/// # Errors
/// [`RandomFailed`] where there is no nonce, or the library refuses.
pub(super) fn seal(
    answer: &[u8],
    token: &str,
    random: &dyn Random,
) -> Result<String, RandomFailed> {
    let mut nonce = [0; NONCE_LEN];
    random.fill(&mut nonce)?;
    let mut bytes = answer.to_vec();
    key(token)
        .and_then(|key| {
            let unique = Nonce::assume_unique_for_key(nonce);
            key.seal_in_place_append_tag(unique, Aad::empty(), &mut bytes).ok()
        })
        .ok_or(RandomFailed)?;
    Ok(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &bytes].concat()))
}

/// Opens what was sealed by `token`; `None` where it was not.
pub(super) fn open(sealed: &str, token: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let (nonce, rest) = bytes.split_at_checked(NONCE_LEN)?;
    let mut rest = rest.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let opened = key(token)?.open_in_place(nonce, Aad::empty(), &mut rest).ok()?;
    Some(opened.to_vec())
}

fn key(token: &str) -> Option<LessSafeKey> {
    let secret = Salt::new(HKDF_SHA256, &[]).extract(token.as_bytes());
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    secret.expand(&[PURPOSE], &AES_256_GCM).ok()?.fill(bytes.as_mut()).ok()?;
    UnboundKey::new(&AES_256_GCM, bytes.as_ref()).ok().map(LessSafeKey::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemRandom;

    #[test]
    fn only_the_token_that_sealed_an_answer_opens_it() {
        let sealed = seal(b"answer", "token", &SystemRandom).expect("seal");
        assert_eq!(open(&sealed, "token").as_deref(), Some(b"answer".as_slice()));
        assert_eq!(open(&sealed, "tokem"), None);
        assert_ne!(sealed, seal(b"answer", "token", &SystemRandom).expect("seal"));
        for cut in 0..sealed.len() {
            assert_eq!(open(&sealed[..cut], "token"), None);
        }
    }
}
