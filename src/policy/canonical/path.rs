//! The path: decoded exactly once, and refused where gateways or applications read it differently.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{Characters, Refusal};

/// The characters that are escaped in the one spelling of a path: all but those that RFC 3986
/// allows there (section 3.3), and those that browsers leave as they are.
const ESCAPED: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?').add(b'`');

/// The characters that take a closer look: escapes, and what is refused.
const UNUSUAL: Characters =
    Characters::NOT_ASCII.or(Characters::CONTROL).or(Characters::PERCENT).or(Characters::SPLITTING);
/// The characters of [`ESCAPED`].
const ESCAPES: Characters = Characters::NOT_GRAPHIC
    .or(Characters::ESCAPED)
    .or(Characters::HASH)
    .or(Characters::PERCENT)
    .or(Characters::QUESTION_MARK);

/// A path, decoded once. It begins with a slash, and no segment is `.` or `..`, or empty but the
/// last.
///
/// Two paths are equal where their decoded forms are: the client's spelling is no part of it.
#[derive(Clone, Debug)]
pub struct CanonicalPath<'t> {
    decoded: Cow<'t, str>,
    spelled: &'t str,
    /// The kinds of characters in the decoded path.
    characters: Characters,
}

impl PartialEq for CanonicalPath<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.decoded == other.decoded
    }
}

impl Eq for CanonicalPath<'_> {}

impl<'t> CanonicalPath<'t> {
    /// Decodes a path that begins with a slash and ends before the first question mark.
    pub(super) fn decode(spelled: &'t str) -> Result<Self, Refusal> {
        let mut characters = Characters::of(spelled);
        let decoded = if characters.hold(UNUSUAL) {
            let decoded = decode_once(spelled)?;
            if decoded.chars().any(char::is_control) {
                return Err(Refusal::ControlCharacter);
            }
            characters = Characters::of(&decoded);
            decoded
        } else {
            Cow::Borrowed(spelled)
        };
        check_segments(&decoded, characters)?;
        Ok(Self { decoded, spelled, characters })
    }

    /// Returns whether there is nothing in it that could be spelled in another way.
    pub(in crate::policy) fn is_plain(&self) -> bool {
        matches!(self.decoded, Cow::Borrowed(_)) && !self.characters.hold(ESCAPES)
    }

    /// Returns whether all its letters are small ones of ASCII.
    pub(in crate::policy) fn is_small(&self) -> bool {
        !self.characters.hold(Characters::NOT_ASCII.or(Characters::CAPITAL))
    }

    /// The decoded path.
    pub fn as_str(&self) -> &str {
        &self.decoded
    }

    /// The segments in order, each decoded and as the client spelled it. An escaped slash is
    /// refused, so both have the same number.
    pub fn segments(&self) -> impl Iterator<Item = (&str, &'t str)> {
        self.decoded.split('/').zip(self.spelled.split('/')).skip(1)
    }

    /// The one spelling of this path.
    pub fn spelling(&self) -> Cow<'_, str> {
        encode(&self.decoded)
    }
}

/// The one spelling of a decoded path, or of a segment.
pub fn encode(decoded: &str) -> Cow<'_, str> {
    utf8_percent_encode(decoded, ESCAPED).into()
}

/// Decodes each escape once. What is an escape even then is refused: whoever decodes twice reads
/// another path.
fn decode_once(spelled: &str) -> Result<Cow<'_, str>, Refusal> {
    if !spelled.contains('%') {
        spelled.bytes().try_for_each(check_byte)?;
        return Ok(Cow::Borrowed(spelled));
    }
    let mut decoded = Vec::with_capacity(spelled.len());
    let mut rest = spelled.bytes();
    while let Some(mut byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = digit().zip(digit()).ok_or(Refusal::BadEscape)?;
            byte = u8::try_from(high * 16 + low).map_err(|_| Refusal::BadEscape)?;
            if byte == b'/' {
                return Err(Refusal::EncodedSlash);
            }
        }
        check_byte(byte)?;
        decoded.push(byte);
    }
    let is_escape = |three: &[u8]| three[0] == b'%' && three[1..].iter().all(u8::is_ascii_hexdigit);
    if decoded.windows(3).any(is_escape) {
        return Err(Refusal::DoubleEscape);
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| Refusal::NotUtf8)
}

/// Refuses the characters that end or split a segment for some: Windows and browsers take `\` for
/// a slash, Java's servers cut a segment at `;`, and C's texts end at a zero byte.
fn check_byte(byte: u8) -> Result<(), Refusal> {
    match byte {
        b'\\' => Err(Refusal::Backslash),
        b';' => Err(Refusal::Semicolon),
        byte if byte.is_ascii_control() => Err(Refusal::ControlCharacter),
        _ => Ok(()),
    }
}

/// Refuses the segments that some resolve or merge, and others compare as they are.
fn check_segments(decoded: &str, characters: Characters) -> Result<(), Refusal> {
    if decoded.as_bytes().windows(2).any(|pair| pair == b"//") {
        return Err(Refusal::EmptySegment);
    }
    let is_dots = |segment: &str| segment == "." || segment == "..";
    if characters.hold(Characters::DOT) && decoded.split('/').any(is_dots) {
        return Err(Refusal::DotSegment);
    }
    Ok(())
}
