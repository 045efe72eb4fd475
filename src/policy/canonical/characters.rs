//! The kinds of characters in a text, found in one pass: so a plain text, as nearly all are, is known
//! to be plain without a search for each sign that would not be.

/// The kinds of characters that a text holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Characters(u16);

impl Characters {
    /// Bytes that are not ASCII.
    pub(super) const NOT_ASCII: Self = Self(1);
    /// Control characters of ASCII.
    pub(super) const CONTROL: Self = Self(1 << 1);
    pub(super) const SPACE: Self = Self(1 << 2);
    pub(super) const CAPITAL: Self = Self(1 << 3);
    pub(super) const PERCENT: Self = Self(1 << 4);
    pub(super) const HASH: Self = Self(1 << 5);
    pub(super) const QUESTION_MARK: Self = Self(1 << 6);
    /// A semicolon or a backslash, at which some end a segment.
    pub(super) const SPLITTING: Self = Self(1 << 7);
    /// The other graphic characters that are escaped in the one spelling of a path.
    pub(super) const ESCAPED: Self = Self(1 << 8);
    pub(super) const DOT: Self = Self(1 << 9);
    pub(super) const COLON: Self = Self(1 << 10);
    pub(super) const COMMA: Self = Self(1 << 11);
    pub(super) const AT: Self = Self(1 << 12);
    pub(super) const SLASH: Self = Self(1 << 13);
    /// All other graphic characters but letters, digits, `-` and `_`.
    pub(super) const OTHER: Self = Self(1 << 14);

    /// Every kind.
    pub(super) const ALL: Self = Self(u16::MAX);
    /// All but graphic characters of ASCII.
    pub(super) const NOT_GRAPHIC: Self = Self::NOT_ASCII.or(Self::CONTROL).or(Self::SPACE);

    /// The kinds in this text.
    pub(super) fn of(text: &str) -> Self {
        let of =
            |bytes: &[u8]| bytes.iter().fold(0, |kinds, byte| kinds | KINDS[usize::from(*byte)]);
        // By eight, so that a compiler makes no loop of them.
        let (eights, rest) = text.as_bytes().as_chunks::<8>();
        Self(eights.iter().fold(of(rest), |kinds, eight| kinds | of(eight)))
    }

    /// The kinds that are in either.
    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The kinds but these.
    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns whether there is a character of one of these kinds.
    pub(super) const fn hold(self, kinds: Self) -> bool {
        self.0 & kinds.0 != 0
    }
}

/// The kind of each byte; none for small letters, digits, `-` and `_`.
const KINDS: [u16; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0_u8;
    loop {
        kinds[byte as usize] = kind(byte).0;
        if byte == u8::MAX {
            break kinds;
        }
        byte += 1;
    }
};

const fn kind(byte: u8) -> Characters {
    match byte {
        0x80.. => Characters::NOT_ASCII,
        0..b' ' | 0x7f => Characters::CONTROL,
        b' ' => Characters::SPACE,
        b'A'..=b'Z' => Characters::CAPITAL,
        b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => Characters(0),
        b'/' => Characters::SLASH,
        b'%' => Characters::PERCENT,
        b'#' => Characters::HASH,
        b'?' => Characters::QUESTION_MARK,
        b';' | b'\\' => Characters::SPLITTING,
        b'"' | b'<' | b'>' | b'`' => Characters::ESCAPED,
        b'.' => Characters::DOT,
        b':' => Characters::COLON,
        b',' => Characters::COMMA,
        b'@' => Characters::AT,
        _ => Characters::OTHER,
    }
}
