//! The one accept loop.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use tokio::sync::Semaphore;

use super::accept_error::{EXHAUSTED_BACKOFF, is_connection_error};
use super::connection::Protocols;
use super::connection_registry::{ConnectionRegistry, Phase};
use super::drain::{DrainReport, drain};
use super::hot_loop::{HeadService, HyperAlone};
use super::listener::Listeners;
use super::shutdown::Shutdown;
use super::stream::{Socket, peer};
use super::tls::Tls;
use crate::wire::budget::Budget;
use crate::wire::connection::Connection;
use crate::wire::warning_throttle::WarningThrottle;

impl Listeners {
    /// Answers every request by `answer`, which is told its connection, until `shutdown` begins, then
    /// drains for at most its grace. Every connection has a task of its own.
    ///
    /// If the returned future is dropped, every connection is aborted.
    pub async fn serve<A, F, B>(self, answer: A, shutdown: &Shutdown) -> DrainReport
    where
        A: Fn(Connection, Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body + Default + Send + 'static,
        B::Data: Send,
        B::Error: std::error::Error + Send + Sync,
    {
        self.serve_with(None::<HyperAlone>, answer, shutdown).await
    }

    /// The same, with `head_service` in front of hyper, where there is one and the limits have the hot loop on.
    pub async fn serve_with<S, A, F, B>(
        mut self,
        head_service: Option<S>,
        answer: A,
        shutdown: &Shutdown,
    ) -> DrainReport
    where
        S: HeadService,
        A: Fn(Connection, Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body + Default + Send + 'static,
        B::Data: Send,
        B::Error: std::error::Error + Send + Sync,
    {
        let limits = self.limits();
        let head_service = head_service.filter(|_| limits.hot_loop);
        let by_address =
            |total, share| Budget::with_addresses(total, share, limits.gateways.clone());
        let heads = by_address(limits.unfinished_heads, limits.unfinished_heads / 4);
        let registry = ConnectionRegistry::new(heads);
        let _abort_on_drop = AbortOnDrop(Arc::clone(&registry));
        let protocols = Arc::new(Protocols::new(limits));
        let permits =
            Arc::new(Semaphore::new(limits.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
        let (idle, request) = (limits.idle_timeout, limits.request_timeout);
        let connections = by_address(usize::MAX, limits.max_per_address);
        let pseudonyms = limits.pseudonyms.clone();
        let tls = self.tls();
        let watching = watch(tls.clone());
        let spawn = |socket: Socket, permit| {
            let peer = peer(&socket);
            let Ok(reservation) = connections.reserve(peer, 1) else {
                let client = peer.map(|peer| pseudonyms.of_address(peer));
                tracing::warn!(client, "closed a connection: MAX_CONNECTIONS_PER_ADDRESS");
                return;
            };
            let connection = Connection::accepted(peer);
            let (services, tls) = ((head_service.clone(), answer.clone()), tls.clone());
            let (head_service, answer) = services;
            let (protocols, answer) =
                (Arc::clone(&protocols), move |request| answer(connection, request));
            registry.spawn(permit, peer, |state| async move {
                protocols.run(socket, tls, (connection, state), (head_service, answer)).await;
                drop(reservation);
            });
        };
        tokio::select! {
            biased;
            () = shutdown.begun() => {}
            never = accept_all(&mut self, &permits, spawn) => match never {},
            () = registry.sweep(idle, request) => {}
            () = watching => {}
        }
        drain(self, &registry, |socket| spawn(socket, None), shutdown).await
    }
}

/// Keeps the certificate fresh, where there is one, for as long as it is polled.
async fn watch(tls: Option<Arc<Tls>>) {
    match tls {
        Some(tls) => tls.watch().await,
        None => std::future::pending().await,
    }
}

/// Accepts from every listener, one connection at a time, for as long as it is polled.
async fn accept_all(
    listeners: &mut Listeners,
    permits: &Arc<Semaphore>,
    spawn: impl Fn(Socket, Option<tokio::sync::OwnedSemaphorePermit>),
) -> Infallible {
    let (full, failed) = (WarningThrottle::default(), WarningThrottle::default());
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

/// Aborts every connection when the server's future is dropped: no sweep would close them.
struct AbortOnDrop(Arc<ConnectionRegistry>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.advance(Phase::Aborted);
    }
}
