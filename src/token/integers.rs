//! Integers of any size in JSON: those beyond 64 bits are kept as the text of their digits.
//!
//! The parser makes floating-point numbers of them, and two users whose numbers differ in the last
//! digits would become one. The parser refuses what is not JSON.

use std::borrow::Cow;

/// The digits of the shortest integer that 64 bits do not hold: one below the least.
const MIN_DIGITS: usize = 19;

/// The same JSON, with quotes around every integer that 64 bits do not hold.
pub fn quoted(json: &[u8]) -> Cow<'_, [u8]> {
    if !has_long_run_of_digits(json) {
        return Cow::Borrowed(json);
    }
    let mut out = Vec::new();
    let (mut at, mut copied) = (0, 0);
    while let Some(&byte) = json.get(at) {
        let end = match byte {
            b'"' => string_end(json, at),
            b'-' | b'0'..=b'9' => number_end(json, at),
            _ => at + 1,
        };
        // The name of a member must not become one by its quotes.
        let is_name = || json[end..].trim_ascii_start().first() == Some(&b':');
        if is_large_integer(&json[at..end]) && !is_name() {
            out.extend_from_slice(&json[copied..at]);
            out.push(b'"');
            out.extend_from_slice(&json[at..end]);
            out.push(b'"');
            copied = end;
        }
        at = end;
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    out.extend_from_slice(&json[copied..]);
    Cow::Owned(out)
}

/// Returns whether there are as many digits in a row as such an integer has. Every row of them holds a
/// byte that is looked at, so that most texts are passed over in steps.
fn has_long_run_of_digits(json: &[u8]) -> bool {
    let digits = |bytes: &mut dyn Iterator<Item = &u8>| {
        bytes.take_while(|byte| byte.is_ascii_digit()).count()
    };
    (MIN_DIGITS - 1..json.len()).step_by(MIN_DIGITS).any(|at| {
        json[at].is_ascii_digit()
            && digits(&mut json[..at].iter().rev()) + digits(&mut json[at..].iter()) >= MIN_DIGITS
    })
}

/// The position after the string that starts at `start`, at most the end of the text.
fn string_end(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

fn number_end(json: &[u8], start: usize) -> usize {
    let in_number = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    start + json[start..].iter().take_while(in_number).count()
}

fn is_large_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_integer = digits.first().is_some_and(|first| (b'1'..=b'9').contains(first))
        && digits.iter().all(u8::is_ascii_digit);
    let fits = |text: &str| text.parse::<u64>().is_ok() || text.parse::<i64>().is_ok();
    is_integer && std::str::from_utf8(text).is_ok_and(|text| !fits(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_integers_beyond_64_bits_are_quoted() {
        for (text, expected) in [
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551616", "\"18446744073709551616\""),
            ("-9223372036854775808", "-9223372036854775808"),
            ("-9223372036854775809", "\"-9223372036854775809\""),
            ("[1,99999999999999999999 ]", "[1,\"99999999999999999999\" ]"),
            (r#"{"a":"\"99999999999999999999"}"#, r#"{"a":"\"99999999999999999999"}"#),
            ("99999999999999999999.0", "99999999999999999999.0"),
            ("99999999999999999999e0", "99999999999999999999e0"),
            // No JSON before, and none afterwards.
            ("099999999999999999999", "099999999999999999999"),
            ("{99999999999999999999 :1}", "{99999999999999999999 :1}"),
            ("\"99999999999999999999", "\"99999999999999999999"),
            ("\"\\", "\"\\"),
            ("-", "-"),
            ("", ""),
        ] {
            assert_eq!(quoted(text.as_bytes()), expected.as_bytes(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_integer_of_any_size_keeps_every_digit(digits in "-?[1-9][0-9]{0,80}") {
            let json = format!("{{\"id\": {digits}}}");
            let value: Value = serde_json::from_slice(&quoted(json.as_bytes())).unwrap();
            let kept = match &value["id"] {
                Value::String(text) => text.clone(),
                number => number.to_string(),
            };
            prop_assert_eq!(kept, digits);
        }

        #[test]
        fn what_is_no_json_stays_none_and_what_holds_no_number_stays_as_it_is(
            text in "[ 0-9eE.+\\-\"\\\\{}:,a\\[\\]]{0,40}"
        ) {
            let before = serde_json::from_str::<Value>(&text);
            let after = serde_json::from_slice::<Value>(&quoted(text.as_bytes()));
            prop_assert_eq!(before.is_ok(), after.is_ok(), "{}", text);
        }
    }

    #[test]
    fn texts_are_left_as_they_are() {
        let text = json!({"a": "é\u{1f600}", "b": ["99999999999999999999"]}).to_string();
        assert!(matches!(quoted(text.as_bytes()), Cow::Borrowed(_)));
    }
}
