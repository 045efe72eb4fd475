//! The heads of requests: those that were let pass are let pass again before they are parsed, as the hot loop has it.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use http::{HeaderMap, HeaderValue, StatusCode, header::AUTHORIZATION};
use portcullis::{
    clock::Clock,
    gate::{
        DenialConfig, Gate,
        cached_decision::DecisionCache,
        credential::Cookies,
        gateway_proof::{GatewayProof, Peer},
        metrics::GateMetrics,
        open::OpenPaths,
        service::{AccessLog, GateService, ServiceConfig},
    },
    secret::{SystemRandom, fingerprint::Fingerprint, pseudonym::Pseudonyms},
    store::invalidation::{DeliveryMode, InvalidationState},
    token::SigningRing,
    wire::{fields::Fields, networks::Networks, request_head::RequestHead, whole_head::WholeHead},
};

use super::process::KEY;

/// The address at which nginx asks.
const PATH: &str = "/validate_request";
/// A gateway on a unix socket.
const PEER: Peer = Peer { address: None, is_certified: false, connection: 0 };

/// The gate over HTTP, by the default settings.
#[derive(Debug)]
pub struct Heads {
    service: GateService,
    /// The credentials that were let pass, where they pass for ever by mistake.
    kept: Option<Mutex<HashSet<String>>>,
}

impl Heads {
    pub fn new(
        decisions: &Arc<DecisionCache>,
        clock: Arc<dyn Clock>,
        metrics: GateMetrics,
        keeps: bool,
    ) -> Self {
        let gate = Gate::new(Arc::clone(decisions), Cookies::default());
        let config = ServiceConfig {
            denial_config: DenialConfig {
                missing_credentials: StatusCode::UNAUTHORIZED,
                realm: "simulation".to_owned(),
                accepts_basic: false,
            },
            prefix: String::new(),
            access_log: AccessLog::Off,
            pseudonyms: Pseudonyms::default(),
            open: OpenPaths::default(),
            gateways: Networks::default(),
            own_keys: Arc::new(SigningRing::fixed(KEY.clone())),
            clock,
            login_page: None,
            proof: GatewayProof::default(),
            client_certificate_header: None,
            invalidation: Arc::new(InvalidationState::new(DeliveryMode::Bound)),
        };
        let service = GateService::new(gate, config, metrics, Arc::new(SystemRandom));
        Self { service, kept: keeps.then(Mutex::default) }
    }

    /// Tells whether a request with this credential is let pass since one like it was before.
    pub fn passes_again(&self, credential: &str) -> bool {
        let is_kept =
            |kept: &Mutex<HashSet<String>>| kept.lock().expect("set").contains(credential);
        let head = self.fingerprint(credential);
        self.service.answer_head_again(head, None, &mut Vec::new())
            || self.kept.as_ref().is_some_and(is_kept)
    }

    /// Judges a request from memory, so that one like it passes again.
    pub fn pass(&self, credential: &str) {
        let bearer = HeaderValue::try_from(format!("Bearer {credential}")).expect("text");
        let fields = HeaderMap::from_iter([(AUTHORIZATION, bearer)]);
        let parsed = RequestHead::new("GET", PATH, Fields::Map(&fields));
        let head = Some(self.fingerprint(credential));
        self.service.answer_head_now(PEER, &parsed, head, &mut Vec::new());
        if let Some(kept) = &self.kept {
            kept.lock().expect("set").insert(credential.to_owned());
        }
    }

    fn fingerprint(&self, credential: &str) -> Fingerprint {
        let head = format!("GET {PATH} HTTP/1.1\r\nAuthorization: Bearer {credential}\r\n\r\n");
        let head = WholeHead::of(head.as_bytes()).expect("a head");
        self.service.head_fingerprint(PEER, &head).expect("a cache of heads")
    }
}
