//! HAProxy, by a script in Lua that asks for each request.
//!
//! HAProxy tells nothing by itself: its configuration sets the headers, which replace a client's.
//! The script takes 2xx for a yes, and hands any other answer to the client.

use super::{Demands, Gateway};
use crate::gate::client_certificate::CertificateForm;
use crate::gate::metrics::EntryPoint;
use crate::policy::canonical::headers;

pub(super) static GATEWAY: Gateway = Gateway {
    name: "haproxy",
    entry_point: EntryPoint::HaProxy,
    family: &headers::ORIGINAL,
    demands: Demands::Path,
    certificate: CertificateForm::Der,
    appends_path: false,
    shows_answer: true,
};
