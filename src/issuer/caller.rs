//! The caller of a request: address, device, and what its `Authorization` header shows.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::{AUTHORIZATION, USER_AGENT};

use super::error::IssueError;
use crate::session::{Device, DeviceId, DeviceName, ShownClient};

/// Caller of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The client's address, as far as the gateway is believed.
    pub address: Option<IpAddr>,
    /// Its `User-Agent`.
    pub user_agent: Option<String>,
    /// The id by which its device comes again, where it says one.
    pub device_id: Option<DeviceId>,
    /// The name of its device, where it says one.
    pub device_name: Option<DeviceName>,
}

impl Caller {
    /// The caller at this address, with the headers of its request.
    pub(super) fn new(address: Option<IpAddr>, headers: &HeaderMap) -> Self {
        let user_agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
        Self { address, user_agent: user_agent.map(str::to_owned), ..Self::default() }
    }

    /// The client that it shows, for sessions that are bound to theirs.
    pub(super) fn shown_client(&self) -> ShownClient<'_> {
        ShownClient { user_agent: self.user_agent.as_deref(), address: self.address }
    }

    /// The device that a session is opened from.
    pub(super) fn device(&self) -> Device {
        let (id, name) = (self.device_id.clone(), self.device_name.clone());
        Device { id, name, ..Device::new(self.user_agent.as_deref(), self.address) }
    }
}

/// The rest of the `Authorization` header behind its scheme, if it is this scheme; empty where
/// nothing follows (RFC 9110, section 11.4).
///
/// # Errors
/// [`IssueError::InvalidRequest`] where there are two.
pub(super) fn authorization<'h>(
    headers: &'h HeaderMap,
    scheme: &str,
) -> Result<Option<&'h [u8]>, IssueError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(IssueError::invalid_request("there are two Authorization headers"));
    }
    let value = value.as_bytes();
    let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (name, rest) = value.split_at(end);
    Ok(name.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest.trim_ascii()))
}

/// The bearer token of a request (RFC 6750, section 2.1); empty where the scheme stands alone.
///
/// # Errors
/// [`IssueError::InvalidToken`] where there are two, or it is no text.
pub(super) fn bearer_token(headers: &HeaderMap) -> Result<Option<&str>, IssueError> {
    let token = authorization(headers, "bearer").map_err(|_| IssueError::InvalidToken)?;
    let token = token.map(std::str::from_utf8).transpose();
    token.map_err(|_| IssueError::InvalidToken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_bearer_token_or_none_at_all() {
        for (values, expected) in [
            (&["Bearer abc"][..], Ok(Some("abc"))),
            (&["bearer  abc "], Ok(Some("abc"))),
            (&["Basic abc"], Ok(None)),
            (&["Bearer"], Ok(Some(""))),
            (&["Bearer a", "Bearer b"], Err(IssueError::InvalidToken)),
            (&[], Ok(None)),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().expect("a header"));
            }
            assert_eq!(bearer_token(&headers), expected, "{values:?}");
        }
    }
}
