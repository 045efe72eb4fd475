//! The caller: the address that the connection comes from, and the token in the metadata.

use std::net::IpAddr;

use tonic::Request;
use tonic::metadata::MetadataMap;

use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;

/// The address that a call's connection comes from; `None` is a unix socket. It is among the
/// extensions of each call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) Option<IpAddr>);

/// The caller of a request. What a proxy says of somebody behind it is not believed: those who
/// call are services.
pub(super) fn caller_of<T>(request: &Request<T>) -> Caller {
    let peer = request.extensions().get::<Peer>().and_then(|Peer(address)| *address);
    let user_agent = request.metadata().get("user-agent").and_then(|value| value.to_str().ok());
    Caller {
        address: peer.map(|address| address.to_canonical()),
        user_agent: user_agent.map(str::to_owned),
    }
}

/// The bearer token of `authorization` (RFC 6750, section 2.1).
///
/// # Errors
/// [`IssueError::InvalidToken`] where there is none, or more than one.
pub(super) fn bearer_token(metadata: &MetadataMap) -> Result<&str, IssueError> {
    let mut values = metadata.get_all("authorization").iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(IssueError::InvalidToken);
    };
    let value = value.to_str().map_err(|_| IssueError::InvalidToken)?;
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(IssueError::InvalidToken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_bearer_token_or_none_at_all() {
        for (values, expected) in [
            (&["Bearer abc"][..], Some("abc")),
            (&["bearer  abc "], Some("abc")),
            (&["Basic abc"], None),
            (&["Bearer"], None),
            (&["Bearer a", "Bearer b"], None),
            (&[], None),
        ] {
            let mut metadata = MetadataMap::new();
            for value in values {
                metadata.append("authorization", value.parse().expect("ASCII"));
            }
            assert_eq!(bearer_token(&metadata).ok(), expected, "{values:?}");
        }
    }
}
