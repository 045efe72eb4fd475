//! Whose users are who: what stands before their names, and what their tokens must declare.

/// The longest prefix, in bytes.
const MOST_PREFIX_BYTES: usize = 128;

/// ACCESS_TOKEN_TYPE: whether tokens must declare `at+jwt`.
pub(super) fn at_jwt_only(text: &str) -> Result<bool, &'static str> {
    match text.strip_prefix("application/").unwrap_or(text) {
        "any" => Ok(false),
        "at+jwt" => Ok(true),
        _ => Err("write `any` or `at+jwt`"),
    }
}

/// USER_PREFIX. What may stand there is what a header holds as it is.
pub(super) fn user_prefix(text: &str) -> Result<String, String> {
    let is_plain = |b: u8| b.is_ascii_graphic() && b != b',' && b != b'%';
    if text.len() > MOST_PREFIX_BYTES || !text.bytes().all(is_plain) {
        return Err(format!(
            "write at most {MOST_PREFIX_BYTES} visible ASCII characters, no blank, comma or percent sign"
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_what_a_header_holds_as_it_is() {
        assert_eq!(user_prefix("batch:"), Ok("batch:".to_owned()));
        assert_eq!(user_prefix(""), Ok(String::new()));
        for text in ["a b", "a,b", "100%", "é", "\r\n", &"x".repeat(129)] {
            assert!(user_prefix(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_type_that_is_demanded_is_one_that_is_known() {
        for (text, read) in [
            ("any", Ok(false)),
            ("at+jwt", Ok(true)),
            ("application/at+jwt", Ok(true)),
            ("JWT", Err("write `any` or `at+jwt`")),
        ] {
            assert_eq!(at_jwt_only(text), read, "{text}");
        }
    }
}
