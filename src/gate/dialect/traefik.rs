//! Traefik `forwardAuth`.
//!
//! Traefik asks with a GET (or the client's method) that carries the client's headers and its own
//! `X-Forwarded-*`, and hands any answer but 2xx to the client as it is: status, headers and body.

use super::{Demands, Gateway};
use crate::gate::client_certificate::CertificateForm;
use crate::gate::metrics::EntryPoint;
use crate::policy::canonical::headers;

pub(super) static GATEWAY: Gateway = Gateway {
    name: "traefik",
    entry_point: EntryPoint::Traefik,
    family: &headers::FORWARDED,
    demands: Demands::Query,
    certificate: CertificateForm::DerChain,
    appends_path: false,
    shows_answer: true,
};
