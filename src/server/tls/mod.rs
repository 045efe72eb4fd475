//! TLS of a listener, from files that are read again when they change.
//!
//! A new certificate holds for new connections. Open ones keep the one that they began with, so no
//! request is lost by a replacement. Changed files are used once two reads in a row agree: a chain
//! that is half written can be a chain too. Files that cannot be used leave those before in use;
//! the log and a metric say so. A private key is never shown.

mod files;
mod metrics;

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub use files::{TlsError, TlsFile, TlsFiles};
pub use metrics::TlsMetrics;

use crate::clock::Clock;
use crate::secret::pseudonym::Pseudonyms;
use crate::wire::warning_throttle::WarningThrottle;
use files::{Contents, Usable};
use metrics::ListenerMetrics;

/// The longest time of a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The time between two reads of the files.
const READ_EVERY: Duration = Duration::from_secs(2);

/// TLS of a listener.
#[derive(Debug)]
pub struct Tls {
    listener: &'static str,
    files: TlsFiles,
    usable: ArcSwap<Usable>,
    last_read: Mutex<LastRead>,
    /// The end of the certificate of which the log has said that it expired, in seconds.
    expiry_told: AtomicU64,
    clock: Arc<dyn Clock>,
    metrics: ListenerMetrics,
    failed: WarningThrottle,
    pseudonyms: Pseudonyms,
}

/// The last read of the files.
#[derive(Debug)]
struct LastRead {
    /// Their contents, usable or not.
    outcome: Result<Contents, TlsError>,
    /// True once a second read has found the same.
    is_settled: bool,
}

impl Tls {
    /// Reads the files; `listener` is its name in the log and in metrics, `pseudonyms` makes what the log has
    /// in place of addresses.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn open(
        listener: &'static str,
        files: TlsFiles,
        clock: Arc<dyn Clock>,
        metrics: &TlsMetrics,
        pseudonyms: Pseudonyms,
    ) -> Result<Arc<Self>, TlsError> {
        let contents = files.read()?;
        let usable = files.configure(&contents)?;
        let tls = Self {
            listener,
            files,
            usable: ArcSwap::from_pointee(usable),
            last_read: Mutex::new(LastRead { outcome: Ok(contents), is_settled: true }),
            expiry_told: AtomicU64::new(0),
            clock,
            metrics: metrics.of(listener),
            failed: WarningThrottle::default(),
            pseudonyms,
        };
        tls.metrics.reloaded.set(1);
        tls.show_expiry();
        tls.tell_expiry();
        Ok(Arc::new(tls))
    }

    /// Does the handshake with a client that has connected.
    ///
    /// # Errors
    /// Where the handshake fails, or takes too long.
    pub(super) async fn accept<S>(
        &self,
        socket: S,
        peer: Option<IpAddr>,
    ) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.usable.load().config));
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(socket));
        let outcome = handshake.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if let Err(error) = &outcome {
            self.metrics.refused.inc();
            // Who just hangs up, as probes of a port do, is not worth a line.
            if error.kind() == io::ErrorKind::InvalidData && self.failed.is_due() {
                let client = peer.map(|peer| self.pseudonyms.of_address(peer));
                tracing::warn!(listener = self.listener, client, %error, "a TLS handshake failed");
            }
        }
        outcome
    }

    /// Reads the files again and again, for as long as it is polled.
    pub(super) async fn watch(self: Arc<Self>) {
        // They were read when this was made.
        let first = tokio::time::Instant::now() + READ_EVERY;
        let mut ticks = tokio::time::interval_at(first, READ_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let tls = Arc::clone(&self);
            // It cannot panic, and is not aborted.
            let _ = tokio::task::spawn_blocking(move || tls.reload()).await;
        }
    }

    /// Reads the files, and uses for new connections what this read and the one before it found.
    pub(super) fn reload(&self) {
        let outcome = self.files.read();
        // Nothing panics under the lock.
        let mut last_read = self.last_read.lock().unwrap_or_else(PoisonError::into_inner);
        if last_read.outcome != outcome {
            *last_read = LastRead { outcome, is_settled: false };
        } else if !last_read.is_settled {
            last_read.is_settled = true;
            let contents = outcome.as_ref().map_err(Clone::clone);
            self.take(contents.and_then(|contents| self.files.configure(contents)));
        }
        drop(last_read);
        self.tell_expiry();
    }

    fn take(&self, usable: Result<Usable, TlsError>) {
        let listener = self.listener;
        self.metrics.reloaded.set(i64::from(usable.is_ok()));
        match usable {
            Ok(usable) => {
                let expires = tracing::field::display(usable.expires);
                tracing::info!(listener, expires, "new connections have the new certificate");
                self.usable.store(Arc::new(usable));
                self.show_expiry();
            }
            Err(error) => {
                let what = "the changed TLS files cannot be used; those before stay in use";
                tracing::warn!(listener, %error, "{what}");
            }
        }
    }

    fn show_expiry(&self) {
        let expires = self.usable.load().expires.as_secs();
        self.metrics.expires.set(i64::try_from(expires).unwrap_or(i64::MAX));
    }

    /// Warns once of a certificate that has expired: clients refuse it.
    fn tell_expiry(&self) {
        let expires = self.usable.load().expires;
        if self.clock.now() >= expires
            && self.expiry_told.swap(expires.as_secs(), Ordering::Relaxed) != expires.as_secs()
        {
            let path = self.files.certificate.display();
            tracing::warn!(
                listener = self.listener,
                %expires,
                "the certificate in {path} has expired, and clients refuse it; replace the file"
            );
        }
    }
}
