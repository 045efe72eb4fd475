//! The pair of cookies in which a browser carries its credential, as with tp-auth: one names the
//! user, the other holds the handle or the token, and each is worth nothing without the other.

/// The names of the two cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookiePair {
    /// The one that names the user.
    pub user: &'static str,
    /// The one that holds the credential.
    pub token: &'static str,
    /// Beside them, the one with the id by which a device comes again. It proves nothing.
    pub device: &'static str,
    /// Beside them, the one with the token against forged requests. It is no credential.
    pub csrf: &'static str,
}

impl CookiePair {
    /// Names that bind a browser: secure, from this very host, for the whole of it (the `__Host-`
    /// prefix, RFC 6265bis, section 4.1.3.2).
    pub const HOST: Self = Self {
        user: "__Host-user_id",
        token: "__Host-access_token",
        device: "__Host-device_id",
        csrf: "__Host-csrf_token",
    };
    /// tp-auth's.
    pub const TP_AUTH: Self =
        Self { user: "user_id", token: "access_token", device: "device_id", csrf: "csrf_token" };

    /// Reads the setting; `None`: there are no such cookies.
    ///
    /// # Errors
    /// What may be written instead.
    pub fn parse(text: &str) -> Result<Option<Self>, &'static str> {
        match text {
            "off" => Ok(None),
            "host" => Ok(Some(Self::HOST)),
            "tp-auth" => Ok(Some(Self::TP_AUTH)),
            _ => Err("write `off`, `host` or `tp-auth`"),
        }
    }
}

/// A user's name as the value of a cookie: percent-encoded wherever RFC 6265 allows no such byte,
/// and the percent sign itself. Most names are left as they are.
pub fn cookie_of_user(user: &str) -> String {
    let mut value = String::with_capacity(user.len());
    for byte in user.bytes() {
        if is_plain(byte) {
            value.push(char::from(byte));
        } else {
            value.push('%');
            value.extend([byte >> 4, byte & 0xf].map(|digit| char::from(HEX[usize::from(digit)])));
        }
    }
    value
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Returns whether a cookie's value names this user. Allocates nothing: it runs at every request.
pub fn names_user(cookie: &str, user: &str) -> bool {
    let mut rest = cookie.as_bytes();
    for expected in user.bytes() {
        let (found, after) = match rest {
            [b'%', high, low, after @ ..] => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => return false,
            },
            [byte, after @ ..] if *byte != b'%' => (*byte, after),
            _ => return false,
        };
        if found != expected {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

/// `cookie-octet` of RFC 6265, section 4.1.1, without the percent sign.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\%".contains(&byte)
}

fn digit(hex: u8) -> Option<u8> {
    match hex {
        b'0'..=b'9' => Some(hex - b'0'),
        b'A'..=b'F' => Some(hex - b'A' + 10),
        b'a'..=b'f' => Some(hex - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_setting_names_the_cookies() {
        assert_eq!(CookiePair::parse("off"), Ok(None));
        assert_eq!(CookiePair::parse("host"), Ok(Some(CookiePair::HOST)));
        assert_eq!(CookiePair::parse("tp-auth"), Ok(Some(CookiePair::TP_AUTH)));
        assert!(CookiePair::parse("Host").is_err());
    }

    #[test]
    fn a_cookie_names_one_user_and_no_other() {
        for (cookie, user, expected) in [
            ("alice", "alice", true),
            ("alice", "alic", false),
            ("alic", "alice", false),
            ("Alice", "alice", false),
            ("", "", true),
            ("", "alice", false),
            ("client:demo", "client:demo", true),
            ("J%C3%BCrgen%2C%20Ops", "Jürgen, Ops", true),
            ("%61lice", "alice", true),
            ("100%25", "100%", true),
            ("100%", "100%", false),
            ("100%2", "100%2", false),
            ("%zz", "%zz", false),
        ] {
            assert_eq!(names_user(cookie, user), expected, "{cookie} {user}");
        }
    }

    proptest! {
        #[test]
        fn a_name_survives_its_cookie(user in ".*", other in ".*") {
            let cookie = cookie_of_user(&user);
            prop_assert!(cookie.bytes().all(|byte| is_plain(byte) || byte == b'%'));
            prop_assert!(names_user(&cookie, &user));
            prop_assert_eq!(names_user(&cookie, &other), user == other);
        }
    }
}
