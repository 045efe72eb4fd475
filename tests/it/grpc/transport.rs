//! TLS, health, reflection, limits and the drain.

use std::collections::BTreeSet;
use std::time::Duration;

use portcullis::issuer::grpc::generated::v1::token_service_client::TokenServiceClient;
use portcullis::issuer::grpc::generated::v1::{RefreshRequest, ValidateRequest};
use tonic::codegen::tokio_stream::{self, StreamExt as _};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use tonic_reflection::pb::{v1, v1alpha};

use super::Server;
use crate::support::PATIENCE;
use crate::support::certificates::{Authority, Certificates};
use crate::support::issuance::Fixture;

const SERVICES: [&str; 2] = ["portcullis.v1.TokenService", "refresh.RefreshService"];

/// One call over TLS; a handshake may be refused only when something is read.
async fn call(server: &Server, tls: ClientTlsConfig) -> Result<(), String> {
    let url = format!("https://{}", server.address);
    let endpoint = Endpoint::from_shared(url).expect("a URL");
    let endpoint = endpoint.tls_config(tls.domain_name("localhost")).expect("TLS");
    let channel = endpoint.connect().await.map_err(|error| format!("{error:?}"))?;
    validate_rubbish(channel).await.map_err(|status| format!("{status:?}"))
}

async fn validate_rubbish(channel: Channel) -> Result<(), Status> {
    let token = "rubbish".to_owned();
    let request = ValidateRequest { token, required_scopes: Vec::new() };
    TokenServiceClient::new(channel).validate(request).await.map(drop)
}

#[tokio::test]
async fn with_mutual_tls_only_those_with_a_certificate_are_let_in() {
    let fixture = Fixture::usual().await;
    let (clients, strangers) = (Authority::new(), Authority::new());
    let certificates = Certificates::new(Authority::new(), Some(&clients));
    let server = Server::start_with(&fixture, Some(certificates.open()), PATIENCE).await;
    let trusting =
        || ClientTlsConfig::new().ca_certificate(Certificate::from_pem(certificates.servers.pem()));
    let with = |authority: &Authority| {
        let (certificate, key) = authority.issue();
        trusting().identity(Identity::from_pem(certificate, key))
    };
    call(&server, with(&clients)).await.expect("a certificate of theirs");
    call(&server, trusting()).await.expect_err("no certificate");
    call(&server, with(&strangers)).await.expect_err("a stranger's certificate");
    let plain = Endpoint::from_shared(format!("http://{}", server.address)).expect("a URL");
    let answer = match plain.connect().await {
        Ok(channel) => validate_rubbish(channel).await.map_err(drop),
        Err(_) => Err(()),
    };
    assert_eq!(answer, Err(()), "without TLS nothing is answered");
}

#[tokio::test]
async fn with_tls_alone_nobody_needs_a_certificate() {
    let fixture = Fixture::usual().await;
    let certificates = Certificates::new(Authority::new(), None);
    let server = Server::start_with(&fixture, Some(certificates.open()), PATIENCE).await;
    let trusting =
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(certificates.servers.pem()));
    call(&server, trusting).await.expect("an encrypted answer");
}

#[tokio::test]
async fn both_versions_of_reflection_list_the_services_and_know_their_files() {
    let fixture = Fixture::usual().await;
    let server = Server::start(&fixture).await;
    let channel = server.channel().await;
    let mut listed = Vec::new();

    use v1::server_reflection_request::MessageRequest;
    use v1::server_reflection_response::MessageResponse;
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let asked = [
        MessageRequest::ListServices(String::new()),
        MessageRequest::FileContainingSymbol(SERVICES[0].to_owned()),
        MessageRequest::FileByFilename("google/protobuf/struct.proto".to_owned()),
    ];
    let requests = asked.map(|asked| v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(asked),
    });
    let answers = client.server_reflection_info(tokio_stream::iter(requests)).await;
    let mut answers = answers.expect("a stream").into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) = next(&mut answers).await else {
        panic!("a list of services");
    };
    listed.push(list.service.into_iter().map(|service| service.name).collect::<BTreeSet<_>>());
    for _ in 0..2 {
        let file = next(&mut answers).await;
        assert!(matches!(file, Some(MessageResponse::FileDescriptorResponse(_))), "{file:?}");
    }

    use v1alpha::server_reflection_response::MessageResponse as OldResponse;
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let answers = client.server_reflection_info(tokio_stream::once(request)).await;
    let answer = answers.expect("a stream").into_inner().message().await.expect("no error");
    let Some(OldResponse::ListServicesResponse(list)) = answer.expect("one").message_response
    else {
        panic!("a list of services");
    };
    listed.push(list.service.into_iter().map(|service| service.name).collect());

    for names in listed {
        for service in SERVICES.into_iter().chain(["grpc.health.v1.Health"]) {
            assert!(names.contains(service), "{service} is not among {names:?}");
        }
    }
}

async fn next(
    answers: &mut tonic::Streaming<v1::ServerReflectionResponse>,
) -> Option<v1::server_reflection_response::MessageResponse> {
    answers.message().await.expect("no error").expect("an answer").message_response
}

#[tokio::test]
async fn health_is_told_and_the_drain_ends_who_watches_it() {
    let fixture = Fixture::usual().await;
    let server = Server::start(&fixture).await;
    let mut client = HealthClient::new(server.channel().await);
    for service in SERVICES.into_iter().chain([""]) {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = client.check(request).await.expect("a known service");
        assert_eq!(answer.get_ref().status(), ServingStatus::Serving, "{service}");
    }
    let unknown = client.check(HealthCheckRequest { service: "unknown".to_owned() }).await;
    assert_eq!(unknown.expect_err("no such service").code(), Code::NotFound);

    let request = HealthCheckRequest { service: SERVICES[0].to_owned() };
    let mut watched = client.watch(request).await.expect("a stream").into_inner();
    let first = watched.message().await.expect("no error").expect("a status");
    assert_eq!(first.status(), ServingStatus::Serving);
    assert_eq!(server.stop().await.aborted, 0);
    let last = watched.message().await.expect("no error").expect("a status");
    assert_eq!(last.status(), ServingStatus::NotServing);
    assert!(watched.message().await.expect("no error").is_none(), "the stream ends");
}

#[tokio::test]
async fn the_drain_ends_who_asks_reflection() {
    use v1::server_reflection_request::MessageRequest;
    let fixture = Fixture::usual().await;
    let server = Server::start(&fixture).await;
    let channel = server.channel().await;
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel);
    let first = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    // As an interactive client does: more questions may come.
    let asked = tokio_stream::once(first).chain(tokio_stream::pending());
    let answers = client.server_reflection_info(asked).await.expect("a stream");
    let mut answers = answers.into_inner();
    assert!(next(&mut answers).await.is_some());
    assert_eq!(server.stop().await.aborted, 0);
    assert!(answers.message().await.expect("no error").is_none(), "the stream ends");
}

#[tokio::test]
async fn a_drain_waits_for_a_call_under_way_and_cuts_it_after_the_grace() {
    let fixture = Fixture::usual().await;
    let grace = Duration::from_millis(200);
    let server = Server::start_with(&fixture, None, grace).await;
    let address = server.address;
    let mut client = server.tokens().await;
    fixture.faults.hold("records.");
    let refresh_token = "rubbish".to_owned();
    let request = RefreshRequest { refresh_token, ..RefreshRequest::default() };
    let calling = tokio::spawn(async move { client.refresh(request).await });
    fixture.faults.held().await;
    let began = std::time::Instant::now();
    assert_eq!(server.stop().await.aborted, 1);
    assert!(began.elapsed() >= grace, "it waited");
    let status = calling.await.expect("no panic").expect_err("it was cut");
    assert!(
        matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled),
        "{status:?}"
    );
    tokio::net::TcpStream::connect(address).await.expect_err("nobody listens any more");
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused() {
    let fixture = Fixture::usual().await;
    let server = Server::start(&fixture).await;
    let mut client = server.tokens().await;
    let request = |bytes| ValidateRequest { token: "x".repeat(bytes), required_scopes: Vec::new() };
    client.validate(request(60 * 1024)).await.expect("rubbish, but not too large");
    let status = client.validate(request(70 * 1024)).await.expect_err("too large");
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
}
