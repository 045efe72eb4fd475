//! How many calls of one gateway are under way at once: a quarter of all, unless it is known to be a gateway.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures_util::stream::poll_fn;
use http::uri::PathAndQuery;
use portcullis::gate::ext_authz::generated::auth::authorization_client::AuthorizationClient;
use portcullis::gate::ext_authz::generated::auth::{CheckRequest, CheckResponse};
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
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

/// How many calls were refused of more than an address may have open.
async fn refused(address: SocketAddr) -> usize {
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
    // What is asked later on the same connections is answered later.
    for channel in channels.iter().cycle().take(30) {
        let _ = AuthorizationClient::new(channel.clone()).check(CheckRequest::default()).await;
    }
    calls.iter().filter(|call| call.is_finished()).count()
}

#[test]
fn a_known_gateway_has_more_calls_than_another_address() {
    for (networks, is_bound) in [("", true), ("127.0.0.0/8", false)] {
        let realm = Realm::new().with("TRUSTED_PROXIES", "off").with("GATEWAY_NETWORKS", networks);
        let (realm, address) = listening(realm);
        let _gate = realm.gate();
        let refused = runtime().block_on(refused(address));
        assert_eq!(refused >= CONNECTIONS * CALLS - 256, is_bound, "{networks:?}: {refused}");
    }
}
