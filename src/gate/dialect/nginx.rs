//! nginx `auth_request`.
//!
//! nginx asks with a GET that carries the client's headers, and reads nothing but the status and
//! the headers of the answer. It understands 2xx, 401 and 403. Anything else becomes a 500 at the
//! client, and a 503 of ours is meant to: closed, and visible to the operator.
//!
//! It tells nothing by itself: the operator sets each header, and none may be left to the client.

use super::{Demands, Gateway};
use crate::gate::client_certificate::CertificateForm;
use crate::gate::metrics::EntryPoint;
use crate::policy::canonical::headers;

pub(super) static GATEWAY: Gateway = Gateway {
    name: "nginx",
    entry_point: EntryPoint::Nginx,
    family: &headers::ORIGINAL,
    demands: Demands::Query,
    certificate: CertificateForm::EscapedPem,
    appends_path: false,
    shows_answer: false,
};
