//! The device that a session was opened from: what it calls itself, and how people recognise it.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use woothee::parser::Parser;

use super::SessionId;
use crate::secret::{Random, RandomFailed};
use crate::store::{BadField, Fields};

/// The reader of user agents, which takes some time to make.
static USER_AGENTS: LazyLock<Parser> = LazyLock::new(Parser::new);
/// The answer of the parser where it does not know.
const UNKNOWN: &str = "UNKNOWN";

/// The device that a session was opened from, as far as it is known. It helps users to recognise
/// their sessions. No token and no header of an identity says any of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// The id by which the device comes again, where the login said one.
    pub id: Option<DeviceId>,
    /// The name that the login gave it.
    pub name: Option<DeviceName>,
    /// The client's `User-Agent`, at most [`Device::MAX_USER_AGENT_BYTES`] where [`Device::new`]
    /// made it.
    pub user_agent: Option<String>,
    /// The client's address, as far as the gateway was trusted.
    pub address: Option<IpAddr>,
}

impl Device {
    /// The most bytes of a user agent that are kept.
    pub const MAX_USER_AGENT_BYTES: usize = 512;

    /// A device that said neither id nor name; a longer user agent is cut, between two characters.
    pub fn new(user_agent: Option<&str>, address: Option<IpAddr>) -> Self {
        let user_agent = user_agent.map(|text| Self::cut(text).to_owned());
        Self { user_agent, address, ..Self::default() }
    }

    /// As much of a user agent as is kept.
    pub fn cut(user_agent: &str) -> &str {
        &user_agent[..user_agent.floor_char_boundary(Self::MAX_USER_AGENT_BYTES)]
    }

    /// The name by which people recognise it: the one that it was given, else one made from its user
    /// agent, such as "Firefox on Windows 10".
    pub fn readable_name(&self) -> Option<String> {
        match &self.name {
            Some(name) => Some(name.to_string()),
            None => self.user_agent.as_deref().and_then(name_of),
        }
    }

    /// The device in a record.
    pub(super) fn read(fields: &impl Fields) -> Result<Self, BadField> {
        let address = fields.optional_text("address")?.map(str::parse).transpose();
        let id = fields.optional_text("device_id")?.map(DeviceId::parse).transpose();
        let name = fields.optional_text("device_name")?.map(DeviceName::parse).transpose();
        Ok(Self {
            id: id.map_err(|_| BadField("device_id"))?,
            name: name.map_err(|_| BadField("device_name"))?,
            user_agent: fields.optional_text("user_agent")?.map(str::to_owned),
            address: address.map_err(|_| BadField("address"))?,
        })
    }
}

/// A name made from a user agent: browser and system of a browser, the first product of all else
/// (RFC 9110, section 10.1.5).
fn name_of(user_agent: &str) -> Option<String> {
    let known = |text: &str| !text.is_empty() && text != UNKNOWN;
    let found = USER_AGENTS.parse(user_agent).filter(|found| known(found.name));
    match found {
        Some(found) if known(found.os) => Some(format!("{} on {}", found.name, found.os)),
        Some(found) => Some(found.name.to_owned()),
        None => {
            let product = user_agent.split(['/', ' ']).next().unwrap_or_default();
            DeviceName::parse(product).ok().map(|name| name.to_string())
        }
    }
}

/// The id by which a device comes again: 1 to 64 characters of `A-Z a-z 0-9 . _ ~ -`. It is no
/// secret, and proves nothing: it only says which of a user's sessions are of one device.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(Arc<str>);

impl DeviceId {
    /// The longest id, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// Reads an id from a form, a cookie or a store.
    ///
    /// # Errors
    /// [`InvalidDevice`] where it is empty, too long, or holds another character.
    pub fn parse(text: &str) -> Result<Self, InvalidDevice> {
        // The alphabet is that of a session's id, which no cookie or store has to escape.
        let is_id = text.len() <= Self::MAX_BYTES && SessionId::parse(text).is_ok();
        if is_id { Ok(Self(text.into())) } else { Err(InvalidDevice::Id) }
    }

    /// A new id.
    ///
    /// # Errors
    /// [`RandomFailed`] where the random source gave nothing.
    pub fn generate(random: &dyn Random) -> Result<Self, RandomFailed> {
        SessionId::generate(random).map(|id| Self(id.as_str().into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({})", self.0)
    }
}

/// A name for people: 1 to 100 bytes of UTF-8, without control characters and without those that turn
/// the direction of a text, and no blank at either end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceName(Arc<str>);

impl DeviceName {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 100;

    /// Reads a name from a form or a store; blanks around it are left out.
    ///
    /// # Errors
    /// [`InvalidDevice`] where it is empty, too long, or would be shown otherwise than it is.
    pub fn parse(text: &str) -> Result<Self, InvalidDevice> {
        let text = text.trim();
        let is_shown = |it: char| !it.is_control() && !turns_direction(it);
        let fits = (1..=Self::MAX_BYTES).contains(&text.len()) && text.chars().all(is_shown);
        if fits { Ok(Self(text.into())) } else { Err(InvalidDevice::Name) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The characters of UAX #9 that change how their neighbours are shown.
fn turns_direction(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text is no id, or no name, of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDevice {
    /// It is no id.
    #[error("device_id is 1 to 64 characters of A-Z a-z 0-9 . _ ~ -")]
    Id,
    /// It is no name.
    #[error("device_name is 1 to 100 bytes of UTF-8 without control characters")]
    Name,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_user_agent_is_cut_between_two_characters() {
        let device = Device::new(Some(&"é".repeat(300)), None);
        assert_eq!(device.user_agent, Some("é".repeat(256)));
        let odd = format!("x{}", "é".repeat(300));
        assert_eq!(Device::new(Some(&odd), None).user_agent.map(|text| text.len()), Some(511));
        assert_eq!(Device::new(Some("curl/8"), None).user_agent.as_deref(), Some("curl/8"));
    }

    #[test]
    fn people_recognise_a_device_by_its_browser_and_its_system() {
        for (user_agent, name) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0",
                Some("Firefox on Windows 10"),
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 \
                 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
                Some("Safari on iPhone"),
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/126.0.0.0 Safari/537.36",
                Some("Chrome on Linux"),
            ),
            ("warehouse-scanner/2.1 (build 7)", Some("warehouse-scanner")),
            ("", None),
            ("/", None),
        ] {
            let device = Device::new(Some(user_agent), None);
            assert_eq!(device.readable_name().as_deref(), name, "{user_agent}");
        }
        assert_eq!(Device::default().readable_name(), None);
        let name = DeviceName::parse(" Jürgen's phone ").ok();
        let named = Device { name, ..Device::new(Some("curl/8"), None) };
        assert_eq!(named.readable_name().as_deref(), Some("Jürgen's phone"));
    }

    #[test]
    fn ids_need_no_escape_and_names_show_what_they_are() {
        for good in ["a", "A-Z_a.z~0", &"x".repeat(64)] {
            assert_eq!(DeviceId::parse(good).expect(good).as_str(), good);
        }
        for bad in ["", "a b", "a;b", "é", "a\n", &"x".repeat(65)] {
            assert_eq!(DeviceId::parse(bad), Err(InvalidDevice::Id), "{bad:?}");
        }
        for bad in ["", "  ", "a\u{1b}[2J", "a\nb", "\u{202e}txt.exe", &"é".repeat(51)] {
            assert_eq!(DeviceName::parse(bad), Err(InvalidDevice::Name), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_user_agent_makes_naming_panic_or_a_name_that_moves_a_cursor(text in any::<String>()) {
            let name = Device::new(Some(&text), None).readable_name();
            prop_assert!(name.is_none_or(|name| !name.chars().any(char::is_control)));
        }
    }
}
