//! How many calls of one gateway are under way at once: a quarter of all, unless it is known to be a gateway.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures_util::stream::poll_fn;
use http::uri::PathAndQuery;
use portcullis::gate::ext_authz::generated::auth::authorization_client::AuthorizationClient;
use portcullis::gate::ext_authz::generated::auth::{CheckRequest, CheckResponse};
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use super::listening;
use crate::support::{realm::Realm, topology::runtime};

/// Fewer than a connection may have, and together more than an address.
const CONNECTIONS: usize = 3;
const CALLS: usize = 90;

/// Leaves a call open, whose question never ends; it counts when it was begun.
async fn leave_open(channel: Channel, begun: Arc<AtomicUsize>) {
    let mut is_counted = false;
    let question = poll_fn(move |_| {
        if !std::mem::replace(&mut is_counted, true) {
            begun.fetch_add(1, Ordering::Relaxed);
        }
        Poll::<Option<CheckRequest>>::Pending
    });
    let mut client = Grpc::new(channel);
    client.ready().await.expect("a connection");
    let path = PathAndQuery::from_static("/envoy.service.auth.v3.Authorization/Check");
    let codec = ProstCodec::<CheckRequest, CheckResponse>::default();
    let _ = client.client_streaming(Request::new(question), path, codec).await;
}

async fn code(channel: &Channel) -> Code {
    let answer = AuthorizationClient::new(channel.clone()).check(CheckRequest::default()).await;
    answer.map_or_else(|status| status.code(), |_| Code::Ok)
}

/// The codes of further calls while more are open than an address may have.
async fn codes_beside_open_calls(address: SocketAddr) -> Vec<Code> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URL");
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        channels.push(endpoint.connect().await.expect("a connection"));
    }
    let begun = Arc::<AtomicUsize>::default();
    let open = |channel: &Channel| tokio::spawn(leave_open(channel.clone(), Arc::clone(&begun)));
    let calls: Vec<_> = channels.iter().cycle().take(CONNECTIONS * CALLS).map(open).collect();
    while begun.load(Ordering::Relaxed) < calls.len() {
        tokio::task::yield_now().await;
    }
    let mut codes = Vec::new();
    for channel in channels.iter().cycle().take(30) {
        codes.push(code(channel).await);
    }
    let ended = calls.iter().filter(|call| call.is_finished()).count();
    assert!(ended <= CONNECTIONS * CALLS - 256, "{ended} calls have ended");
    codes
}

#[test]
fn a_known_gateway_has_more_calls_than_another_address() {
    for (networks, is_bound) in [("", true), ("127.0.0.0/8", false)] {
        let realm = Realm::new().with("TRUSTED_PROXIES", "off").with("GATEWAY_NETWORKS", networks);
        let (realm, address) = listening(realm);
        let _gate = realm.gate();
        let codes = runtime().block_on(codes_beside_open_calls(address));
        let refused = codes.contains(&Code::Unavailable);
        assert_eq!(refused, is_bound, "{networks:?}: {codes:?}");
    }
}
