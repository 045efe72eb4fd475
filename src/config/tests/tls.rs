//! The TLS of listeners: whole pairs that can be used, or a mistake that says what to do.

use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::server::TlsFiles;

const PREFIXES: [&str; 6] = ["LISTEN", "EXT_AUTHZ", "METRICS", "ISSUER", "INTERNAL", "GRPC"];

/// A folder with a certificate, its key, and the key of another.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let files = [
        ("cert.pem", certificate),
        ("key.pem", key.serialize_pem()),
        ("other.pem", other.serialize_pem()),
    ];
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

#[test]
fn every_listener_has_tls_of_its_own() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name).display().to_string();
    for prefix in PREFIXES {
        let names = ["CERT", "KEY", "CLIENT_CA"].map(|part| format!("{prefix}_TLS_{part}_FILE"));
        let files = [path("cert.pem"), path("key.pem"), path("cert.pem")];
        let mut values = vec![("SECRET_KEY", SECRET), ("AUTHORIZATION_SERVER", "true")];
        values.extend(names.iter().zip(&files).map(|(name, file)| (name.as_str(), file.as_str())));
        let config = from_environment(&values).unwrap();
        let issuance = config.issuance.as_ref().unwrap();
        let found = match prefix {
            "LISTEN" => &config.gate.listen,
            "EXT_AUTHZ" => &config.gate.ext_authz,
            "METRICS" => &config.metrics_listen,
            "ISSUER" => &issuance.listen,
            "INTERNAL" => &issuance.internal,
            _ => &issuance.grpc,
        };
        let [certificate, key, client_ca] = files.map(Into::into);
        let expected = TlsFiles { certificate, key, client_ca: Some(client_ca) };
        assert_eq!(found.tls, Some(expected), "{prefix}");
        let web = &issuance.web;
        let known_as = if prefix == "ISSUER" { "https://" } else { "http://" };
        assert!(web.public_url.starts_with(known_as), "{}", web.public_url);
        for (of, scheme) in [("INTERNAL", web.internal_scheme), ("LISTEN", web.gate_scheme)] {
            assert_eq!(scheme, if prefix == of { "https" } else { "http" }, "{of} of {prefix}");
        }
    }
}

#[test]
fn half_of_a_pair_and_files_that_do_not_fit_are_refused() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (certificate, key, other, gone) =
        (path("cert.pem"), path("key.pem"), path("other.pem"), path("gone.pem"));
    let (of_certificate, of_key, of_clients) =
        ("LISTEN_TLS_CERT_FILE", "LISTEN_TLS_KEY_FILE", "LISTEN_TLS_CLIENT_CA_FILE");
    let cases: [(&[(&str, &str)], &str); 6] = [
        (&[(of_certificate, &certificate)], "set LISTEN_TLS_KEY_FILE too"),
        (&[(of_key, &key)], "set LISTEN_TLS_CERT_FILE too"),
        (&[(of_clients, &certificate)], "needs LISTEN_TLS_CERT_FILE and LISTEN_TLS_KEY_FILE too"),
        (&[(of_certificate, &certificate), (of_key, &other)], "must be of one pair"),
        (&[(of_certificate, &gone), (of_key, &key)], "there is no such file"),
        (
            &[(of_certificate, &certificate), (of_key, &key), (of_clients, &key)],
            "it holds no certificate in PEM",
        ),
    ];
    for (values, expected) in cases {
        let told = mistake(&[&[("SECRET_KEY", SECRET)], values].concat());
        assert!(told.contains(expected), "{values:?}: {told}");
        assert!(values.iter().any(|(name, _)| told.contains(name)), "{told}");
    }
}

#[test]
fn files_are_tried_for_those_alone_who_listen() {
    let gone = [
        ("SECRET_KEY", SECRET),
        ("LISTEN_TLS_CERT_FILE", "/gone"),
        ("LISTEN_TLS_KEY_FILE", "/gone"),
    ];
    let sources = Sources { environment: pairs(&gone), ..Sources::default() };
    for load in [Config::load, Config::load_dev] {
        let told = load(&sources).expect_err("it would listen").to_string();
        assert!(told.contains("there is no such file"), "{told}");
    }
    assert!(Config::load_for_command(&sources).is_ok());
}

#[test]
fn a_gate_that_asks_for_certificates_beside_an_issuer_that_does_not_is_told() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let issuer = [("AUTHORIZATION_SERVER", "true"), ("ISSUER_LISTEN", "0.0.0.0:0")];
    let tls = [
        ("LISTEN_TLS_CERT_FILE", certificate.as_str()),
        ("LISTEN_TLS_KEY_FILE", key.as_str()),
        ("LISTEN_TLS_CLIENT_CA_FILE", certificate.as_str()),
        ("ISSUER_TLS_CERT_FILE", certificate.as_str()),
        ("ISSUER_TLS_KEY_FILE", key.as_str()),
    ];
    let base = [&issuer[..], &tls].concat();
    let cases: [(&[(&str, &str)], bool); 5] = [
        (&[], true),
        (&[("ISSUER_LISTEN", "127.0.0.1:0")], false),
        (&[("ISSUER_TLS_CLIENT_CA_FILE", &certificate)], false),
        (&[("DISABLE_EXTERNAL_API", "true")], false),
        (&[("LISTEN_TLS_CLIENT_CA_FILE", "")], false),
    ];
    for (values, is_told) in cases {
        let warnings = with_secret(&[&base[..], values].concat()).unwrap().warnings;
        let found = warnings.iter().any(|line| line.contains("does not guard the issuer"));
        assert_eq!(found, is_told, "{values:?}: {warnings:?}");
    }
}

#[test]
fn grpc_that_others_reach_needs_tls() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let open = [("SECRET_KEY", SECRET), ("GRPC_LISTEN", "0.0.0.0:0")];
    assert!(mistake(&open).contains("can be reached from other hosts"), "in the clear");
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let tls: [(&str, &str); 3] = [
        ("GRPC_TLS_CERT_FILE", &certificate),
        ("GRPC_TLS_KEY_FILE", &key),
        // The name that it had first.
        ("GRPC_CLIENT_CA_FILE", &certificate),
    ];
    assert!(from_environment(&[&open[..], &tls].concat()).is_ok());
}
