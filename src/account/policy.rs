//! The requirements for new passwords. Old ones are never checked here: a user may keep one.

use std::fmt;

use zxcvbn::matching::patterns::MatchPattern;
use zxcvbn::{Score, zxcvbn};

use super::password::{MAX_PASSWORD_BYTES, prepare};

/// The shortest name that a password is compared with.
const MIN_NAME: usize = 3;
/// The most characters of a name that are compared; longer texts are no names.
const MAX_COMPARED: usize = 256;

/// Requirements for new passwords.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PasswordPolicy {
    /// The least number of characters; any run of white space counts as one.
    pub min_length: usize,
    /// The highest similarity to a name of its owner, in percent; 100 allows anything.
    pub max_similarity_percent: u8,
    /// The highest share of one character in it, from 0 to 1.
    pub max_character_frequency: f64,
}

impl Default for PasswordPolicy {
    /// The values of the older systems: 12 characters, 50 percent, 0.3.
    fn default() -> Self {
        Self { min_length: 12, max_similarity_percent: 50, max_character_frequency: 0.3 }
    }
}

/// A problem of a password; its text says what to do. It never holds the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyProblem {
    /// It is shorter than this.
    TooShort(usize),
    /// It is longer than any password may be, in bytes.
    TooLong(usize),
    /// It is too much like the username, the e-mail, the name, or the name of this service.
    LikeAName,
    /// It has one character too often.
    Monotonous,
    /// It is a number.
    OnlyDigits,
    /// It is one of the most common ones, or little more than one.
    Common,
    /// It is in a list of passwords that were stolen elsewhere.
    Breached,
}

impl PolicyProblem {
    /// The problem of what is longer than any password may be.
    pub fn too_long() -> Self {
        Self::TooLong(MAX_PASSWORD_BYTES)
    }

    /// Its name, as one word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooShort(_) => "too_short",
            Self::TooLong(_) => "too_long",
            Self::LikeAName => "like_a_name",
            Self::Monotonous => "repeated_character",
            Self::OnlyDigits => "only_digits",
            Self::Common => "common",
            Self::Breached => "breached",
        }
    }
}

impl fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort(least) => {
                write!(f, "use at least {least} characters; several blanks count as one")
            }
            Self::TooLong(most) => write!(f, "use at most {most} bytes"),
            Self::LikeAName => {
                f.write_str("choose one that is less like your username, e-mail or name")
            }
            Self::Monotonous => f.write_str("do not repeat one character so often"),
            Self::OnlyDigits => f.write_str("use more than digits"),
            Self::Common => f.write_str(
                "choose one that is not among those that everybody tries first; several words \
                 that have nothing to do with each other are good",
            ),
            Self::Breached => f.write_str(
                "choose one that was never stolen from another service, as this one was",
            ),
        }
    }
}

/// Checks a new password. `about` is all that a stranger may know of its owner and of this service:
/// username, e-mail, full name, host.
///
/// # Errors
/// All problems of it.
pub fn check(
    policy: &PasswordPolicy,
    password: &str,
    about: &[&str],
) -> Result<(), Vec<PolicyProblem>> {
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(vec![PolicyProblem::TooLong(MAX_PASSWORD_BYTES)]);
    }
    let squeezed = prepare(password).split_whitespace().collect::<Vec<_>>().join(" ");
    let length = squeezed.chars().count();
    let mut problems = Vec::new();
    let mut refuse_if = |is_so: bool, problem| {
        if is_so {
            problems.push(problem);
        }
    };
    refuse_if(length < policy.min_length, PolicyProblem::TooShort(policy.min_length));
    let likeness = f64::from(policy.max_similarity_percent) / 100.0;
    let is_like = |name: &&str| likeness < 1.0 && is_similar(&squeezed, name, likeness);
    refuse_if(about.iter().any(is_like), PolicyProblem::LikeAName);
    refuse_if(
        highest_frequency(&squeezed) > policy.max_character_frequency,
        PolicyProblem::Monotonous,
    );
    let is_digits = !squeezed.is_empty() && squeezed.chars().all(char::is_numeric);
    refuse_if(is_digits, PolicyProblem::OnlyDigits);
    refuse_if(is_common(&squeezed, about), PolicyProblem::Common);
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Returns whether a name, or an e-mail's part before the `@`, makes as much of the password as
/// that.
fn is_similar(password: &str, name: &str, limit: f64) -> bool {
    let folded = |text: &str| -> Vec<char> {
        prepare(text).chars().flat_map(char::to_lowercase).take(MAX_COMPARED).collect()
    };
    let password = folded(password);
    let local = name.split_once('@').map(|(local, _)| local);
    [Some(name), local]
        .into_iter()
        .flatten()
        .map(folded)
        .any(|name| name.len() >= MIN_NAME && similarity(&password, &name) >= limit)
}

/// The similarity of two texts, from 0 to 1: twice the length of the pieces that they share in the
/// same order, the longest pieces first, over the length of both (Ratcliff and Obershelp).
fn similarity(a: &[char], b: &[char]) -> f64 {
    let both = a.len() + b.len();
    if both == 0 { 1.0 } else { portion(2 * shared(a, b), both) }
}

fn shared(a: &[char], b: &[char]) -> usize {
    let (start_a, start_b, length) = longest_piece(a, b);
    if length == 0 {
        return 0;
    }
    let before = shared(&a[..start_a], &b[..start_b]);
    before + length + shared(&a[start_a + length..], &b[start_b + length..])
}

/// The first of the longest pieces that stand in both: its position in each, and its length.
fn longest_piece(a: &[char], b: &[char]) -> (usize, usize, usize) {
    let mut best = (0, 0, 0);
    // The length of the piece that ends at each position of `b`, for the present position of `a`.
    let mut lengths = vec![0; b.len() + 1];
    for (at_a, char) in a.iter().enumerate() {
        for at_b in (0..b.len()).rev() {
            let length = if b[at_b] == *char { lengths[at_b] + 1 } else { 0 };
            lengths[at_b + 1] = length;
            if length > best.2 || (length == best.2 && length > 0 && at_a + 1 - length == best.0) {
                best = (at_a + 1 - length, at_b + 1 - length, length);
            }
        }
    }
    best
}

/// The share of its most frequent character in the text.
fn highest_frequency(text: &str) -> f64 {
    let mut chars: Vec<char> = text.chars().collect();
    chars.sort_unstable();
    let most = chars.chunk_by(|a, b| a == b).map(<[char]>::len).max();
    most.map_or(0.0, |most| portion(most, chars.len()))
}

#[expect(clippy::cast_precision_loss, reason = "a password has far fewer than 2^52 characters")]
fn portion(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

/// Returns whether it is one common password, word or name with little around it, or can be guessed
/// as easily.
fn is_common(password: &str, about: &[&str]) -> bool {
    let estimate = zxcvbn(password, about);
    let length = password.chars().count();
    let is_mainly_one = estimate.sequence().iter().any(|part| {
        let is_listed = matches!(part.pattern, MatchPattern::Dictionary(_));
        is_listed && 2 * part.token.chars().count() > length
    });
    is_mainly_one || estimate.score() < Score::Two
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use PolicyProblem::{Breached, Common, LikeAName, Monotonous, OnlyDigits, TooLong, TooShort};

    const ABOUT: &[&str] =
        &["alice.liddell", "alice@wonder.example", "Alice Liddell", "auth.example.org"];

    fn problems(password: &str) -> Vec<PolicyProblem> {
        check(&PasswordPolicy::default(), password, ABOUT).err().unwrap_or_default()
    }

    #[test]
    fn each_rule_refuses_what_it_is_for() {
        for (password, expected) in [
            ("tr0ub4dor", &[TooShort(12)][..]),
            ("correct          h", &[TooShort(12)]),
            ("gryphon-alice.liddell", &[LikeAName]),
            ("7q ALICE LIDDELL!", &[LikeAName]),
            ("auth.example.org!", &[LikeAName]),
            ("xqxzxkxwxvxjxxb", &[Monotonous]),
            ("839471620583", &[OnlyDigits]),
            ("password-Q7#", &[Common]),
            ("P@ssw0rdP@ssw0rd", &[Common]),
            ("qwertyuiop[]", &[Common]),
            ("abcdefghijklmn", &[Common]),
        ] {
            let found = problems(password);
            for problem in expected {
                assert!(found.contains(problem), "{password}: {found:?}");
            }
        }
        assert_eq!(problems(&"ab".repeat(513)), [TooLong(1024)]);
        assert_eq!(problems("").first(), Some(&TooShort(12)));
    }

    #[test]
    fn good_passwords_pass() {
        for password in [
            "curiouser and curiouser",
            "off with the gryphon's teapot",
            "v8Qz!mT3#kLw",
            "größer als ein Flamingo",
            "три слова на бегу",
            &"long but good, no two alike ".repeat(20),
        ] {
            assert_eq!(problems(password), [], "{password}");
        }
    }

    #[test]
    fn the_policy_is_the_callers() {
        let lax = PasswordPolicy {
            min_length: 1,
            max_similarity_percent: 100,
            max_character_frequency: 1.0,
        };
        assert_eq!(check(&lax, "alice.liddell", &["alice.liddell"]), Err(vec![Common]));
        assert_eq!(check(&lax, "xqxzxkxwxvxjxxb", ABOUT), Ok(()));
        assert_eq!(check(&lax, "v8Qz!mT3", ABOUT), Ok(()));
    }

    #[test]
    fn problems_say_what_to_do() {
        for problem in
            [TooShort(12), TooLong(1024), LikeAName, Monotonous, OnlyDigits, Common, Breached]
        {
            let told = problem.to_string();
            assert!(
                told.starts_with("use ") || told.starts_with("choose ") || told.starts_with("do "),
                "{told}"
            );
        }
    }

    /// The values of Python's `difflib.SequenceMatcher(None, a, b).ratio()`.
    #[test]
    fn similarity_is_that_of_the_older_system() {
        for (a, b, expected) in [
            ("abcd", "bcde", 0.75),
            ("", "", 1.0),
            ("abc", "", 0.0),
            ("abc", "abc", 1.0),
            ("alice.liddell", "gryphon-alice.liddell", 0.764_705_882_352_941_2),
            ("private", "drive", 0.666_666_666_666_666_6),
            ("qabxcd", "abycdf", 0.666_666_666_666_666_6),
        ] {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let found = similarity(&chars(a), &chars(b));
            assert!((found - expected).abs() < 1e-9, "{a} {b}: {found}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn anything_is_judged(password in any::<String>(), about in any::<Vec<String>>()) {
            let about: Vec<_> = about.iter().map(String::as_str).collect();
            let judged = check(&PasswordPolicy::default(), &password, &about);
            // Some letters are two once they are prepared.
            prop_assert!(judged.is_err() || prepare(&password).chars().count() >= 12);
        }
    }
}
