//! Errors as gRPC's statuses: one code for each, and what a client can act on in the trailers.

use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::{Code, Status};

use crate::issuer::error::IssueError;

impl From<IssueError> for Status {
    fn from(error: IssueError) -> Self {
        error.log();
        let mut trailers = MetadataMap::new();
        trailers.insert("error", AsciiMetadataValue::from_static(error.code()));
        if let Some(seconds) = error.retry_after() {
            trailers.insert("retry-after", seconds.into());
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
        | IssueError::UnsupportedGrantType
        | IssueError::WeakPassword(_)
        | IssueError::InvalidLink => Code::InvalidArgument,
        IssueError::NotFound => Code::NotFound,
        IssueError::Taken(_) => Code::AlreadyExists,
        IssueError::SlowDown(_) => Code::ResourceExhausted,
        IssueError::Unsupported | IssueError::NoMail => Code::Unimplemented,
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
    use crate::account::policy::PolicyProblem;
    use crate::issuer::error::Cause;

    /// A list with a row for each error: its pattern, one of it, and what a client is told. It does
    /// not compile while an error has no row.
    macro_rules! errors {
        ($($pattern:pat, $error:expr, $code:ident, $name:expr, $message:expr, $wait:expr;)+) => {{
            let ($($pattern)|+) = IssueError::Busy;
            [$(($error, Code::$code, $name, $message, $wait)),+]
        }};
    }

    #[test]
    fn every_error_has_its_code_and_says_what_to_do() {
        use IssueError as E;
        let (short, long) = (Duration::from_millis(1500), Duration::from_secs(3));
        let missing = E::invalid_request("token is missing");
        let weak = E::WeakPassword(vec![PolicyProblem::OnlyDigits]);
        let later = "temporarily_unavailable";
        let errors = errors! {
            E::InvalidRequest(_), missing, InvalidArgument, "invalid_request", "token is missing", None;
            E::InvalidClient { .. }, E::InvalidClient { by_header: true }, Unauthenticated, "invalid_client", "", None;
            E::InvalidGrant, E::InvalidGrant, Unauthenticated, "invalid_grant", "", None;
            E::UnauthorizedClient, E::UnauthorizedClient, PermissionDenied, "unauthorized_client", "", None;
            E::UnsupportedGrantType, E::UnsupportedGrantType, InvalidArgument, "unsupported_grant_type", "", None;
            E::InvalidScope, E::InvalidScope, InvalidArgument, "invalid_scope", "", None;
            E::InvalidTarget, E::InvalidTarget, InvalidArgument, "invalid_target", "", None;
            E::MissingToken, E::MissingToken, Unauthenticated, "missing_credentials", "", None;
            E::InvalidToken, E::InvalidToken, Unauthenticated, "invalid_token", "", None;
            E::Forbidden(_), E::Forbidden("why"), PermissionDenied, "access_denied", "why", None;
            E::NotFound, E::NotFound, NotFound, "not_found", "", None;
            E::Taken(_), E::Taken("username"), AlreadyExists, "conflict", "username", None;
            E::WeakPassword(_), weak, InvalidArgument, "weak_password", "use more than digits", None;
            E::InvalidLink, E::InvalidLink, InvalidArgument, "invalid_link", "", None;
            E::SlowDown(_), E::SlowDown(short), ResourceExhausted, "slow_down", "", Some("2");
            E::Unsupported, E::Unsupported, Unimplemented, "not_implemented", "memcached", None;
            E::NoMail, E::NoMail, Unimplemented, "not_implemented", "no mail", None;
            E::TokenTooLong, E::TokenTooLong, Internal, "server_error", "longer", None;
            E::Unavailable(_), Cause::Stopping.into(), Unavailable, later, "", Some("1");
            E::Busy, E::Busy, Unavailable, later, "", Some("2");
            E::InProgress(_), E::InProgress(long), Unavailable, later, "", Some("3");
        };
        for (error, code, name, message, wait) in errors {
            let status = Status::from(error.clone());
            let trailer = |name| status.metadata().get(name).map(|value| value.to_str().unwrap());
            assert_eq!(status.code(), code, "{error:?}");
            assert_eq!(trailer("error"), Some(name), "{error:?}");
            assert_eq!(trailer("retry-after"), wait, "{error:?}");
            assert!(!status.message().is_empty() && status.message().contains(message));
        }
    }
}
