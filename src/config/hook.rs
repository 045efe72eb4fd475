//! TOKEN_HOOK_URL: the application that checks passwords in place of the built-in accounts.

use super::reader::Reader;
use super::settings;
use crate::issuer::hook::HookConfig;

pub(super) fn read(reader: &mut Reader<'_>) -> Option<HookConfig> {
    let secret = reader.get(settings::TOKEN_HOOK_SECRET);
    let timeout = reader.get(settings::TOKEN_HOOK_TIMEOUT);
    let url = reader.if_set(settings::TOKEN_HOOK_URL);
    // A blank one is as good as none; one that cannot be read is a mistake already.
    let has_none = url == Some(None) || !reader.is_named(settings::TOKEN_HOOK_URL);
    if has_none {
        for setting in [settings::TOKEN_HOOK_SECRET.entry, settings::TOKEN_HOOK_TIMEOUT.entry] {
            if reader.is_set(setting) {
                reader.warn(setting, "is not used: there is no TOKEN_HOOK_URL");
            }
        }
    } else if !reader.is_named(settings::TOKEN_HOOK_SECRET) {
        reader.wrong(
            settings::TOKEN_HOOK_URL,
            "needs TOKEN_HOOK_SECRET_FILE, which its requests are signed with",
        );
    }
    Some(HookConfig { url: url.flatten()?, secret: secret?, timeout })
}
