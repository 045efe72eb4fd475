//! A layer that lets gRPC calls through, and nothing else.
//!
//! gRPC tells of failures with HTTP's 200, so a gateway that asks here by mistake, over HTTP/2,
//! would take "no such method" for a yes. The specification of gRPC wants 415 for what is no call.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tonic::body::Body;
use tower::{Layer, Service};

use crate::wire::is_forward_auth;

/// Layer of [`GrpcOnly`].
#[derive(Clone, Copy, Debug)]
pub(super) struct GrpcOnlyLayer;

/// A service behind a check of the content type.
#[derive(Clone, Debug)]
pub(super) struct GrpcOnly<S>(S);

impl<S> Layer<S> for GrpcOnlyLayer {
    type Service = GrpcOnly<S>;

    fn layer(&self, inner: S) -> GrpcOnly<S> {
        GrpcOnly(inner)
    }
}

impl<S, B> Service<Request<B>> for GrpcOnly<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if is_call(request.method(), request.headers()) {
            return Box::pin(self.0.call(request));
        }
        Box::pin(async {
            let mut refusal = Response::new(Body::empty());
            *refusal.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            Ok(refusal)
        })
    }
}

/// Whether this is a call, and nobody's question about another request.
fn is_call(method: &Method, headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    method == Method::POST && kind.starts_with(b"application/grpc") && !is_forward_auth(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_a_post_of_grpc_that_tells_of_no_other_request() {
        for (method, kind, told, is_one) in [
            (Method::POST, Some("application/grpc"), None, true),
            (Method::POST, Some("application/grpc+proto"), Some("x-forwarded-for"), true),
            (Method::POST, Some("application/grpc"), Some("x-forwarded-method"), false),
            (Method::GET, Some("application/grpc"), None, false),
            (Method::POST, Some("application/json"), None, false),
            (Method::POST, None, None, false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(kind) = kind {
                headers.insert(CONTENT_TYPE, kind.parse().expect("a header"));
            }
            if let Some(told) = told {
                headers.insert(told, "POST".parse().expect("a header"));
            }
            assert_eq!(is_call(&method, &headers), is_one, "{method} {kind:?} {told:?}");
        }
    }
}
