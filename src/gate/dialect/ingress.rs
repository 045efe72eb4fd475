//! ingress-nginx, by `nginx.ingress.kubernetes.io/auth-url`, and what took over its annotations.
//!
//! It asks as nginx does, and tells the whole address of the client's request in one header,
//! `X-Original-URL`. With `auth-keepalive` it takes 200 for a yes and nothing else.

use super::{Demands, Gateway};
use crate::gate::client_certificate::CertificateForm;
use crate::gate::metrics::EntryPoint;
use crate::policy::canonical::headers;

pub(super) static GATEWAY: Gateway = Gateway {
    name: "ingress",
    entry_point: EntryPoint::Ingress,
    family: &headers::INGRESS,
    demands: Demands::Query,
    certificate: CertificateForm::EscapedPem,
    appends_path: false,
    shows_answer: false,
};
