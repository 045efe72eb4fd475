//! The one accept loop.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::accept_error::{EXHAUSTED_BACKOFF, is_connection_error};
use super::connection::Protocols;
use super::connection_registry::{ConnectionRegistry, Phase};
use super::drain::{DrainReport, drain};
use super::heads::HeadBudget;
use super::listener::Listeners;
use super::shutdown::Shutdown;
use super::stream::Socket;
use crate::wire::address_limit::AddressLimit;

/// The time between two warnings of a kind.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

impl Listeners {
    /// Serves until `shutdown` begins, then drains for at most its grace. Every connection gets a
    /// clone of `service` and a task of its own.
    ///
    /// If the returned future is dropped, every connection is aborted.
    pub async fn serve<S, B>(self, service: S, shutdown: &Shutdown) -> DrainReport
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send + 'static,
        B: Body + Default + Send + 'static,
        B::Data: Send,
        B::Error: std::error::Error + Send + Sync,
    {
        self.serve_each(move |_| service.clone(), shutdown).await
    }

    /// The same, with a service made for each connection by the address that it comes from; `None`
    /// where that is a unix socket.
    pub async fn serve_each<S, B>(
        mut self,
        service: impl Fn(Option<IpAddr>) -> S,
        shutdown: &Shutdown,
    ) -> DrainReport
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
        S::Future: Send + 'static,
        B: Body + Default + Send + 'static,
        B::Data: Send,
        B::Error: std::error::Error + Send + Sync,
    {
        let registry = ConnectionRegistry::new(HeadBudget::new(self.limits().unfinished_heads));
        let _abort_on_drop = AbortOnDrop(Arc::clone(&registry));
        let protocols = Arc::new(Protocols::new(self.limits()));
        let permits = Arc::new(Semaphore::new(
            self.limits().max_connections.clamp(1, Semaphore::MAX_PERMITS),
        ));
        let (idle, request) = (self.limits().idle_timeout, self.limits().request_timeout);
        let address_limit =
            AddressLimit::new(self.limits().max_per_address, self.limits().gateways.clone());
        let spawn = |socket: Socket, permit| {
            let peer = socket.peer();
            let Some(address_permit) = address_limit.acquire(peer) else {
                let client = peer.map(tracing::field::display);
                tracing::warn!(client, "closed a connection: MAX_CONNECTIONS_PER_ADDRESS");
                return;
            };
            let service = service(peer);
            registry.spawn(permit, |state| {
                let stream = protocols.stream(socket, Arc::clone(&state));
                let run = Arc::clone(&protocols).run(stream, state, service);
                async move {
                    let _address_permit = address_permit;
                    run.await;
                }
            });
        };
        tokio::select! {
            biased;
            () = shutdown.begun() => {}
            never = accept_all(&mut self, &permits, spawn) => match never {},
            () = registry.sweep(idle, request) => {}
        }
        drain(self, &registry, |socket| spawn(socket, None), shutdown).await
    }
}

/// Accepts from every listener, one connection at a time, for as long as it is polled.
async fn accept_all(
    listeners: &mut Listeners,
    permits: &Arc<Semaphore>,
    spawn: impl Fn(Socket, Option<tokio::sync::OwnedSemaphorePermit>),
) -> Infallible {
    let (mut full, mut failed) = (WarningThrottle::new(), WarningThrottle::new());
    loop {
        if permits.available_permits() == 0 && full.is_due() {
            tracing::warn!("all connections are in use; new ones wait (see MAX_CONNECTIONS)");
        }
        // The semaphore is never closed; were it, connections would go uncounted, not unserved.
        let permit = Arc::clone(permits).acquire_owned().await.ok();
        match listeners.accept().await {
            Ok(socket) => spawn(socket, permit),
            Err(error) if is_connection_error(&error) => {}
            Err(error) => {
                if failed.is_due() {
                    tracing::warn!(%error, "cannot accept connections for now; trying on");
                }
                tokio::time::sleep(EXHAUSTED_BACKOFF).await;
            }
        }
    }
}

/// A throttle for a warning that would else repeat itself all the time.
struct WarningThrottle(Option<Instant>);

impl WarningThrottle {
    fn new() -> Self {
        Self(None)
    }

    fn is_due(&mut self) -> bool {
        let due = self.0.is_none_or(|last| last.elapsed() >= WARNING_INTERVAL);
        if due {
            self.0 = Some(Instant::now());
        }
        due
    }
}

/// Aborts every connection when the server's future is dropped: no sweep would close them.
struct AbortOnDrop(Arc<ConnectionRegistry>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.advance(Phase::Aborted);
    }
}
