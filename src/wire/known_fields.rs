//! The names of fields that are looked for in every request: each has a number, so that a head is read once and asked often.

/// The names, in lower case.
const NAMES: [&str; 20] = [
    "authorization",
    "host",
    "x-request-id",
    "x-forwarded-for",
    "x-original-method",
    "x-original-proto",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-forwarded-method",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-uri",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "expect",
    "upgrade",
];

/// The number of the names.
pub(super) const COUNT: usize = NAMES.len();

/// One of the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownField(u8);

impl KnownField {
    /// The field of this name.
    ///
    /// # Panics
    /// It is none of the names; in a constant the compiler says so.
    pub const fn of(name: &str) -> Self {
        let mut number = 0;
        while (number as usize) < COUNT {
            if is_same(NAMES[number as usize], name) {
                return Self(number);
            }
            number += 1;
        }
        panic!("the name is not among those that are looked for in every request");
    }

    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        NAMES[self.0 as usize]
    }

    /// Its number, below [`COUNT`].
    pub(super) const fn number(self) -> usize {
        self.0 as usize
    }

    /// The field of this name, in whatever case: a few steps, for whatever name.
    pub(super) fn named(name: &str) -> Option<Self> {
        BY_TAG[tag(name)].filter(|field| is_name_of(name, field.name()))
    }
}

/// Compares the name of a field with one of ours, which has letters and dashes alone. No name of a field has a byte that
/// differs from a dash in the bit that makes a letter small (RFC 9110, section 5.6.2).
fn is_name_of(name: &str, ours: &str) -> bool {
    const SMALL: u64 = 0x2020_2020_2020_2020;
    if name.len() != ours.len() {
        return false;
    }
    let ends = |name: &str| {
        let ends = name.as_bytes().first_chunk().zip(name.as_bytes().last_chunk());
        ends.map(|(first, last)| (u64::from_ne_bytes(*first), u64::from_ne_bytes(*last)))
    };
    match ends(name).zip(ends(ours)) {
        Some(((a, b), (c, d))) if name.len() <= 16 => a | SMALL == c && b | SMALL == d,
        _ => name.eq_ignore_ascii_case(ours),
    }
}

/// A set of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownFields(u32);

impl KnownFields {
    /// The set of these.
    pub const fn of(fields: &[KnownField]) -> Self {
        let (mut set, mut at) = (0, 0);
        while at < fields.len() {
            set |= 1 << fields[at].0;
            at += 1;
        }
        Self(set)
    }

    /// Those of this set that are not in the other one.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those of both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether both sets have one in common.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn insert(&mut self, field: KnownField) {
        self.0 |= 1 << field.0;
    }

    /// All of them.
    pub fn iter(self) -> impl Iterator<Item = KnownField> {
        let all = (0..).map(KnownField).take(COUNT);
        all.filter(move |field| self.meets(Self::of(&[*field])))
    }
}

/// A number for a name, the same in whatever case, by which all known ones are told apart.
const fn tag(name: &str) -> usize {
    let (first, last) = match name.as_bytes() {
        [] => (0, 0),
        [one] => (*one, *one),
        [first, .., last] => (*first, *last),
    };
    (name.len() + (first | 0x20) as usize + 3 * (last | 0x20) as usize) % 256
}

const BY_TAG: [Option<KnownField>; 256] = {
    let (mut by_tag, mut number) = ([None; 256], 0);
    while (number as usize) < COUNT {
        let place = &mut by_tag[tag(NAMES[number as usize])];
        assert!(place.is_none(), "two names have one tag");
        *place = Some(KnownField(number));
        number += 1;
    }
    by_tag
};

const fn is_same(one: &str, other: &str) -> bool {
    let (one, other, mut at) = (one.as_bytes(), other.as_bytes(), 0);
    if one.len() != other.len() {
        return false;
    }
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_known_in_whatever_case_and_no_other() {
        let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        let token: Vec<u8> = (0..=u8::MAX).filter(in_name).collect();
        for (number, name) in NAMES.into_iter().enumerate() {
            let of_name = |name: &str| KnownField::named(name).map(KnownField::number);
            assert_eq!(KnownField::of(name).name(), name);
            assert_eq!(of_name(name), Some(number));
            assert_eq!(of_name(&name.to_ascii_uppercase()), Some(number));
            for at in 0..name.len() {
                for byte in &token {
                    let mut other = name.as_bytes().to_vec();
                    other[at] = *byte;
                    let other = String::from_utf8(other).expect("ASCII");
                    let same = NAMES.iter().position(|it| it.eq_ignore_ascii_case(&other));
                    assert_eq!(of_name(&other), same, "{other}");
                }
            }
            assert_eq!(of_name(&format!("{name}x")), None);
        }
        assert_eq!(KnownField::named(""), None);
    }
}
