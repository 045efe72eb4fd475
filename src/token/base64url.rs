//! Base64url without padding (RFC 7515, section 2), decoded with the processor's wide instructions where it has some.
//! Padding and stray bits at the end are refused, so that no text has two forms.

use base64::Engine as _;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod wide {
    use std::sync::LazyLock;

    use base64::engine::Simd;
    use base64::engine::general_purpose::NO_PAD;

    pub(super) static ENGINE: LazyLock<Simd> = LazyLock::new(|| Simd::url_safe(NO_PAD));
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use wide::ENGINE;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use base64::engine::general_purpose::URL_SAFE_NO_PAD as ENGINE;

/// The bytes of a text, if it is one.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    ENGINE.decode(text).ok()
}

/// The same into `room`, if there is enough.
pub(super) fn decode_into<'r>(text: &str, room: &'r mut [u8]) -> Option<&'r [u8]> {
    let length = ENGINE.decode_slice(text, room).ok()?;
    room.get(..length)
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_are_read_as_by_the_plain_decoder(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            place in any::<prop::sample::Index>(),
            change in prop::sample::select(vec!['A', '-', '_', '+', '/', '=', '.', ' ', 'é']),
        ) {
            let text = URL_SAFE_NO_PAD.encode(&bytes);
            prop_assert_eq!(decode(&text), Some(bytes));
            let mut changed: Vec<char> = text.chars().collect();
            let at = place.index(changed.len() + 1);
            changed.splice(at..(at + 1).min(changed.len()), [change]);
            let changed: String = changed.into_iter().collect();
            let plain = URL_SAFE_NO_PAD.decode(&changed).ok();
            prop_assert_eq!(&decode(&changed), &plain, "{}", changed);
            let mut room = [0; 256];
            prop_assert_eq!(decode_into(&changed, &mut room), plain.as_deref());
        }
    }

    #[test]
    fn room_that_does_not_suffice_is_none() {
        assert_eq!(decode_into(&"A".repeat(400), &mut [0; 299]), None);
        assert_eq!(decode_into(&"A".repeat(400), &mut [0; 300]), Some(&[0; 300][..]));
    }
}
