//! Errors of `accept`: of one connection, after which the next is accepted at once, or of the
//! process, which backs off first.

use std::io;
use std::time::Duration;

/// The backoff where the process has no descriptors left: until others have closed something.
pub(super) const EXHAUSTED_BACKOFF: Duration = Duration::from_millis(100);

/// True where the next `accept` may well succeed: the client went away, or the network to it did.
/// Everything else, as the lack of descriptors or memory, lasts, and asking again would spin.
pub(super) fn is_connection_error(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::Interrupted
            | Kind::TimedOut
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
    )
}
