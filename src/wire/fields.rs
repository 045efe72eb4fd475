//! The header fields of a request, whoever parsed them: one view of hyper's map, and of the list that the hot loop has.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// The header fields of one request. Names are compared without regard to case (RFC 9110, section 5.1).
#[derive(Clone, Copy, Debug)]
pub enum Fields<'r> {
    /// A map, as hyper makes it.
    Map(&'r HeaderMap),
    /// A list, as it came.
    List(&'r [httparse::Header<'r>]),
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
        let is_text = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
        self.0.iter().all(is_text).then(|| std::str::from_utf8(self.0).ok())?
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
    /// The first value of the field `name`, which is in lower case.
    pub fn get(self, name: &str) -> Option<FieldValue<'r>> {
        match self {
            Self::Map(map) => map.get(name).map(FieldValue::from),
            Self::List(list) => {
                let found = list.iter().find(|field| field.name.eq_ignore_ascii_case(name));
                found.map(|field| FieldValue(field.value))
            }
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
                let mut values = list.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
                (values.next().map(|field| FieldValue(field.value)), values.next().is_some())
            }
        };
        if has_more { Err(Repeated) } else { Ok(first) }
    }

    /// All values of the field `name`, in the order in which they came.
    pub fn get_all<'n>(
        self,
        name: &'n str,
    ) -> impl DoubleEndedIterator<Item = FieldValue<'r>> + use<'r, 'n> {
        let of_map = match self {
            Self::Map(map) => Some(map.get_all(name).into_iter().map(FieldValue::from)),
            Self::List(_) => None,
        };
        let of_list = match self {
            Self::Map(_) => &[],
            Self::List(list) => list,
        };
        let is_it = move |field: &&httparse::Header<'_>| field.name.eq_ignore_ascii_case(name);
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
            Self::List(list) => (None, list),
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
    use super::*;

    const LIST: [httparse::Header<'_>; 4] = [
        httparse::Header { name: "Cookie", value: b"a=1" },
        httparse::Header { name: "AUTHORIZATION", value: b"Bearer x" },
        httparse::Header { name: "cookie", value: b"b=2" },
        httparse::Header { name: "X-Odd", value: b"\xe9" },
    ];

    #[test]
    fn a_map_and_a_list_say_the_same() {
        let map = Fields::List(&LIST).to_map();
        for fields in [Fields::List(&LIST), Fields::from(&map)] {
            let all = |name| fields.get_all(name).map(FieldValue::as_bytes).collect::<Vec<_>>();
            assert_eq!(all("cookie"), [b"a=1", b"b=2"]);
            assert_eq!(fields.get_all("cookie").next_back().unwrap().as_bytes(), b"b=2");
            assert_eq!(fields.get("cookie").and_then(FieldValue::to_str), Some("a=1"));
            assert_eq!(fields.get("x-odd").unwrap().to_str(), None);
            assert_eq!(fields.one("authorization").unwrap().unwrap().as_bytes(), b"Bearer x");
            assert_eq!((fields.one("cookie"), fields.one("host")), (Err(Repeated), Ok(None)));
            assert!(fields.contains("authorization") && !fields.contains("host"));
            assert_eq!((fields.iter().count(), fields.names().count()), (4, 4));
        }
        assert_eq!(Fields::from(&HeaderMap::new()).iter().count(), 0);
    }
}
