//! The scopes of a token (RFC 6749, section 3.3).

/// Returns whether this is one scope: `scope-token` of RFC 6749, section 3.3.
pub fn is_scope(text: &str) -> bool {
    let in_grammar = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    !text.is_empty() && text.bytes().all(in_grammar)
}

/// The scopes that a token grants: sorted, each once, none empty. They stand in one text, with a zero byte between
/// two of them: whoever looks for one in every request finds all in one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeSet(Box<str>);

/// A character that is in no scope (RFC 6749, section 3.3). A list of scopes in a token may hold what is none, with a space.
const BETWEEN_SCOPES: char = '\0';

impl ScopeSet {
    /// A set of these scopes. What has a zero byte in it is none, and is left out.
    pub fn new(mut scopes: Vec<&str>) -> Self {
        scopes.retain(|scope| !scope.is_empty() && !scope.contains(BETWEEN_SCOPES));
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes.join(BETWEEN_SCOPES.encode_utf8(&mut [0; 4])).into())
    }

    /// Returns whether `scope` is granted: to the letter, no prefixes and no patterns.
    pub fn contains(&self, scope: &str) -> bool {
        // By bytes: a search for a character costs more than such a short text is long.
        let mut all = self.0.as_bytes().split(|byte| char::from(*byte) == BETWEEN_SCOPES);
        !scope.is_empty() && all.any(|granted| granted == scope.as_bytes())
    }

    /// The scopes in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(BETWEEN_SCOPES).filter(|scope| !scope.is_empty())
    }
}
