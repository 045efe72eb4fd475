//! The rules of new passwords in authnzerver's form, all in one.

/// AUTHNZERVER_PASSPOLICY: what it names.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PassPolicy {
    pub(super) min_length: Option<usize>,
    pub(super) max_similarity_percent: Option<u8>,
    pub(super) max_character_frequency: Option<f64>,
}

impl PassPolicy {
    /// Reads `min_pass_length:12; max_unsafe_similarity:50; max_char_frequency:0.3`, by names;
    /// authnzerver goes by the order. `min_pwned_matches` is read, and has no effect.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut policy = Self::default();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let wrong = || format!("{part:?} is no rule such as min_pass_length:12");
            let (name, number) = part.split_once(':').ok_or_else(wrong)?;
            let number = number.trim();
            let number: f64 = number.parse().map_err(|_| wrong())?;
            let whole = |most: f64| {
                let is_whole = number.fract() == 0.0 && (0.0..=most).contains(&number);
                is_whole.then_some(number).ok_or_else(wrong)
            };
            match name.trim() {
                "min_pass_length" => policy.min_length = Some(to_usize(whole(1_024.0)?)),
                "max_unsafe_similarity" => {
                    let percent = to_usize(whole(100.0)?);
                    policy.max_similarity_percent = Some(u8::try_from(percent).unwrap_or(100));
                }
                "max_char_frequency" if (0.0..=1.0).contains(&number) => {
                    policy.max_character_frequency = Some(number);
                }
                "min_pwned_matches" => {}
                _ => return Err(wrong()),
            }
        }
        Ok(policy)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is a whole number from 0 to 1024"
)]
fn to_usize(whole: f64) -> usize {
    whole as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authnzervers_form_is_read_by_names_and_may_be_incomplete() {
        let text = "min_pass_length:14; max_unsafe_similarity:40;max_char_frequency: 0.2; \
                    min_pwned_matches:25";
        let all = PassPolicy {
            min_length: Some(14),
            max_similarity_percent: Some(40),
            max_character_frequency: Some(0.2),
        };
        assert_eq!(PassPolicy::parse(text), Ok(all));
        let one = PassPolicy { min_length: Some(9), ..PassPolicy::default() };
        assert_eq!(PassPolicy::parse("min_pass_length:9"), Ok(one));
        for bad in [
            "12",
            "min_pass_length",
            "min_pass_length:x",
            "min_pass_length:1.5",
            "max_unsafe_similarity:101",
            "max_char_frequency:2",
            "length:12",
        ] {
            assert!(PassPolicy::parse(bad).is_err(), "{bad}");
        }
    }
}
