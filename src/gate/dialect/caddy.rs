//! Caddy `forward_auth`.
//!
//! Caddy asks with a GET that carries the client's headers and its own `X-Forwarded-*`, and hands
//! any answer but 2xx to the client as it is. It keeps the client's query on the question unless
//! its `uri` has a question mark, so the query is not read.

use super::{Demands, Gateway};
use crate::gate::client_certificate::CertificateForm;
use crate::gate::metrics::EntryPoint;
use crate::policy::canonical::headers;

pub(super) static GATEWAY: Gateway = Gateway {
    name: "caddy",
    entry_point: EntryPoint::Caddy,
    family: &headers::FORWARDED,
    demands: Demands::Path,
    certificate: CertificateForm::Der,
    appends_path: false,
    shows_answer: true,
};
