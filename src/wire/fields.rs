//! The header fields of a request, whoever parsed them: one view of hyper's map, and of the list that the hot loop has.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use super::known_fields::{COUNT, KnownField, KnownFields, tag};

/// The most fields of a list.
pub const MAX_FIELDS: usize = 64;

/// The header fields of one request. Names are compared without regard to case (RFC 9110, section 5.1).
#[derive(Clone, Copy, Debug)]
pub enum Fields<'r> {
    /// A map, as hyper makes it.
    Map(&'r HeaderMap),
    /// A list, as it came.
    List(&'r FieldList<'r>),
}

/// The fields of one request in the order in which they came, [`MAX_FIELDS`] at most.
#[derive(Debug)]
pub struct FieldList<'r> {
    fields: &'r [httparse::Header<'r>],
    /// A byte of each name, eight in a word: so that most names are told apart by a few steps.
    tags: [u64; MAX_FIELDS / 8],
    /// The place of each known field, where it is [`present`](Self::present): the first one.
    places: [u8; COUNT],
    present: KnownFields,
    /// The known fields that came several times.
    repeated: KnownFields,
}

impl<'r> FieldList<'r> {
    /// A list of these fields; `None` where there are too many.
    pub fn new(fields: &'r [httparse::Header<'r>]) -> Option<Self> {
        let (mut tags, mut places) = ([0; MAX_FIELDS / 8], [0; COUNT]);
        let (mut present, mut repeated) = (KnownFields::default(), KnownFields::default());
        for (at, field) in (0_u8..).zip(fields) {
            let tag = tag(field.name);
            *tags.get_mut(usize::from(at / 8))? |= u64::from(tag) << (at % 8 * 8);
            if let Some(known) = KnownField::with_tag(tag)
                && is_same_name(field.name, known.name())
            {
                if present.meets(KnownFields::of(&[known])) {
                    repeated.insert(known);
                } else {
                    present.insert(known);
                    places[known.number()] = at;
                }
            }
        }
        Some(Self { fields, tags, places, present, repeated })
    }

    /// The first value of a known field.
    fn known(&self, field: KnownField) -> Option<FieldValue<'r>> {
        let is_present = self.present.meets(KnownFields::of(&[field]));
        is_present.then(|| self.get(self.places[field.number()].into()))?
    }

    fn get(&self, at: usize) -> Option<FieldValue<'r>> {
        self.fields.get(at).map(|field| FieldValue(field.value))
    }

    /// The places of the fields of this name, in order.
    fn places<'l>(&'l self, name: &'l str) -> Places<'l, 'r> {
        Places {
            list: self,
            name,
            pattern: u64::from(tag(name)) * EACH_BYTE,
            next_word: 0,
            same: 0,
        }
    }
}

/// The places of the fields of one name.
struct Places<'l, 'r> {
    list: &'l FieldList<'r>,
    name: &'l str,
    pattern: u64,
    next_word: usize,
    /// The highest bit of each byte in the word before the next that may be the tag of the name.
    same: u64,
}

impl Iterator for Places<'_, '_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        loop {
            while self.same == 0 {
                if self.next_word * 8 >= self.list.fields.len() {
                    return None;
                }
                // The lowest bit that is set marks a byte that is the same; others may mark one that is not.
                let differing = self.list.tags[self.next_word] ^ self.pattern;
                self.same = differing.wrapping_sub(EACH_BYTE) & !differing & (EACH_BYTE << 7);
                self.next_word += 1;
            }
            let place = self.next_word * 8 - 8 + self.same.trailing_zeros() as usize / 8;
            self.same &= self.same - 1;
            let is_it = |field: &httparse::Header<'_>| is_same_name(field.name, self.name);
            if self.list.fields.get(place).is_some_and(is_it) {
                return Some(place);
            }
        }
    }
}

/// A one in each byte of a word.
const EACH_BYTE: u64 = 0x0101_0101_0101_0101;

/// Compares two names without regard to case: those of 8 to 16 bytes, as most are, in two words.
fn is_same_name(one: &str, other: &str) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let ends = |name: &'_ str| {
        let bytes = name.as_bytes();
        bytes.first_chunk().copied().zip(bytes.last_chunk().copied()).filter(|_| bytes.len() <= 16)
    };
    match (ends(one), ends(other)) {
        (Some((a, b)), Some((c, d))) => is_same_word(a, c) && is_same_word(b, d),
        _ => one.eq_ignore_ascii_case(other),
    }
}

/// Compares eight bytes without regard to case.
fn is_same_word(one: [u8; 8], other: [u8; 8]) -> bool {
    const CASE: u64 = EACH_BYTE * 0x20;
    let (a, b) = (u64::from_le_bytes(one), u64::from_le_bytes(other));
    let differing = a ^ b;
    if differing & !CASE != 0 {
        return false;
    }
    if a & (EACH_BYTE << 7) != 0 {
        return one.eq_ignore_ascii_case(&other);
    }
    // Letters alone have a case: the highest bit of a byte says that it is one.
    let small = a | CASE;
    let above = small + EACH_BYTE * (0x80 - u64::from(b'a'));
    let beyond = small + EACH_BYTE * (0x80 - u64::from(b'z') - 1);
    let letters = above & !beyond & (EACH_BYTE << 7);
    differing << 2 & !letters == 0
}

/// The value of a field, without the white space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldValue<'r>(&'r [u8]);

impl<'r> FieldValue<'r> {
    /// Its bytes.
    pub fn as_bytes(self) -> &'r [u8] {
        self.0
    }

    /// Its text, if all of it is visible ASCII, spaces and tabs.
    pub fn to_str(self) -> Option<&'r str> {
        // It sums up instead of searching: a compiler makes of that a few steps for many bytes.
        let is_text = |byte: u8| (byte == b'\t') | (byte.wrapping_sub(b' ') <= b'~' - b' ');
        let are_text = self.0.iter().fold(true, |are, byte| are & is_text(*byte));
        are_text.then(|| str::from_utf8(self.0).ok())?
    }

    /// A copy for a map.
    pub fn to_header_value(self) -> Option<HeaderValue> {
        HeaderValue::from_bytes(self.0).ok()
    }
}

impl<'r> From<&'r HeaderValue> for FieldValue<'r> {
    fn from(value: &'r HeaderValue) -> Self {
        Self(value.as_bytes())
    }
}

impl<'r> From<&'r HeaderMap> for Fields<'r> {
    fn from(map: &'r HeaderMap) -> Self {
        Self::Map(map)
    }
}

impl<'r> Fields<'r> {
    /// The first value of a field that is looked for in every request.
    pub fn known(self, field: KnownField) -> Option<FieldValue<'r>> {
        match self {
            Self::Map(_) => self.get(field.name()),
            Self::List(list) => list.known(field),
        }
    }

    /// The value of such a field, if it came exactly once.
    ///
    /// # Errors
    /// [`Repeated`], if it came several times.
    pub fn known_once(self, field: KnownField) -> Result<Option<FieldValue<'r>>, Repeated> {
        match self {
            Self::Map(_) => self.one(field.name()),
            Self::List(list) if list.repeated.meets(KnownFields::of(&[field])) => Err(Repeated),
            Self::List(list) => Ok(list.known(field)),
        }
    }

    /// Returns whether one of these fields is there.
    pub fn has_any(self, fields: KnownFields) -> bool {
        match self {
            Self::Map(map) => fields.iter().any(|field| map.contains_key(field.name())),
            Self::List(list) => list.present.meets(fields),
        }
    }

    /// The first value of the field `name`, which is in lower case.
    pub fn get(self, name: &str) -> Option<FieldValue<'r>> {
        match self {
            Self::Map(map) => map.get(name).map(FieldValue::from),
            Self::List(list) => list.get(list.places(name).next()?),
        }
    }

    /// The value of the field `name`, if it came exactly once.
    ///
    /// # Errors
    /// [`Repeated`], if it came several times.
    pub fn one(self, name: &str) -> Result<Option<FieldValue<'r>>, Repeated> {
        let (first, has_more) = match self {
            Self::Map(map) => {
                let mut values = map.get_all(name).iter();
                (values.next().map(FieldValue::from), values.next().is_some())
            }
            Self::List(list) => {
                let mut places = list.places(name);
                (places.next().and_then(|place| list.get(place)), places.next().is_some())
            }
        };
        if has_more { Err(Repeated) } else { Ok(first) }
    }

    /// All values of the field `name`, in the order in which they came.
    pub fn get_all<'n>(
        self,
        name: &'n str,
    ) -> impl DoubleEndedIterator<Item = FieldValue<'r>> + use<'r, 'n> {
        let (of_map, of_list) = match self {
            Self::Map(map) => (Some(map.get_all(name).into_iter().map(FieldValue::from)), &[][..]),
            Self::List(list) => (None, list.fields),
        };
        let is_it = move |field: &&httparse::Header<'_>| is_same_name(field.name, name);
        let of_list = of_list.iter().filter(is_it).map(|field| FieldValue(field.value));
        of_map.into_iter().flatten().chain(of_list)
    }

    /// Returns whether the field `name` is there.
    pub fn contains(self, name: &str) -> bool {
        match self {
            Self::Map(map) => map.contains_key(name),
            Self::List(_) => self.get(name).is_some(),
        }
    }

    /// The names of the fields, in whatever case; a name may come several times.
    pub fn names(self) -> impl Iterator<Item = &'r str> {
        self.iter().map(|(name, _)| name)
    }

    /// All fields.
    pub fn iter(self) -> impl Iterator<Item = (&'r str, FieldValue<'r>)> {
        let (map, list) = match self {
            Self::Map(map) => (Some(map), [].as_slice()),
            Self::List(list) => (None, list.fields),
        };
        let of_map = map.into_iter().flatten();
        let of_map = of_map.map(|(name, value)| (name.as_str(), FieldValue::from(value)));
        let of_list = list.iter().map(|field| (field.name, FieldValue(field.value)));
        of_map.chain(of_list)
    }

    /// The same fields in a map. A field that no map can hold is left out; none such gets past a parser.
    pub fn to_map(self) -> HeaderMap {
        let field = |(name, value): (&str, FieldValue<'_>)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, value.to_header_value()?))
        };
        match self {
            Self::Map(map) => map.clone(),
            Self::List(_) => {
                let mut map = HeaderMap::new();
                for (name, value) in self.iter().filter_map(field) {
                    map.append(name, value);
                }
                map
            }
        }
    }
}

/// A field that may come once came several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIST: [httparse::Header<'_>; 4] = [
        httparse::Header { name: "Cookie", value: b"a=1" },
        httparse::Header { name: "AUTHORIZATION", value: b"Bearer x" },
        httparse::Header { name: "cookie", value: b"b=2" },
        httparse::Header { name: "X-Odd", value: b"\xe9" },
    ];

    #[test]
    fn a_map_and_a_list_say_the_same() {
        let list = FieldList::new(&LIST).unwrap();
        let map = Fields::List(&list).to_map();
        for fields in [Fields::List(&list), Fields::from(&map)] {
            let all = |name| fields.get_all(name).map(FieldValue::as_bytes).collect::<Vec<_>>();
            assert_eq!(all("cookie"), [b"a=1", b"b=2"]);
            assert_eq!(fields.get_all("cookie").next_back().unwrap().as_bytes(), b"b=2");
            assert_eq!(fields.get("cookie").and_then(FieldValue::to_str), Some("a=1"));
            assert_eq!(fields.get("x-odd").unwrap().to_str(), None);
            assert_eq!(fields.one("authorization").unwrap().unwrap().as_bytes(), b"Bearer x");
            assert_eq!((fields.one("cookie"), fields.one("host")), (Err(Repeated), Ok(None)));
            assert!(fields.contains("authorization") && !fields.contains("host"));
            assert_eq!((fields.iter().count(), fields.names().count()), (4, 4));
            let [host, authorization] = ["host", "authorization"].map(KnownField::of);
            assert_eq!(fields.known(authorization), fields.get("authorization"));
            assert_eq!(fields.known_once(authorization), fields.one("authorization"));
            assert_eq!((fields.known(host), fields.known_once(host)), (None, Ok(None)));
            assert!(fields.has_any(KnownFields::of(&[host, authorization])));
            assert!(!fields.has_any(KnownFields::of(&[host])));
        }
        assert_eq!(Fields::from(&HeaderMap::new()).iter().count(), 0);
    }

    #[test]
    fn each_of_many_fields_is_found_at_its_place_in_whatever_case() {
        let names: Vec<_> =
            (0..MAX_FIELDS).map(|at| format!("x-{:02}-{}", at % 60, "y".repeat(at % 7))).collect();
        let capitals: Vec<_> = names.iter().map(|name| name.to_ascii_uppercase()).collect();
        let header = |name| httparse::Header { name, value: str::as_bytes(name) };
        let headers: Vec<_> = capitals.iter().map(|name| header(name)).collect();
        let list = FieldList::new(&headers).unwrap();
        let map = Fields::List(&list).to_map();
        let (list, map) = (Fields::List(&list), Fields::from(&map));
        for name in names.iter().map(String::as_str).chain(["x-99", "x-0-", "", "y"]) {
            assert_eq!((list.get(name), list.one(name)), (map.get(name), map.one(name)), "{name}");
            assert_eq!(list.contains(name), map.contains(name), "{name}");
            assert!(list.get_all(name).eq(map.get_all(name)), "{name}");
        }
        let many = [headers.as_slice(), &[header("more")]].concat();
        assert!(FieldList::new(&many).is_none());
    }

    proptest! {
        #[test]
        fn a_known_field_is_found_by_its_number_as_by_its_name(
            names in prop::collection::vec("(?i)host|te|trailer|x-original-ur[il]|upgradf|[a-z-]{0,3}", 0..12),
        ) {
            let header = |name| httparse::Header { name, value: str::as_bytes(name) };
            let headers: Vec<_> = names.iter().map(|name| header(name)).collect();
            let list = FieldList::new(&headers).unwrap();
            let (list, map) = (Fields::List(&list), Fields::List(&list).to_map());
            for field in ["host", "te", "trailer", "x-original-uri", "x-original-url"] {
                let known = KnownField::of(field);
                for fields in [list, Fields::from(&map)] {
                    prop_assert_eq!(fields.known(known), list.get(field));
                    prop_assert_eq!(fields.known_once(known), list.one(field));
                    prop_assert_eq!(fields.has_any(KnownFields::of(&[known])), list.contains(field));
                }
            }
        }
    }

    #[test]
    fn words_are_compared_as_by_the_standard_library() {
        for one in 0..=u8::MAX {
            for other in 0..=u8::MAX {
                for at in [0, 3, 7] {
                    let (mut a, mut b) = (*b"x-Abc_09", *b"X-abC_09");
                    (a[at], b[at]) = (one, other);
                    assert_eq!(is_same_word(a, b), a.eq_ignore_ascii_case(&b), "{a:?} {b:?}");
                }
            }
        }
    }
}
