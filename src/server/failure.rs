//! What it means that `accept` failed: try again at once, or only after a pause.

use std::io;
use std::time::Duration;

/// How long to wait for others to close something where the process has no descriptors left.
pub(super) const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Whether the next `accept` may well succeed: the client went away, or the network to it did.
/// Everything else, as the lack of descriptors or memory, lasts, and asking again would spin.
pub(super) fn is_of_one_connection(error: &io::Error) -> bool {
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
