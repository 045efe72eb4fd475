//! The yardstick of `benches/run hot` for `ext_authz` over gRPC: a bare tonic server that says yes to everything with the
//! headers it was given.
//!
//! ```text
//! ext_authz --listen 127.0.0.1:8081 ["Name: value"]...
//! ```
//!
//! `cargo bench` starts it without; then it prints who uses it, and ends.

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints")]

use std::env;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use portcullis::gate::ext_authz::generated::auth::authorization_server::{
    Authorization, AuthorizationServer,
};
use portcullis::gate::ext_authz::generated::auth::check_response::HttpResponse;
use portcullis::gate::ext_authz::generated::auth::{CheckRequest, CheckResponse, OkHttpResponse};
use portcullis::gate::ext_authz::generated::config;
use tokio::net::TcpListener;

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
        _ => println!("benches/run hot measures with it"),
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
