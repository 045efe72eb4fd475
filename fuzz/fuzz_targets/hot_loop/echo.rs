//! A service that answers with all that was read of a head.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use portcullis::secret::fingerprint::Fingerprint;
use portcullis::server::HeadService;
use portcullis::wire::connection::Connection;
use portcullis::wire::http1;
use portcullis::wire::request_head::RequestHead;

use crate::pair::Pair;

pub fn start() -> Pair {
    Pair::start("echo", Echo, |_, request: Request<Incoming>| async move {
        answer(&RequestHead::from(&request.into_parts().0))
    })
}

#[derive(Clone)]
struct Echo;

impl HeadService for Echo {
    fn answer_now(
        &self,
        _: Connection,
        head: &RequestHead<'_>,
        _: Option<Fingerprint>,
        out: &mut Vec<u8>,
    ) -> Option<bool> {
        let is_taken = head.path() != "/elsewhere";
        if is_taken && head.target.len() % 2 == 1 {
            // As if it had to be waited for.
            return None;
        }
        if is_taken {
            http1::append_response(answer(head), head.method == "HEAD", 0, out);
        }
        Some(is_taken)
    }

    async fn answer(&self, _: Connection, head: &RequestHead<'_>, out: &mut Vec<u8>) -> bool {
        tokio::task::yield_now().await;
        let is_taken = head.path() != "/elsewhere";
        if is_taken {
            http1::append_response(answer(head), head.method == "HEAD", 0, out);
        }
        is_taken
    }
}

fn answer(head: &RequestHead<'_>) -> Response<Full<Bytes>> {
    let mut fields: Vec<_> = head.fields.iter().collect();
    fields.sort_by_key(|(name, _)| name.to_ascii_lowercase());
    let mut body = format!("{} {} {:?}\n", head.method, head.target, head.authority).into_bytes();
    for (name, value) in fields {
        let name = name.to_ascii_lowercase();
        body.extend_from_slice(&[name.as_bytes(), b": ", value.as_bytes(), b"\n"].concat());
    }
    if head.method == "HEAD" || head.path() == "/empty" {
        body.clear();
    }
    let mut response = Response::new(Full::from(body));
    response.headers_mut().insert("x-answer", HeaderValue::from_static("yes"));
    if head.path() == "/denied" {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    response
}
