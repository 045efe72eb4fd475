//! How gRPC says no: one code for each reason, and what a client can act on in the trailers.

use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::{Code, Status};

use crate::issuer::error::IssueError;

impl From<IssueError> for Status {
    fn from(error: IssueError) -> Self {
        error.log();
        let mut trailers = MetadataMap::new();
        trailers.insert("error", AsciiMetadataValue::from_static(error.code()));
        if let Some(wait) = error.retry_after() {
            // Rounded up: who comes back too early has to wait again.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            trailers.insert("retry-after", seconds.max(1).into());
        }
        Self::with_metadata(code(&error), error.to_string(), trailers)
    }
}

fn code(error: &IssueError) -> Code {
    match error {
        IssueError::InvalidGrant
        | IssueError::MissingToken
        | IssueError::InvalidToken
        | IssueError::InvalidClient { .. } => Code::Unauthenticated,
        IssueError::Forbidden(_) | IssueError::UnauthorizedClient => Code::PermissionDenied,
        IssueError::InvalidRequest(_)
        | IssueError::InvalidScope
        | IssueError::InvalidTarget
        | IssueError::UnsupportedGrantType => Code::InvalidArgument,
        IssueError::NotFound => Code::NotFound,
        IssueError::SlowDown(_) => Code::ResourceExhausted,
        IssueError::Unsupported => Code::Unimplemented,
        IssueError::TokenTooLong => Code::Internal,
        IssueError::Unavailable(_) | IssueError::Busy | IssueError::InProgress(_) => {
            Code::Unavailable
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_error_has_its_code_and_says_what_to_do() {
        use IssueError as E;
        let (short, long) = (Duration::from_millis(1500), Duration::from_secs(3));
        let missing = E::invalid_request("token is missing");
        let header = E::InvalidClient { by_header: true };
        for (error, code, name, message, wait) in [
            (missing, Code::InvalidArgument, "invalid_request", "token is missing", None),
            (header, Code::Unauthenticated, "invalid_client", "", None),
            (E::InvalidGrant, Code::Unauthenticated, "invalid_grant", "", None),
            (E::UnauthorizedClient, Code::PermissionDenied, "unauthorized_client", "", None),
            (E::UnsupportedGrantType, Code::InvalidArgument, "unsupported_grant_type", "", None),
            (E::InvalidScope, Code::InvalidArgument, "invalid_scope", "", None),
            (E::InvalidTarget, Code::InvalidArgument, "invalid_target", "", None),
            (E::MissingToken, Code::Unauthenticated, "missing_credentials", "", None),
            (E::InvalidToken, Code::Unauthenticated, "invalid_token", "", None),
            (E::Forbidden("why"), Code::PermissionDenied, "access_denied", "why", None),
            (E::NotFound, Code::NotFound, "not_found", "", None),
            (E::SlowDown(short), Code::ResourceExhausted, "slow_down", "", Some("2")),
            (E::Unsupported, Code::Unimplemented, "not_implemented", "memcached", None),
            (E::TokenTooLong, Code::Internal, "server_error", "longer", None),
            (E::unavailable("a"), Code::Unavailable, "temporarily_unavailable", "", Some("1")),
            (E::Busy, Code::Unavailable, "temporarily_unavailable", "", Some("2")),
            (E::InProgress(long), Code::Unavailable, "temporarily_unavailable", "", Some("3")),
        ] {
            let status = Status::from(error.clone());
            let trailer = |name| status.metadata().get(name).map(|value| value.to_str().unwrap());
            assert_eq!(status.code(), code, "{error:?}");
            assert_eq!(trailer("error"), Some(name), "{error:?}");
            assert_eq!(trailer("retry-after"), wait, "{error:?}");
            assert!(!status.message().is_empty() && status.message().contains(message));
        }
    }
}
