//! The names that users log in with, in one form, so that case or spelling cannot make two
//! accounts, or two counters of failures, of one.

use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizer;
use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;

/// The longest name, in bytes: the longest e-mail that can be delivered to (RFC 5321).
const MAX_BYTES: usize = 254;

/// A username or an e-mail: as it was written, and in the canonical form for comparisons.
#[derive(Clone, Debug)]
pub struct Login {
    written: String,
    canonical: String,
}

impl Login {
    /// Reads a username or an e-mail as a user wrote it.
    ///
    /// # Errors
    /// [`InvalidLogin`] where it is empty or of invisible characters alone, longer than 254 bytes,
    /// or holds a control character.
    pub fn parse(text: &str) -> Result<Self, InvalidLogin> {
        let written = text.trim().to_owned();
        if written.len() > MAX_BYTES || written.chars().any(char::is_control) {
            return Err(InvalidLogin);
        }
        let canonical = canonical(&written);
        if canonical.is_empty() {
            return Err(InvalidLogin);
        }
        Ok(Self { written, canonical })
    }

    /// The text as it was written, without blanks around it.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// The form for comparisons: case folded, in compatibility form (Unicode's NFKC), and without
    /// characters that nobody can see, such as a zero-width space. Its own canonical form is
    /// itself.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }
}

/// Folding may undo the normal form and the reverse, so it goes on until nothing changes. Two
/// rounds are enough for all of today's Unicode.
fn canonical(written: &str) -> String {
    const MAX_ROUNDS: usize = 8;
    let mut text = written.to_owned();
    for _ in 0..MAX_ROUNDS {
        let next = fold(&text);
        if next == text {
            break;
        }
        text = next;
    }
    text
}

fn fold(text: &str) -> String {
    let invisible = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    let visible: String = text.chars().filter(|char| !invisible.contains(*char)).collect();
    let normal = ComposingNormalizer::new_nfkc();
    let folded = CaseMapper::new().fold_string(&normal.normalize(&visible)).into_owned();
    normal.normalize(&folded).trim().to_owned()
}

impl PartialEq for Login {
    fn eq(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

impl Eq for Login {}

/// The text is no username and no e-mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a username or an e-mail is 1 to 254 bytes of UTF-8 without control characters")]
pub struct InvalidLogin;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_name_has_one_form_however_it_is_written() {
        for (written, canonical) in [
            ("alice", "alice"),
            ("  Alice\t", "alice"),
            ("ALICE@Example.COM", "alice@example.com"),
            ("Straße", "strasse"),
            ("ＡＬＩＣＥ", "alice"),
            ("ﬁona", "fiona"),
            ("Ju\u{308}rgen", "j\u{fc}rgen"),
            ("J\u{dc}RGEN", "j\u{fc}rgen"),
            ("al\u{200b}i\u{ad}ce\u{feff}", "alice"),
            ("ΣΊΣΥΦΟΣ", "σίσυφοσ"),
            ("σίσυφος", "σίσυφοσ"),
            ("\u{212a}elvin", "kelvin"),
            ("a\u{a0}b", "a b"),
        ] {
            let login = Login::parse(written).expect(written);
            assert_eq!(login.canonical(), canonical, "{written:?}");
            assert_eq!(login.as_str(), written.trim(), "{written:?}");
        }
        assert_ne!(Login::parse("alice"), Login::parse("al\u{131}ce"), "a dotless i is seen");
    }

    #[test]
    fn what_nobody_could_read_is_no_name() {
        let long = "a".repeat(255);
        for bad in ["", "  ", "a\nb", "a\0", "\u{200b}", "\u{3164}\u{a0}", "x\u{85}y", &long] {
            assert_eq!(Login::parse(bad), Err(InvalidLogin), "{bad:?}");
        }
        assert!(Login::parse(&long[..254]).is_ok());
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_its_own(text in "\\PC{1,40}") {
            if let Ok(login) = Login::parse(&text) {
                let canonical = login.canonical();
                prop_assert!(!canonical.is_empty());
                prop_assert_eq!(canonical, fold(canonical));
                prop_assert!(!canonical.chars().any(char::is_control));
            }
        }

        #[test]
        fn case_makes_no_second_name(text in "[a-zA-Z0-9.@_\u{c0}-\u{130}\u{132}-\u{17f}\u{370}-\u{3ff}\u{400}-\u{4ff}]{1,40}") {
            let login = Login::parse(&text).expect("a name");
            // Both ways lose the difference between letters such as the two small sigmas.
            for other in [text.to_uppercase(), text.to_uppercase().to_lowercase()] {
                if let Ok(other) = Login::parse(&other) {
                    prop_assert_eq!(login.canonical(), other.canonical());
                }
            }
        }

        #[test]
        fn anything_is_taken_or_refused(text in any::<String>()) {
            if let Ok(login) = Login::parse(&text) {
                prop_assert!(login.as_str().len() <= MAX_BYTES);
            }
        }
    }
}
