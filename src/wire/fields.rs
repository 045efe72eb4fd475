//! The header fields of a request, whoever parsed them: one view of hyper's map, and of the list that the hot loop has.

use ascii::AsciiStr;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use super::known_fields::{COUNT, KnownField, KnownFields};

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
    /// The place of each known field that is there: the first one.
    places: [u8; COUNT],
    present: KnownFields,
    /// The known fields that came several times.
    repeated: KnownFields,
    /// The known fields that came under an alias.
    aliased: KnownFields,
}

impl<'r> FieldList<'r> {
    /// A list of these fields; `None` where there are too many.
    pub fn new(fields: &'r [httparse::Header<'r>]) -> Option<Self> {
        if fields.len() > MAX_FIELDS {
            return None;
        }
        let mut places = [0; COUNT];
        let [mut present, mut repeated, mut aliased] = [KnownFields::default(); 3];
        for (at, field) in (0_u8..).zip(fields) {
            let Some(known) = KnownField::like(field.name) else { continue };
            if !known.is(field.name) {
                if known.is_aliased_by(field.name) {
                    aliased.insert(known);
                }
            } else if present.meets(KnownFields::of(&[known])) {
                repeated.insert(known);
            } else {
                present.insert(known);
                places[known.number()] = at;
            }
        }
        Some(Self { fields, places, present, repeated, aliased })
    }

    /// The first value of a known field.
    fn known(&self, field: KnownField) -> Option<FieldValue<'r>> {
        let is_present = self.present.meets(KnownFields::of(&[field]));
        is_present.then(|| self.get(self.places[field.number()].into()))?
    }

    fn get(&self, at: usize) -> Option<FieldValue<'r>> {
        self.fields.get(at).map(|field| FieldValue(field.value))
    }

    /// The values of the fields of this name, in order.
    fn named<'n>(
        &self,
        name: &'n str,
    ) -> impl DoubleEndedIterator<Item = FieldValue<'r>> + use<'r, 'n> {
        let is_it = move |field: &&httparse::Header<'_>| field.name.eq_ignore_ascii_case(name);
        self.fields.iter().filter(is_it).map(|field| FieldValue(field.value))
    }
}

/// The value of a field, without the white space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldValue<'r>(&'r [u8]);

impl<'r> FieldValue<'r> {
    /// Its bytes.
    pub fn as_bytes(self) -> &'r [u8] {
        self.0
    }

    /// Its text, if all of it is ASCII, of whatever kind.
    pub fn to_ascii(self) -> Option<&'r str> {
        AsciiStr::from_ascii(self.0).ok().map(AsciiStr::as_str)
    }

    /// Its text, if all of it is visible ASCII, spaces and tabs.
    pub fn to_str(self) -> Option<&'r str> {
        // It sums up instead of searching: a compiler makes of that a few steps for many bytes.
        let is_text = |byte: u8| (byte == b'\t') | (byte.wrapping_sub(b' ') <= b'~' - b' ');
        let are_text = self.0.iter().fold(true, |are, byte| are & is_text(*byte));
        self.to_ascii().filter(|_| are_text)
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

    /// Returns whether one of these fields came under an alias: with an underscore in the place of a dash, or several.
    pub fn has_alias_of(self, fields: KnownFields) -> bool {
        match self {
            Self::Map(map) => {
                let is_alias = |field: KnownField, name| {
                    fields.meets(KnownFields::of(&[field])) && field.is_aliased_by(name)
                };
                let mut names = map.keys().map(HeaderName::as_str);
                names.any(|name| KnownField::like(name).is_some_and(|field| is_alias(field, name)))
            }
            Self::List(list) => list.aliased.meets(fields),
        }
    }

    /// The first value of the field `name`, which is in lower case.
    pub fn get(self, name: &str) -> Option<FieldValue<'r>> {
        match self {
            Self::Map(map) => map.get(name).map(FieldValue::from),
            Self::List(list) => list.named(name).next(),
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
                let mut values = list.named(name);
                (values.next(), values.next().is_some())
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
            Self::Map(map) => (Some(map.get_all(name).into_iter().map(FieldValue::from)), None),
            Self::List(list) => (None, Some(list.named(name))),
        };
        of_map.into_iter().flatten().chain(of_list.into_iter().flatten())
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
            names in prop::collection::vec("(?i)authorization|host|te|trailer|x[-_]original[-_]ur[il]|upgradf|[a-z-]{0,3}", 0..12),
        ) {
            let header = |name| httparse::Header { name, value: str::as_bytes(name) };
            let headers: Vec<_> = names.iter().map(|name| header(name)).collect();
            let list = FieldList::new(&headers).unwrap();
            let (list, map) = (Fields::List(&list), Fields::List(&list).to_map());
            for field in ["authorization", "host", "te", "trailer", "x-original-uri", "x-original-url"] {
                let known = KnownField::of(field);
                for fields in [list, Fields::from(&map)] {
                    prop_assert_eq!(fields.known(known), list.get(field));
                    prop_assert_eq!(fields.known_once(known), list.one(field));
                    let known = KnownFields::of(&[known]);
                    prop_assert_eq!(fields.has_any(known), list.contains(field));
                    let is_alias = |name: &str| {
                        name.contains('_') && name.replace('_', "-").eq_ignore_ascii_case(field)
                    };
                    prop_assert_eq!(fields.has_alias_of(known), list.names().any(is_alias));
                }
            }
        }
    }
}
