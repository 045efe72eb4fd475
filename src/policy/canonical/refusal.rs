//! The reason why a request has no canonical form, in one fixed word.

macro_rules! refusals {
    ($($variant:ident $code:literal $description:literal,)*) => {
        /// The reason why a request is not clear enough to be judged. The code holds nothing of the
        /// request, so it may stand in logs and metrics.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
        pub enum Refusal {
            $(#[doc = $description] #[error($description)] $variant,)*
        }

        impl Refusal {
            /// All of them, in the order of their discriminants.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word itself.
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }
        }
    };
}

refusals! {
    MissingMethod "missing_method" "The gateway told no method",
    MissingScheme "missing_scheme" "The gateway told no scheme",
    MissingHost "missing_host" "The gateway told no host",
    MissingTarget "missing_target" "The gateway told no path",
    Duplicate "duplicate" "A header that describes the request came more than once",
    List "list" "A header has a list where one value belongs",
    UnderscoreAlias "underscore_alias" "A header describes the request under a name with underscores",
    Disagreement "disagreement" "Two descriptions of the request do not say the same",
    BadByte "bad_byte" "A character must not stand there unescaped",
    BadMethod "bad_method" "The method is none, or is not in capital letters",
    BadScheme "bad_scheme" "The scheme is not that of a web request",
    BadHost "bad_host" "The host is no host name and no address in its one form",
    TrailingDot "trailing_dot" "The host ends in a dot",
    UserInfo "user_info" "A user stands before the host",
    BadPort "bad_port" "The port is no port in its one form",
    Fragment "fragment" "There is a # in the target",
    NoPath "no_path" "The target does not begin with a slash",
    BadEscape "bad_escape" "A percent sign is not followed by two hexadecimal digits",
    DoubleEscape "double_escape" "There is an escape in the path even after it was decoded",
    EncodedSlash "encoded_slash" "A slash is escaped in the path",
    Backslash "backslash" "There is a backslash in the path",
    Semicolon "semicolon" "There is a semicolon in the path",
    ControlCharacter "control_character" "There is a control character in the path",
    NotUtf8 "not_utf8" "The path is not UTF-8",
    DotSegment "dot_segment" "A segment of the path is . or ..",
    EmptySegment "empty_segment" "There are two slashes in a row in the path",
    EscapedWord "escaped_word" "A word of a route is escaped without need",
    DeepHost "deep_host" "The host is more than one label below that of a wildcard",
    LetterCase "letter_case" "The path is that of a route in other letters, small or capital",
    TrailingSlash "trailing_slash" "The path is that of a route but for a slash at its end",
    UnknownClient "unknown_client" "A route is for some networks, and the gateway told no client, or neither proved itself nor is one of TRUSTED_PROXIES",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_words_and_each_stands_once() {
        for (index, refusal) in Refusal::ALL.iter().enumerate() {
            assert_eq!(*refusal as usize, index);
            assert!(refusal.code().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
            let same = Refusal::ALL.iter().filter(|other| other.code() == refusal.code());
            assert_eq!(same.count(), 1, "{refusal:?}");
        }
    }
}
