//! TLS, health, reflection, limits and the drain.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use portcullis::issuer::grpc::generated::v1::token_service_client::TokenServiceClient;
use portcullis::issuer::grpc::generated::v1::{RefreshRequest, ValidateRequest};
use portcullis::issuer::grpc::{GrpcConfig, GrpcError, TlsConfig};
use portcullis::secret::Secret;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tonic::codegen::tokio_stream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use tonic_reflection::pb::{v1, v1alpha};

use super::{FaultyLimitStore, SILENT, Server};
use crate::support::PATIENCE;
use crate::support::issuance::Fixture;

const SERVICES: [&str; 2] = ["portcullis.v1.TokenService", "refresh.RefreshService"];

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed")
}

fn pem(authority: &Authority) -> String {
    authority.as_ref().pem()
}

/// A certificate and its key, in PEM.
fn certified(authority: &Authority) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, authority).expect("signed");
    (certificate.pem(), key.serialize_pem())
}

fn tls(authority: &Authority, client_ca: Option<&Authority>) -> TlsConfig {
    let (certificate, key) = certified(authority);
    TlsConfig {
        certificate: certificate.into(),
        key: Secret::new(key),
        client_ca: client_ca.map(|authority| pem(authority).into()),
    }
}

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
    let (servers, clients, strangers) = (authority(), authority(), authority());
    let config = GrpcConfig { tls: Some(tls(&servers, Some(&clients))), ..GrpcConfig::default() };
    let server = Server::start_with(&fixture, config, PATIENCE).await;
    let trusting = || ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem(&servers)));
    let with = |authority| {
        let (certificate, key) = certified(authority);
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
    let servers = authority();
    let config = GrpcConfig { tls: Some(tls(&servers, None)), ..GrpcConfig::default() };
    let server = Server::start_with(&fixture, config, PATIENCE).await;
    let trusting = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem(&servers)));
    call(&server, trusting).await.expect("an encrypted answer");
}

#[test]
fn certificates_that_cannot_be_used_are_told_before_anything_is_bound() {
    let ours = authority();
    let good = tls(&ours, Some(&ours));
    assert!(good.check().is_ok());
    for bad in [
        TlsConfig { certificate: b"rubbish".to_vec(), ..good.clone() },
        TlsConfig { key: Secret::new("rubbish"), ..good.clone() },
        TlsConfig { key: tls(&ours, None).key, ..good.clone() },
        TlsConfig { client_ca: Some(b"rubbish".to_vec()), ..good.clone() },
    ] {
        assert!(matches!(bad.check(), Err(GrpcError::Tls(_))), "{bad:?}");
    }
    assert!(!format!("{good:?}").contains("PRIVATE"));
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
    server.stop().await.expect("a drain");
    let last = watched.message().await.expect("no error").expect("a status");
    assert_eq!(last.status(), ServingStatus::NotServing);
    assert!(watched.message().await.expect("no error").is_none(), "the stream ends");
}

#[tokio::test]
async fn a_drain_waits_for_a_call_under_way_and_cuts_it_after_the_grace() {
    let store = Arc::new(FaultyLimitStore::default());
    let fixture = Fixture::new(|setup| setup.limits = store.clone()).await;
    let grace = Duration::from_millis(200);
    let server = Server::start_with(&fixture, GrpcConfig::default(), grace).await;
    let address = server.address;
    let mut client = server.tokens().await;
    store.set(SILENT);
    let refresh_token = "rubbish".to_owned();
    let request = RefreshRequest { refresh_token, ..RefreshRequest::default() };
    let calling = tokio::spawn(async move { client.refresh(request).await });
    store.asked.notified().await;
    let began = std::time::Instant::now();
    server.stop().await.expect("an end");
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
