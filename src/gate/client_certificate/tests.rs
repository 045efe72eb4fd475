//! Forms of certificates, as real gateways write them: each value here was recorded from one.

use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair};

use super::*;

const FORMS: [CertificateForm; 4] = [
    CertificateForm::EscapedPem,
    CertificateForm::Der,
    CertificateForm::DerChain,
    CertificateForm::Xfcc,
];
const BAD: Result<Option<Thumbprint>, DenialCode> = Err(DenialCode::BadClientCertificate);

/// A certificate in PEM and in DER.
fn certificate() -> (String, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), certificate.der().to_vec())
}

fn escaped(pem: &str) -> String {
    utf8_percent_encode(pem, NON_ALPHANUMERIC).to_string()
}

#[test]
fn each_gateways_form_has_the_thumbprint_of_the_same_certificate() {
    let (pem, der) = certificate();
    let (thumbprint, base64) = (Thumbprint::of(&der), STANDARD.encode(&der));
    let hex = thumbprint.to_string();
    for (form, text) in [
        (CertificateForm::EscapedPem, escaped(&pem)),
        (CertificateForm::Der, base64.clone()),
        (CertificateForm::Der, format!(":{base64}:")),
        (CertificateForm::Der, base64.trim_end_matches('=').to_owned()),
        (CertificateForm::DerChain, base64.clone()),
        (CertificateForm::DerChain, format!("{base64},{}", STANDARD.encode(certificate().1))),
        (CertificateForm::Xfcc, format!("Hash={hex}")),
        (
            CertificateForm::Xfcc,
            format!(
                "By=spiffe://a;Hash={hex};Cert=\"{}\";Subject=\"CN=x,O=\\\"y\\\";\";URI=",
                escaped(&pem)
            ),
        ),
    ] {
        assert_eq!(form.parse(&text), Ok(Some(thumbprint)), "{form:?} {text}");
    }
}

#[test]
fn what_holds_no_certificate_or_two_is_refused() {
    let (pem, der) = certificate();
    let (base64, hex) = (STANDARD.encode(&der), Thumbprint::of(&der).to_string());
    let key = escaped(&KeyPair::generate().unwrap().serialize_pem());
    for (form, text) in [
        (CertificateForm::EscapedPem, escaped(&format!("{pem}{pem}"))),
        (CertificateForm::EscapedPem, format!("{},{}", escaped(&pem), escaped(&pem))),
        (CertificateForm::EscapedPem, key),
        (CertificateForm::EscapedPem, base64.clone()),
        (CertificateForm::Der, escaped(&pem)),
        (CertificateForm::Der, format!("{base64},{base64}")),
        (CertificateForm::Der, format!(":{base64}")),
        (CertificateForm::Der, format!(":{base64}:, :{base64}:")),
        (CertificateForm::Der, STANDARD.encode("no certificate")),
        (CertificateForm::DerChain, format!("{base64},")),
        (CertificateForm::DerChain, format!(",{base64}")),
        (CertificateForm::DerChain, format!("{base64},rubbish")),
        (CertificateForm::Xfcc, format!("Hash={hex},Hash={hex}")),
        (CertificateForm::Xfcc, format!("Hash={hex};Hash={hex}")),
        (CertificateForm::Xfcc, format!("By=spiffe://a;Cert=\"{}\"", escaped(&pem))),
        (CertificateForm::Xfcc, "Subject=\"\"".to_owned()),
        (CertificateForm::Xfcc, hex.clone()),
        // What a client wrote, with what an Envoy that appends put behind it.
        (CertificateForm::Xfcc, format!("Hash={hex};Subject=\",Hash={hex};Subject=\"CN=x\"")),
        (CertificateForm::Xfcc, format!("Hash={hex};Subject=\",Hash={hex}")),
        (CertificateForm::Xfcc, format!("Hash={hex};Subject=\"\",Hash={hex};Subject=\"\"")),
    ] {
        assert_eq!(form.parse(&text), BAD, "{form:?} {text}");
    }
}

#[test]
fn two_lines_are_refused_and_an_empty_one_shows_nothing() {
    let name = HeaderName::from_static("client-cert");
    let base64 = STANDARD.encode(certificate().1);
    let read = |values: &[&[u8]]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&name, HeaderValue::from_bytes(value).unwrap());
        }
        CertificateForm::Der.read((&headers).into(), &name)
    };
    let good = base64.as_bytes();
    assert!(read(&[good]).is_ok_and(|found| found.is_some()));
    assert_eq!((read(&[]), read(&[b""]), read(&[b"::"])), (Ok(None), Ok(None), Ok(None)));
    for values in [&[good, good][..], &[good, b""], &[b"", good], &[b"\xff"]] {
        assert_eq!(read(values), BAD);
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_form_panic_or_shows_a_certificate(text in "\\PC{0,80}|[A-Za-z=\";,:%0-9]{0,80}") {
        for form in FORMS {
            let read = form.parse(&text);
            // No short text is one; a hash alone is 64 digits.
            prop_assert!(text.len() >= 64 || read == BAD || (text.is_empty() && read == Ok(None)));
        }
    }
}
