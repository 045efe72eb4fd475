//! Envoy `ext_authz` over HTTP.
//!
//! Envoy asks with the client's method and host, and appends the client's path and query to the
//! operator's `path_prefix`. So the query is the client's, and no demand is read from it. It takes
//! 200 for a yes and hands any other answer to the client, but a 5xx, which is its own 403.

use super::{Demands, Gateway};
use crate::gate::client_certificate::CertificateForm;
use crate::gate::metrics::EntryPoint;
use crate::policy::canonical::headers;

pub(super) static GATEWAY: Gateway = Gateway {
    name: "envoy",
    entry_point: EntryPoint::Envoy,
    family: &headers::ENVOY,
    demands: Demands::Path,
    certificate: CertificateForm::Xfcc,
    appends_path: true,
    shows_answer: true,
};
