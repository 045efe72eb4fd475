//! The form in which a password is hashed: the OpaqueString of RFC 8265, section 4.2, so that
//! different keyboards' ways to write a letter count as the same.

use icu_normalizer::ComposingNormalizer;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// A text with every kind of blank as the ASCII one, in Unicode's form NFC.
pub(in crate::account) fn prepare(text: &str) -> Zeroizing<String> {
    let blanks: String = text.chars().map(|char| if is_blank(char) { ' ' } else { char }).collect();
    let blanks = Zeroizing::new(blanks);
    Zeroizing::new(ComposingNormalizer::new_nfc().normalize(&blanks).into_owned())
}

/// The number of characters of a password that authnzerver hashed.
const AUTHNZERVERS_LENGTH: usize = 256;

/// The forms of a password to compare, the best first: as it is prepared; and as it was typed,
/// where that differs, since older hashes are made of that; and the beginning of a long one, of
/// which authnzerver made its hashes.
pub(super) fn forms(password: &Secret) -> Vec<Secret> {
    let Some(text) = password.expose_str() else { return vec![password.clone()] };
    let mut forms = vec![Secret::new(prepare(text).as_bytes())];
    if forms[0] != *password {
        forms.push(password.clone());
    }
    if let Some((end, _)) = text.char_indices().nth(AUTHNZERVERS_LENGTH) {
        forms.push(Secret::new(&text.as_bytes()[..end]));
    }
    forms
}

/// Returns whether it is of Unicode's category Zs.
fn is_blank(char: char) -> bool {
    matches!(
        char,
        ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_composed_and_blanks_are_one() {
        for (written, expected) in [
            ("wonderland", "wonderland"),
            ("a\u{308}rger", "\u{e4}rger"),
            ("\u{e4}rger", "\u{e4}rger"),
            ("\u{1112}\u{1161}\u{11ab}", "\u{d55c}"),
            ("two\u{a0}words\u{3000}", "two words "),
            // Case and compatibility forms are kept as they are.
            ("\u{ff21}\u{fb01} ", "\u{ff21}\u{fb01} "),
            ("\ttab", "\ttab"),
        ] {
            assert_eq!(prepare(written).as_str(), expected, "{written:?}");
        }
    }

    #[test]
    fn what_needs_no_preparing_has_one_form_and_so_has_what_is_no_text() {
        assert_eq!(forms(&Secret::new("wonderland")).len(), 1);
        assert_eq!(forms(&Secret::new([0xff, 0xfe])), [Secret::new([0xff, 0xfe])]);
        let both = forms(&Secret::new("a\u{308}"));
        assert_eq!(both, [Secret::new("\u{e4}"), Secret::new("a\u{308}")]);
    }

    #[test]
    fn the_beginning_of_a_long_password_is_a_form_of_it_and_the_last() {
        let beginning = "\u{e4}".repeat(256);
        assert_eq!(forms(&Secret::new(beginning.as_str())).len(), 1);
        let long = Secret::new(format!("{beginning}x"));
        assert_eq!(forms(&long), [long, Secret::new(beginning)]);
    }
}
