//! Names of roles, in a form that no list, header or rule reads otherwise.

use std::fmt;

/// The longest name, in bytes.
const MAX_BYTES: usize = 64;

/// The name of a role: letters and digits of ASCII, and `_ - . : / @ +` behind the first one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoleName(String);

/// The text is no name of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a role is named by 1 to 64 letters, digits and _ - . : / @ +, and begins with one of the first two"
)]
pub struct InvalidRoleName;

impl RoleName {
    /// Reads a name.
    ///
    /// # Errors
    /// [`InvalidRoleName`].
    pub fn parse(text: &str) -> Result<Self, InvalidRoleName> {
        let is_inside = |b: u8| b.is_ascii_alphanumeric() || b"_-.:/@+".contains(&b);
        let begins = text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
        if begins && text.len() <= MAX_BYTES && text.bytes().all(is_inside) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidRoleName)
        }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_named_by_what_no_list_splits() {
        let long = "x".repeat(65);
        for (text, is_name) in [
            ("editor", true),
            ("role:sales/emea", true),
            ("7", true),
            (&long[..64], true),
            (&long, false),
            ("", false),
            (":editor", false),
            ("a,b", false),
            ("a b", false),
            ("a\"b", false),
            ("*", false),
            ("é", false),
            ("a\n", false),
        ] {
            assert_eq!(RoleName::parse(text).is_ok(), is_name, "{text:?}");
        }
    }
}
