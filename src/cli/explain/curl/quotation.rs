//! `$'..'`, the quotation of bash in which browsers write what has line breaks or other controls in it
//! ("ANSI-C Quoting" in bash's manual).

use std::iter::Peekable;
use std::str::Chars;

use anyhow::{Context as _, bail};

/// The text with each `$'..'` as a `'..'` that every shell reads.
///
/// # Errors
/// A quotation without an end, or an escape that is no text.
pub(super) fn in_every_shell(text: &str) -> anyhow::Result<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let (mut in_single, mut in_double) = (false, false);
    while let Some(character) = rest.next() {
        match character {
            '\\' if !in_single => {
                plain.push(character);
                plain.extend(rest.next());
                continue;
            }
            '$' if !in_single && !in_double && rest.next_if_eq(&'\'').is_some() => {
                let value = value(&mut rest)?.replace('\'', r"'\''");
                plain.extend(["'", value.as_str(), "'"]);
                continue;
            }
            '\'' if !in_double => in_single = !in_single,
            '"' if !in_single => in_double = !in_double,
            _ => {}
        }
        plain.push(character);
    }
    Ok(plain)
}

/// The value of a quotation that has begun.
fn value(rest: &mut Peekable<Chars<'_>>) -> anyhow::Result<String> {
    let mut value = String::new();
    loop {
        match rest.next().context("a quotation has no end")? {
            '\'' => return Ok(value),
            '\\' => value.push(escaped(rest)?),
            character => value.push(character),
        }
    }
}

/// The character behind a backslash. Escapes of bytes are read where they are ASCII alone.
fn escaped(rest: &mut Peekable<Chars<'_>>) -> anyhow::Result<char> {
    Ok(match rest.next().context("a quotation has no end")? {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'e' | 'E' => '\u{1b}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        same @ ('\\' | '\'' | '"' | '?') => same,
        'x' => ascii(digits(rest, 16, 2, None)?)?,
        'u' => character(digits(rest, 16, 4, None)?)?,
        'U' => character(digits(rest, 16, 8, None)?)?,
        octal @ '0'..='7' => ascii(digits(rest, 8, 3, Some(octal))?)?,
        _ => bail!("an escape in $'..' is not known here"),
    })
}

/// The number in the next digits, of so many at most.
fn digits(
    rest: &mut Peekable<Chars<'_>>,
    radix: u32,
    most: usize,
    first: Option<char>,
) -> anyhow::Result<u32> {
    let mut text: String = first.into_iter().collect();
    while text.len() < most {
        match rest.next_if(|next| next.is_digit(radix)) {
            Some(digit) => text.push(digit),
            None => break,
        }
    }
    u32::from_str_radix(&text, radix).context("an escape in $'..' has no digits")
}

fn ascii(code: u32) -> anyhow::Result<char> {
    if code < 128 { character(code) } else { bail!("an escape of a byte in $'..' is not read") }
}

/// The character of a code. A zero would end the text in bash.
fn character(code: u32) -> anyhow::Result<char> {
    char::from_u32(code).filter(|it| *it != '\0').context("an escape in $'..' is no character")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotation_of_bash_becomes_one_of_every_shell() {
        for (text, plain) in [
            ("a $'b' c", "a 'b' c"),
            (r"$'a\nb\t\\\'\u0021\x41\101'", "'a\nb\t\\'\\''!AA'"),
            (r"$'\u00e9' $'\U0001F600'", "'é' '\u{1f600}'"),
            // There is none within another quotation, or behind a backslash.
            ("'a $' 'b'", "'a $' 'b'"),
            (r#""$'a'""#, r#""$'a'""#),
            (r"\$'a'", r"\$'a'"),
            ("\"it's\" $'x'", "\"it's\" 'x'"),
            ("$a $", "$a $"),
        ] {
            assert_eq!(in_every_shell(text).expect(text), plain, "{text}");
        }
        for text in ["$'a", r"$'a\", r"$'\q'", r"$'\xff'", r"$'\x'", r"$'\ud800'", r"$'\0'"] {
            assert!(in_every_shell(text).is_err(), "{text}");
        }
    }
}
