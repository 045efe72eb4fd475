//! The login page of browsers, and the addresses to which it may send them back.

use std::sync::Arc;

use super::reader::Reader;
use super::settings;
use crate::gate::browser::LoginPage;
use crate::policy::return_address::{ReturnAddresses, ReturnHost};

/// The page, where there is one. Without a list of hosts it would be an open
/// redirect.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Arc<LoginPage>> {
    let url = reader.get(settings::LOGIN_URL);
    let hosts = reader.each(settings::RETURN_HOSTS, ReturnHost::parse);
    let secret = reader.get(settings::RETURN_SECRET);
    if !reader.is_named(settings::LOGIN_URL) {
        for setting in [settings::RETURN_HOSTS.entry, settings::RETURN_SECRET.entry] {
            if reader.is_named(setting) {
                reader.warn(setting, "has no effect without LOGIN_URL");
            }
        }
        return None;
    }
    if !reader.is_named(settings::RETURN_HOSTS) {
        let problem = "would be told to send browsers anywhere: set RETURN_HOSTS";
        reader.wrong(settings::LOGIN_URL, problem);
    }
    let addresses = ReturnAddresses::new(hosts, secret.as_ref())?;
    Some(Arc::new(LoginPage::new(url?, addresses)))
}
