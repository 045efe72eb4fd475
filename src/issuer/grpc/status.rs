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

    /// The error after this one, so that a new variant cannot be forgotten below.
    fn next(error: &IssueError) -> Option<IssueError> {
        Some(match error {
            IssueError::InvalidRequest(_) => IssueError::InvalidClient { by_header: true },
            IssueError::InvalidClient { .. } => IssueError::InvalidGrant,
            IssueError::InvalidGrant => IssueError::UnauthorizedClient,
            IssueError::UnauthorizedClient => IssueError::UnsupportedGrantType,
            IssueError::UnsupportedGrantType => IssueError::InvalidScope,
            IssueError::InvalidScope => IssueError::InvalidTarget,
            IssueError::InvalidTarget => IssueError::MissingToken,
            IssueError::MissingToken => IssueError::InvalidToken,
            IssueError::InvalidToken => IssueError::Forbidden("why"),
            IssueError::Forbidden(_) => IssueError::NotFound,
            IssueError::NotFound => IssueError::SlowDown(Duration::from_millis(1500)),
            IssueError::SlowDown(_) => IssueError::Unsupported,
            IssueError::Unsupported => IssueError::TokenTooLong,
            IssueError::TokenTooLong => IssueError::unavailable("why"),
            IssueError::Unavailable(_) => IssueError::Busy,
            IssueError::Busy => IssueError::InProgress(Duration::from_secs(3)),
            IssueError::InProgress(_) => return None,
        })
    }

    #[test]
    fn every_error_has_its_code_and_says_what_to_do() {
        let expected = [
            (Code::InvalidArgument, "invalid_request", "token is missing", None),
            (Code::Unauthenticated, "invalid_client", "", None),
            (Code::Unauthenticated, "invalid_grant", "", None),
            (Code::PermissionDenied, "unauthorized_client", "", None),
            (Code::InvalidArgument, "unsupported_grant_type", "", None),
            (Code::InvalidArgument, "invalid_scope", "", None),
            (Code::InvalidArgument, "invalid_target", "", None),
            (Code::Unauthenticated, "missing_credentials", "", None),
            (Code::Unauthenticated, "invalid_token", "", None),
            (Code::PermissionDenied, "access_denied", "why", None),
            (Code::NotFound, "not_found", "", None),
            (Code::ResourceExhausted, "slow_down", "", Some("2")),
            (Code::Unimplemented, "not_implemented", "memcached", None),
            (Code::Internal, "server_error", "longer", None),
            (Code::Unavailable, "temporarily_unavailable", "", Some("1")),
            (Code::Unavailable, "temporarily_unavailable", "", Some("2")),
            (Code::Unavailable, "temporarily_unavailable", "", Some("3")),
        ];
        let first = IssueError::invalid_request("token is missing");
        let errors: Vec<_> = std::iter::successors(Some(first), next).collect();
        assert_eq!(errors.len(), expected.len());
        for (error, (code, name, message, wait)) in errors.into_iter().zip(expected) {
            let status = Status::from(error.clone());
            let trailer = |name| status.metadata().get(name).map(|value| value.to_str().unwrap());
            assert_eq!(status.code(), code, "{error:?}");
            assert_eq!(trailer("error"), Some(name), "{error:?}");
            assert_eq!(trailer("retry-after"), wait, "{error:?}");
            assert!(!status.message().is_empty() && status.message().contains(message));
        }
    }
}
