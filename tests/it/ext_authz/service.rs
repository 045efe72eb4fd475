//! The service by itself, as a gateway calls it.

use std::collections::HashMap;
use std::net::SocketAddr;

use portcullis::gate::ext_authz::generated::auth::attribute_context::{HttpRequest, Peer, Request};
use portcullis::gate::ext_authz::generated::auth::authorization_client::AuthorizationClient;
use portcullis::gate::ext_authz::generated::auth::check_response::HttpResponse;
use portcullis::gate::ext_authz::generated::auth::{AttributeContext, CheckRequest, CheckResponse};
use portcullis::gate::ext_authz::generated::config::{Address, SocketAddress, address};
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::listening;
use crate::support::{
    certificates::{Authority, Certificates},
    gate::Gate,
    h2c,
    realm::Realm,
    topology::runtime,
};

const SECRET: &str = "the-secret-of-the-gateway-in-32-bytes";

/// A question about GET with these headers.
fn question(headers: &[(&str, &str)]) -> CheckRequest {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let http = HttpRequest {
        method: "GET".to_owned(),
        path: "/".to_owned(),
        host: "app.test".to_owned(),
        headers: headers.collect::<HashMap<_, _>>(),
        ..HttpRequest::default()
    };
    let request = Some(Request { http: Some(http) });
    let attributes = AttributeContext { request, ..AttributeContext::default() };
    CheckRequest { attributes: Some(attributes) }
}

async fn connect(address: SocketAddr) -> AuthorizationClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URL");
    AuthorizationClient::new(endpoint.connect().await.expect("a connection"))
}

/// One call with these values of the secret among its metadata.
async fn ask(
    address: SocketAddr,
    secrets: &[&str],
    question: CheckRequest,
) -> Result<CheckResponse, tonic::Status> {
    let mut call = tonic::Request::new(question);
    for secret in secrets {
        call.metadata_mut().append("x-portcullis-gateway", secret.parse().expect("ASCII"));
    }
    let answer = connect(address).await.check(call).await?;
    Ok(answer.into_inner())
}

/// The status of gRPC, and the code that it came with.
fn status(answer: &CheckResponse) -> (i32, &str) {
    let status = answer.status.as_ref().expect("a status");
    (status.code, status.message.as_str())
}

fn start(realm: Realm) -> (Realm, Gate, SocketAddr) {
    let (realm, address) = listening(realm);
    let gate = realm.gate();
    (realm, gate, address)
}

#[test]
fn a_gateway_proves_itself_by_metadata_and_no_client_by_a_header() {
    let (realm, gate, address) = start(Realm::new().with("GATEWAY_SECRET", SECRET));
    let token = format!("Bearer {}", realm.mint("alice", &[]));
    let good = [("authorization", token.as_str())];
    let claimed = [good[0], ("x-portcullis-gateway", SECRET)];
    runtime().block_on(async {
        for (secrets, headers) in [
            (&[][..], &good[..]),
            (&[], &claimed),
            (&["another-secret-of-the-gateway-32-bytes"], &claimed),
            (&[SECRET, SECRET], &claimed),
        ] {
            let answer = ask(address, secrets, question(headers)).await.expect("an answer");
            assert_eq!(status(&answer), (Code::PermissionDenied as i32, "unknown_gateway"));
        }
        let answer = ask(address, &[SECRET], question(&good)).await.expect("an answer");
        assert_eq!(status(&answer), (0, ""));
        assert!(matches!(answer.http_response, Some(HttpResponse::OkResponse(_))));
    });
    assert_eq!(
        gate.counter(
            "portcullis_requests_total",
            &[("entry_point", "ext_authz"), ("code", "unknown_gateway")]
        ),
        4.0
    );
    assert_eq!(
        gate.counter("portcullis_requests_total", &[("entry_point", "ext_authz"), ("code", "ok")]),
        1.0
    );
    assert!(!gate.log().contains(SECRET));
    gate.wait_for_log(&format!("listener=\"ext_authz\" addresses=\"{address}\""));
}

#[test]
fn what_is_no_question_is_denied_and_what_is_no_call_is_refused() {
    let (realm, _gate, address) = start(Realm::new());
    let token = format!("Bearer {}", realm.mint("alice", &[]));
    let good = ("authorization", token.as_str());
    runtime().block_on(async {
        let denied = ask(address, &[], CheckRequest::default()).await.expect("an answer");
        assert_eq!(status(&denied), (Code::PermissionDenied as i32, "ambiguous_request"));
        let missing = ask(address, &[], question(&[])).await.expect("an answer");
        assert_eq!(status(&missing), (Code::Unauthenticated as i32, "missing_credentials"));

        let large = "x".repeat(900 << 10);
        let answer = ask(address, &[], question(&[good, ("x-large", &large)])).await;
        assert_eq!(status(&answer.expect("not too large")), (0, ""));
        let huge = "x".repeat(1_100 << 10);
        let answer = ask(address, &[], question(&[good, ("x-large", &huge)])).await;
        assert_eq!(answer.expect_err("too large").code(), Code::OutOfRange);
    });
    let (status, _) = h2c::get(address, "/validate_request", &[good]);
    assert_eq!(status, 415);
}

/// A denial names the request that it is about, also where the question is refused or nobody proved to be a gateway.
#[test]
fn what_is_refused_keeps_its_id_its_line_and_its_words() {
    let (_realm, gate, address) = start(Realm::new().with("GATEWAY_SECRET", SECRET));
    let headers = [("x-request-id", "id-of-a-call"), ("content-type", "application/grpc")];
    let disagreeing = [&headers[..], &[(":authority", "admin.test")]].concat();
    runtime().block_on(async {
        for (secrets, headers) in [(&[SECRET][..], &disagreeing[..]), (&[], &headers)] {
            let answer = ask(address, secrets, question(headers)).await.expect("an answer");
            assert_eq!(status(&answer).0, Code::PermissionDenied as i32);
            let Some(HttpResponse::DeniedResponse(denied)) = answer.http_response else {
                panic!("denied")
            };
            let is_there = |name: &str, value: &str| {
                let mut headers = denied.headers.iter().filter_map(|option| option.header.as_ref());
                headers.any(|header| header.key == name && header.value == value)
            };
            assert!(is_there("x-request-id", "id-of-a-call"), "{denied:?}");
            assert!(is_there("content-type", "application/grpc"), "{denied:?}");
        }
    });
    gate.wait_for_log("code=\"unknown_gateway\"");
    let log = gate.log();
    let about = |line: &&str| line.contains("id-of-a-call") && line.contains("host=\"app.test\"");
    assert_eq!(log.lines().filter(about).count(), 2, "{log}");
}

/// Whoever is no known gateway could name any address.
#[test]
fn a_gateways_peer_is_believed_of_a_known_gateway_alone() {
    const POLICY: &str =
        "[[route]]\npath = \"/*\"\nnetworks = [\"192.0.2.0/24\"]\nrequire = \"nothing\"\n";
    let (denied, allowed) = ((Code::PermissionDenied as i32, "ambiguous_request"), (0, ""));
    for (proxies, secret, expected) in [
        ("off", "", denied),
        ("10.0.0.0/8", "", denied),
        ("127.0.0.0/8", "", allowed),
        ("off", SECRET, allowed),
    ] {
        let realm = Realm::new().with("TRUSTED_PROXIES", proxies).with("GATEWAY_SECRET", secret);
        let realm = realm.with_policy(POLICY);
        let (_realm, gate, address) = start(realm);
        let mut question = question(&[("x-forwarded-proto", "https")]);
        let socket = SocketAddress { address: "192.0.2.7".to_owned(), port_specifier: None };
        let source = Address { address: Some(address::Address::SocketAddress(socket)) };
        let attributes = question.attributes.as_mut().expect("attributes");
        attributes.source = Some(Peer { address: Some(source), ..Peer::default() });
        let answer = runtime().block_on(ask(address, &[SECRET], question)).expect("an answer");
        assert_eq!(status(&answer), expected, "{proxies} {secret}");
        if expected == denied {
            gate.wait_for_log("client=127.0.0.1");
        }
    }
}

#[test]
fn a_client_of_grpc_is_denied_in_its_own_words() {
    let (_realm, _gate, address) = start(Realm::new());
    let call = question(&[("content-type", "application/grpc")]);
    let answer = runtime().block_on(ask(address, &[], call)).expect("an answer");
    let Some(HttpResponse::DeniedResponse(denied)) = answer.http_response else { panic!("denied") };
    assert_eq!(denied.status.expect("a status").code, 200);
    let headers: HashMap<_, _> = denied
        .headers
        .into_iter()
        .filter_map(|option| option.header)
        .map(|header| (header.key, header.value))
        .collect();
    assert_eq!(headers["grpc-status"], "16");
    assert_eq!(headers["grpc-message"], "No credentials were sent");
    assert_eq!(headers["content-type"], "application/grpc");
    assert!(headers["www-authenticate"].starts_with("Bearer"), "{headers:?}");
}

#[test]
fn a_certificate_proves_a_gateway_and_without_one_nobody_is_heard() {
    let certificates = Certificates::new(Authority::new(), Some(&Authority::new()));
    let files =
        [("CERT", "server.pem"), ("KEY", "server-key.pem"), ("CLIENT_CA", "clients-ca.pem")];
    let realm = Realm::new().with("GATEWAY_SECRET", SECRET);
    let realm = files.into_iter().fold(realm, |realm, (part, file)| {
        let path = certificates.path(file).display().to_string();
        realm.with(&format!("EXT_AUTHZ_TLS_{part}_FILE"), &path)
    });
    let (realm, _gate, address) = start(realm);
    let token = format!("Bearer {}", realm.mint("alice", &[]));
    let trusting =
        || ClientTlsConfig::new().ca_certificate(Certificate::from_pem(certificates.servers.pem()));
    let read = |file| std::fs::read(certificates.path(file)).expect("a file");
    let certified =
        trusting().identity(Identity::from_pem(read("client.pem"), read("client-key.pem")));
    let ask = async |tls: ClientTlsConfig| {
        let endpoint = Endpoint::from_shared(format!("https://{address}")).expect("a URL");
        let endpoint = endpoint.tls_config(tls.domain_name("localhost")).expect("TLS");
        let channel = endpoint.connect().await.map_err(|error| format!("{error:?}"))?;
        let question = question(&[("authorization", &token)]);
        let answer = AuthorizationClient::new(channel).check(question).await;
        let answer = answer.map_err(|status| format!("{status:?}"))?.into_inner();
        Ok::<_, String>(status(&answer).0)
    };
    runtime().block_on(async {
        assert_eq!(ask(certified).await, Ok(0));
        ask(trusting()).await.expect_err("no certificate");
    });
}
