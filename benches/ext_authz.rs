//! Answers a second of `ext_authz` over gRPC: of a bare tonic server that says yes to everything, and of a gate beside it.
//! Client and servers share the cores, so the figures say what the gate adds, not what it can do.
//!
//! ```text
//! cargo bench --bench ext_authz                              # the bare server alone
//! cargo bench --bench ext_authz -- 127.0.0.1:9001 "$TOKEN"   # and a gate that listens there
//! ```

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints")]

use std::env;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use portcullis::gate::ext_authz::generated::auth::attribute_context::{HttpRequest, Request};
use portcullis::gate::ext_authz::generated::auth::authorization_client::AuthorizationClient;
use portcullis::gate::ext_authz::generated::auth::authorization_server::{
    Authorization, AuthorizationServer,
};
use portcullis::gate::ext_authz::generated::auth::{AttributeContext, CheckRequest, CheckResponse};
use portcullis::gate::ext_authz::generated::{config, rpc};
use tokio::net::TcpListener;
use tonic::transport::Endpoint;

const CONNECTIONS: usize = 2;
const CALLS_AT_ONCE: usize = 32;
const TIME: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Yes;

#[tonic::async_trait]
impl Authorization for Yes {
    async fn check(
        &self,
        _: tonic::Request<CheckRequest>,
    ) -> Result<tonic::Response<CheckResponse>, tonic::Status> {
        Ok(tonic::Response::new(CheckResponse::default()))
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<_> = env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    report("bare tonic server", bare_server().await, "none").await;
    if let [gate, token] = &arguments[..] {
        report("gate", gate.parse().unwrap(), token).await;
    }
}

/// A server as the guide of hyper would write it.
async fn bare_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let service = TowerToHyperService::new(AuthorizationServer::new(Yes));
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

async fn report(what: &str, address: SocketAddr, token: &str) {
    let started = Instant::now();
    let mut callers = Vec::new();
    for _ in 0..CONNECTIONS {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let client = AuthorizationClient::new(endpoint.connect().await.unwrap());
        for _ in 0..CALLS_AT_ONCE {
            let (mut client, question) = (client.clone(), question(token));
            callers.push(tokio::spawn(async move {
                let mut times = Vec::new();
                while started.elapsed() < TIME {
                    let began = Instant::now();
                    let answer = client.check(question.clone()).await.unwrap().into_inner();
                    let code = answer.status.map_or(0, |rpc::Status { code, .. }| code);
                    assert_eq!(code, 0, "it was denied");
                    times.push(began.elapsed());
                }
                times
            }));
        }
    }
    let mut times = Vec::new();
    for caller in callers {
        times.extend(caller.await.unwrap());
    }
    let calls = f64::from(u32::try_from(times.len()).unwrap());
    let per_second = calls / started.elapsed().as_secs_f64();
    times.sort_unstable();
    let (median, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("{what:<20} {per_second:>8.0} a second, median {median:>9.1?}, p99 {p99:>9.1?}");
}

/// The question that Envoy asks about a browser's request.
fn question(token: &str) -> CheckRequest {
    let authorization = format!("Bearer {token}");
    let headers = [
        (":authority", "app.test"),
        (":path", "/users/1?page=2"),
        (":method", "GET"),
        (":scheme", "https"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
        ("accept", "text/html,application/xhtml+xml"),
        ("accept-encoding", "gzip, deflate, br"),
        ("authorization", &authorization),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "2de0645c-285d-4f15-b172-a48a7275bef2"),
    ];
    let header = |(name, value): (&str, &str)| config::HeaderValue {
        key: name.to_owned(),
        raw_value: value.as_bytes().to_vec().into(),
        ..config::HeaderValue::default()
    };
    let headers = headers.into_iter().map(header).collect();
    let [method, path, host] = ["GET", "/users/1?page=2", "app.test"].map(str::to_owned);
    let header_map = Some(config::HeaderMap { headers });
    let http = HttpRequest { method, path, host, header_map, ..HttpRequest::default() };
    let request = Some(Request { http: Some(http) });
    CheckRequest { attributes: Some(AttributeContext { request, ..AttributeContext::default() }) }
}
