//! A call that reached a service runs to its end in a task of its own: a deadline that passes, or
//! a connection that is gone, drops only the answer.
//!
//! The message is read before, in the caller's own time, so that no task waits for a client.

use std::convert::Infallible;
use std::mem::replace;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use crate::issuer::Issuance;
use crate::wire::body::MAX_BODY_BYTES;

/// Bytes before a message, which hold a flag of compression and its length.
const PREFIX_BYTES: usize = 5;

/// A service of calls with one message each, every one of which runs to its end.
#[derive(Clone, Debug)]
pub(super) struct RunToCompletion<S> {
    inner: S,
    issuance: Arc<Issuance>,
}

impl<S> RunToCompletion<S> {
    pub(super) fn new(inner: S, issuance: &Arc<Issuance>) -> Self {
        Self { inner, issuance: Arc::clone(issuance) }
    }
}

impl<S: NamedService> NamedService for RunToCompletion<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for RunToCompletion<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The one that is ready; the next call finds the other.
        let next = self.inner.clone();
        let mut inner = replace(&mut self.inner, next);
        let issuance = Arc::clone(&self.issuance);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let read = Limited::new(body, MAX_BODY_BYTES + PREFIX_BYTES).collect().await;
            let Ok(read) = read else {
                let status = Status::out_of_range("the message is cut short, or too large");
                return Ok(status.into_http());
            };
            let message = Body::new(Full::new(read.to_bytes()));
            let request = Request::from_parts(head, message);
            match issuance.tasks().run(async move { inner.call(request).await }).await {
                Ok(answer) => answer,
                Err(error) => Ok(Status::from(error).into_http()),
            }
        })
    }
}
