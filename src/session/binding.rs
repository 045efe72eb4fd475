//! The binding of a session to the client that opened it (SESSION_BINDING): whoever comes with its
//! token must be the same browser, at the same address, as far as the operator demands.
//!
//! It makes a stolen token harder to use, and proves nothing: both can be imitated. What is compared
//! is what the session says of its device, so sessions that were opened before the setting was made
//! are bound as well.

use std::net::IpAddr;

use super::Device;

/// The binding of sessions to their client; by default to nothing of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionBinding {
    /// The `User-Agent`.
    pub user_agent: bool,
    /// The address of the client.
    pub address: bool,
}

/// The client as a request shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShownClient<'r> {
    /// Its `User-Agent`, if it is told.
    pub user_agent: Option<&'r str>,
    /// Its address, if whoever tells it is believed.
    pub address: Option<IpAddr>,
}

/// The reason why a session is not this client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotBound {
    /// Nobody told what the session is bound to.
    #[error(
        "the User-Agent or the address of the client, which sessions are bound to, was not told"
    )]
    NotTold,
    /// It was opened by another client.
    #[error("the session was opened with another User-Agent, or from another address")]
    Mismatch,
}

impl SessionBinding {
    /// Reads the setting.
    ///
    /// # Errors
    /// What may be written instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "write `off`, `user-agent`, `address` or `user-agent,address`";
        if text == "off" {
            return Ok(Self::default());
        }
        let mut binding = Self::default();
        for part in text.split(',').map(str::trim) {
            let part = match part {
                "user-agent" => &mut binding.user_agent,
                "address" => &mut binding.address,
                _ => return Err(FORM),
            };
            if std::mem::replace(part, true) {
                return Err(FORM);
            }
        }
        Ok(binding)
    }

    /// Returns whether sessions are bound to nothing.
    pub fn is_off(self) -> bool {
        self == Self::default()
    }

    /// Checks that all is told that a session of this client will be bound to.
    ///
    /// # Errors
    /// [`NotBound::NotTold`].
    pub fn check_told(self, shown: &ShownClient<'_>) -> Result<(), NotBound> {
        let lacks_agent = self.user_agent && shown.user_agent.is_none();
        let lacks_address = self.address && shown.address.is_none();
        if lacks_agent || lacks_address { Err(NotBound::NotTold) } else { Ok(()) }
    }

    /// Returns whether sessions are bound to nothing.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    /// Checks that a session that was opened from this device is used by the same client.
    ///
    /// # Errors
    /// [`NotBound`]; also of a session that does not say what it is bound to.
    pub fn check(self, device: &Device, shown: &ShownClient<'_>) -> Result<(), NotBound> {
        self.check_told(shown)?;
        let is_other_agent =
            self.user_agent && device.user_agent.as_deref() != shown.user_agent.map(Device::cut);
        let is_elsewhere = self.address && device.address != shown.address;
        if is_other_agent || is_elsewhere { Err(NotBound::Mismatch) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AGENT: SessionBinding = SessionBinding { user_agent: true, address: false };
    const ADDRESS: SessionBinding = SessionBinding { user_agent: false, address: true };
    const BOTH: SessionBinding = SessionBinding { user_agent: true, address: true };

    #[test]
    fn the_setting_names_what_is_bound() {
        for (text, expected) in [
            ("off", Some(SessionBinding::default())),
            ("user-agent", Some(AGENT)),
            ("address", Some(ADDRESS)),
            ("user-agent,address", Some(BOTH)),
            ("address, user-agent", Some(BOTH)),
            ("", None),
            ("User-Agent", None),
            ("address,address", None),
            ("off,address", None),
            ("address,", None),
            ("ip", None),
        ] {
            assert_eq!(SessionBinding::parse(text).ok(), expected, "{text}");
        }
    }

    fn shown<'r>(user_agent: Option<&'r str>, address: Option<&str>) -> ShownClient<'r> {
        ShownClient { user_agent, address: address.map(|address| address.parse().unwrap()) }
    }

    #[test]
    fn a_session_is_its_clients_alone() {
        use NotBound::{Mismatch, NotTold};
        let device = Device::new(Some("Firefox"), "192.0.2.1".parse().ok());
        let (own, other) = (shown(Some("Firefox"), Some("192.0.2.1")), Some("192.0.2.2"));
        for (binding, client, expected) in [
            (BOTH, own, Ok(())),
            (BOTH, shown(Some("Firefox"), other), Err(Mismatch)),
            (BOTH, shown(Some("firefox"), Some("192.0.2.1")), Err(Mismatch)),
            (BOTH, shown(None, Some("192.0.2.1")), Err(NotTold)),
            (BOTH, shown(Some("Firefox"), None), Err(NotTold)),
            (AGENT, shown(Some("Firefox"), None), Ok(())),
            (AGENT, shown(Some("Firefox/2"), Some("192.0.2.1")), Err(Mismatch)),
            (AGENT, shown(Some(""), None), Err(Mismatch)),
            (ADDRESS, shown(None, Some("192.0.2.1")), Ok(())),
            (ADDRESS, shown(Some("Firefox"), other), Err(Mismatch)),
            (SessionBinding::default(), shown(None, None), Ok(())),
        ] {
            assert_eq!(binding.check(&device, &client), expected, "{binding:?} {client:?}");
        }
        // One that does not say where it was opened is nobody's, and not everybody's.
        for binding in [AGENT, ADDRESS, BOTH] {
            assert_eq!(binding.check(&Device::default(), &own), Err(Mismatch), "{binding:?}");
            let told_nothing = binding.check(&Device::default(), &ShownClient::default());
            assert_eq!(told_nothing, Err(NotTold), "{binding:?}");
        }
    }

    proptest! {
        #[test]
        fn who_opened_a_session_may_use_it_whatever_the_user_agent(agent in any::<String>()) {
            let device = Device::new(Some(&agent), None);
            prop_assert_eq!(AGENT.check(&device, &shown(Some(&agent), None)), Ok(()));
            let longer = format!("x{agent}");
            prop_assert!(AGENT.check(&device, &shown(Some(&longer), None)).is_err());
        }
    }
}
