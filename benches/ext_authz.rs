//! Two ends of `ext_authz` over gRPC for `benches/run hot` and `benches/load --grpc`: the yardstick, a bare tonic server that
//! says yes to everything with the headers it was given, and the client that asks it, or a gate.
//!
//! ```text
//! ext_authz --listen 127.0.0.1:8081 [--header "Name: value"]...
//! ext_authz --ask 127.0.0.1:8081 SECONDS "Authorization: Bearer TOKEN"
//! ```
//!
//! `cargo bench` starts it without either; then it prints how it is used and ends.

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
use portcullis::gate::ext_authz::generated::auth::check_response::HttpResponse;
use portcullis::gate::ext_authz::generated::auth::{
    AttributeContext, CheckRequest, CheckResponse, OkHttpResponse,
};
use portcullis::gate::ext_authz::generated::{config, rpc};
use tokio::net::TcpListener;
use tonic::transport::Endpoint;

const CONNECTIONS: usize = 2;
const CALLS_AT_ONCE: usize = 32;

/// The server that says yes.
#[derive(Clone, Debug)]
struct Yes(CheckResponse);

#[tonic::async_trait]
impl Authorization for Yes {
    async fn check(
        &self,
        _: tonic::Request<CheckRequest>,
    ) -> Result<tonic::Response<CheckResponse>, tonic::Status> {
        Ok(tonic::Response::new(self.0.clone()))
    }
}

fn main() {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match &arguments[..] {
        ["--listen", address, headers @ ..] => runtime.block_on(serve(address, headers)),
        ["--ask", gate, seconds, authorization] => {
            let time = Duration::from_secs(seconds.parse().unwrap());
            let authorization = authorization.split_once(':').unwrap().1.trim();
            runtime.block_on(ask(gate.parse().unwrap(), time, authorization));
        }
        _ => println!("benches/load --grpc measures with it"),
    }
}

/// Serves as the guide of hyper would write it, until it is killed.
async fn serve(address: &str, headers: &[&str]) {
    let header = |line: &&str| {
        let (key, value) = line.split_once(':')?;
        let [key, value] = [key, value].map(|it| it.trim().to_owned());
        let header = config::HeaderValue { key, value, ..config::HeaderValue::default() };
        let header = Some(header);
        Some(config::HeaderValueOption { header, ..config::HeaderValueOption::default() })
    };
    let headers = headers.iter().filter_map(header).collect();
    let ok = OkHttpResponse { headers, ..OkHttpResponse::default() };
    let http_response = Some(HttpResponse::OkResponse(ok));
    let yes = Yes(CheckResponse { http_response, ..CheckResponse::default() });
    let listener = TcpListener::bind(address).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let service = TowerToHyperService::new(AuthorizationServer::new(yes.clone()));
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
    }
}

/// Asks for so long, and prints what `benches/load` reads: answers, microseconds, the median and the
/// 99th percentile of what an answer took, and two times no failure, since one ends it.
async fn ask(address: SocketAddr, time: Duration, authorization: &str) {
    let started = Instant::now();
    let mut callers = Vec::new();
    for _ in 0..CONNECTIONS {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let client = AuthorizationClient::new(endpoint.connect().await.unwrap());
        for _ in 0..CALLS_AT_ONCE {
            let (mut client, question) = (client.clone(), question(authorization));
            callers.push(tokio::spawn(async move {
                let mut times = Vec::new();
                while started.elapsed() < time {
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
    let took = started.elapsed().as_micros();
    times.sort_unstable();
    let [median, p99] = [50, 99].map(|percent| times[times.len() * percent / 100].as_micros());
    println!("RESULT {} {took} {median} {p99} 0 0", times.len());
}

/// The question that Envoy asks about a browser's request.
fn question(authorization: &str) -> CheckRequest {
    let headers = [
        (":authority", "app.example.com"),
        (":path", "/reports/7?full=1"),
        (":method", "GET"),
        (":scheme", "https"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
        ("accept", "text/html,application/xhtml+xml"),
        ("accept-encoding", "gzip, deflate, br"),
        ("authorization", authorization),
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
    let [method, path, host] = ["GET", "/reports/7?full=1", "app.example.com"].map(str::to_owned);
    let header_map = Some(config::HeaderMap { headers });
    let http = HttpRequest { method, path, host, header_map, ..HttpRequest::default() };
    let request = Some(Request { http: Some(http) });
    CheckRequest { attributes: Some(AttributeContext { request, ..AttributeContext::default() }) }
}
