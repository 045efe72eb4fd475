//! Calls of gRPC through Envoy: a client reads a denial as a status, whichever way Envoy asks.

use std::net::SocketAddr;

use portcullis::issuer::grpc::generated::v1::token_service_client::TokenServiceClient;
use portcullis::issuer::grpc::generated::v1::{ListSessionsRequest, ValidateRequest};
use tonic::transport::Endpoint;
use tonic::{Code, Request};

use super::listening;
use crate::support::{
    app::App,
    envoy::{Envoy, Protocol},
    issuer::{Issuer, text},
    realm::Realm,
    topology::runtime,
};

/// One method is for anybody with a token, another for administrators.
const POLICY: &str = r#"
[[route]]
path = "/portcullis.v1.TokenService/Validate"

[[route]]
path = "/portcullis.v1.TokenService/ListSessions"
require = { roles = ["admin"] }

[[route]]
path = "/public/*"
require = "nothing"
"#;

/// A call through the gateway: of `Validate`, or of `ListSessions`; its code and what it says.
async fn call(gateway: SocketAddr, token: Option<&str>, lists: bool) -> (Code, String) {
    let endpoint = Endpoint::from_shared(format!("http://{gateway}")).expect("a URL");
    let mut client = TokenServiceClient::new(endpoint.connect().await.expect("a connection"));
    let outcome = if lists {
        client.list_sessions(with(token, ListSessionsRequest::default())).await.map(drop)
    } else {
        let asked = ValidateRequest { token: "rubbish".to_owned(), required_scopes: Vec::new() };
        client.validate(with(token, asked)).await.map(drop)
    };
    outcome.map_or_else(
        |status| (status.code(), status.message().to_owned()),
        |()| (Code::Ok, String::new()),
    )
}

fn with<T>(token: Option<&str>, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().expect("ASCII");
        request.metadata_mut().insert("authorization", value);
    }
    request
}

#[test]
fn a_client_of_grpc_is_let_in_or_told_why_not() {
    for protocol in [Protocol::Http, Protocol::Grpc] {
        let (realm, asked) = listening(Realm::issuing());
        let realm = realm.with_policy(POLICY);
        realm.with_alice_and_demo();
        let mut issuer = Issuer::start(&realm);
        let login = issuer.log_in();
        let token = text(&login, "access_token");
        let app = App::start();
        let asked = if protocol == Protocol::Http { issuer.gate.address } else { asked };
        let to = format!("port_value: {}", issuer.grpc.port());
        let edits = [(1, "port_value: 8095", to.as_str())];
        let Some(envoy) = Envoy::start(protocol, asked, app.address, &edits) else { return };
        app.take();

        let ask = |token, lists| runtime().block_on(call(envoy.address, token, lists));
        let (code, said) = ask(None, false);
        assert_eq!(code, Code::Unauthenticated, "{protocol:?}: {said}");
        assert!(said.contains("No credentials were sent"), "{protocol:?}: {said}");
        assert_eq!(ask(Some("rubbish"), false).0, Code::Unauthenticated, "{protocol:?}");
        assert_eq!(ask(Some(token), false), (Code::Ok, String::new()), "{protocol:?}");
        let (code, said) = ask(Some(token), true);
        assert_eq!(code, Code::PermissionDenied, "{protocol:?}: {said}");
        assert!(said.contains("role"), "{protocol:?}: {said}");

        issuer.gate.kill();
        assert_eq!(ask(Some(token), false).0, Code::Unavailable, "{protocol:?}");
        assert_eq!(app.take().len(), 0, "{protocol:?}: reached the app");
    }
}
