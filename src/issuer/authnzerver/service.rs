//! The wire over HTTP: `POST /` with a sealed message, `GET /health`, and nothing else.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, Method, Request as HttpRequest, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::answer::Answer;
use super::envelope::{Envelope, Unopened};
use super::limits::RequestLimits;
use super::schema::Request;
use super::{Actions, AuthnzerverConfig, Message};
use crate::clock::Clock;
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::issuer::{Dependencies, Issuance};
use crate::limit::Limits;
use crate::wire::BodyRead;
use crate::wire::body::Bodies;
use crate::wire::json;

/// The wait that authnzerver's clients are told after too many requests.
const WAIT_SECONDS: u64 = 180;
/// The longest request id that comes back, in bytes.
const MAX_REQID_BYTES: usize = 256;

/// The wire as a web service. A clone is the same service.
#[derive(Clone, Debug)]
pub struct AuthnzerverService(Arc<Service>);

#[derive(Debug)]
struct Service {
    issuance: Arc<Issuance>,
    actions: Actions,
    envelope: Envelope,
    limits: Option<RequestLimits>,
    hosts: Vec<String>,
    bodies: Bodies,
    clock: Arc<dyn Clock>,
}

/// The answer to send: a status, a text, and when to come again.
struct Reply {
    status: StatusCode,
    text: String,
    wait: Option<u64>,
}

impl Reply {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), wait: None }
    }

    /// A refusal in the form of authnzerver's.
    fn refused(status: StatusCode, why: &str) -> Self {
        Self::new(status, format!("HTTP {}: {why}", status.as_u16()))
    }
}

impl From<Unopened> for Reply {
    fn from(unopened: Unopened) -> Self {
        match unopened {
            Unopened::Unreadable => tracing::warn!("a message was not made with our secret"),
            Unopened::OutOfTime => tracing::warn!(
                "a message was refused for its age: it is old, or the clocks of the hosts differ"
            ),
            Unopened::Replayed => tracing::warn!("a message came a second time, and was refused"),
            Unopened::Store(error) => return IssueError::from(error).into(),
        }
        let why = "the message was not made with this secret, is too old, or came before.";
        Self::refused(StatusCode::UNAUTHORIZED, why)
    }
}

impl From<IssueError> for Reply {
    fn from(error: IssueError) -> Self {
        error.log();
        match error {
            IssueError::SlowDown(_) => {
                let why = "there were too many requests of this kind; come again later.";
                let wait = error.retry_after().unwrap_or_default().max(WAIT_SECONDS);
                Self { wait: Some(wait), ..Self::refused(StatusCode::TOO_MANY_REQUESTS, why) }
            }
            IssueError::Unavailable(_) | IssueError::Busy | IssueError::InProgress(_) => Self {
                wait: error.retry_after(),
                ..Self::refused(StatusCode::SERVICE_UNAVAILABLE, "come again in a moment.")
            },
            _ => bad_request(),
        }
    }
}

fn bad_request() -> Reply {
    Reply::refused(StatusCode::BAD_REQUEST, "the message is no request that is known here.")
}

impl AuthnzerverService {
    /// The wire to `issuance`, which is built of these parts.
    pub fn new(issuance: &Arc<Issuance>, on: &Dependencies, config: AuthnzerverConfig) -> Self {
        let AuthnzerverConfig { key, hosts, limits, max_session, gateways } = config;
        let counted = Limits::new(on.records.clone());
        Self(Arc::new(Service {
            issuance: Arc::clone(issuance),
            actions: Actions::new(Arc::clone(issuance), on, max_session),
            envelope: Envelope::new(key, on.records.clone()),
            limits: limits.map(|rates| RequestLimits { rates, limits: counted }),
            hosts,
            bodies: Bodies::new(gateways),
            clock: Arc::clone(&on.clock),
        }))
    }

    /// Answers one request that came from `peer`; `None` is a peer on a unix socket.
    pub async fn answer(
        &self,
        peer: Option<IpAddr>,
        request: HttpRequest<Incoming>,
    ) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let reply = match self.0.refused_unread(&head) {
            Some(refused) => refused,
            None => match self.0.bodies.read(peer, body).await {
                Ok(body) => self.serve(&head.method, body).await,
                Err(status) => Reply::new(status, ""),
            },
        };
        rendered(reply, head.uri.path())
    }

    /// Serves a request in a task of its own, to its end.
    async fn serve(&self, method: &Method, body: Bytes) -> Reply {
        let service = Arc::clone(&self.0);
        let tasks = self.0.issuance.tasks();
        let served = if method == Method::GET {
            tasks.run_safe(async move { service.health().await }).await
        } else {
            // On the heap: whoever answers holds one of these for each connection.
            tasks.run(Box::pin(async move { service.message(&body).await })).await
        };
        served.unwrap_or_else(Reply::from)
    }
}

impl Service {
    /// The refusal of what is not served, whatever its body.
    fn refused_unread(&self, head: &Parts) -> Option<Reply> {
        if !self.is_own_host(head) {
            return Some(Reply::refused(StatusCode::NOT_FOUND, "nothing is served by this name."));
        }
        match (head.uri.path(), &head.method) {
            ("/", &Method::POST) | ("/health", &Method::GET) => None,
            ("/" | "/health", _) => Some(Reply::refused(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path is not asked by this method.",
            )),
            _ => Some(Reply::refused(StatusCode::NOT_FOUND, "there is no such path.")),
        }
    }

    /// True where all names that the request says are ours, and it says one.
    fn is_own_host(&self, head: &Parts) -> bool {
        let in_header = head.headers.get_all(HOST).iter();
        let in_header = in_header.map(|host| host.to_str().unwrap_or("?"));
        let in_uri = head.uri.authority().map(http::uri::Authority::as_str);
        let mut names = in_header.chain(in_uri).peekable();
        names.peek().is_some() && names.all(|name| self.is_allowed(name))
    }

    fn is_allowed(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        self.hosts.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    /// Opens a message, does what it asks for, and seals the answer.
    async fn message(&self, body: &[u8]) -> Reply {
        let content = match self.envelope.open(body, self.clock.now()).await {
            Ok(content) => content,
            Err(unopened) => return unopened.into(),
        };
        let read = json::from_slice::<Message>(&content).ok();
        let Some(message) = read.filter(|message| is_reqid(&message.reqid)) else {
            return bad_request();
        };
        let reqid = message.reqid.clone();
        match self.act(message).await {
            Ok(answer) => {
                let content = answer.render(&reqid).to_string();
                Reply::new(StatusCode::OK, self.envelope.seal(content.as_bytes(), self.clock.now()))
            }
            Err(refused) => refused,
        }
    }

    async fn act(&self, message: Message) -> Result<Answer, Reply> {
        let Message { request, body, client_ipaddr, .. } = message;
        let request = Request::parse(&request).ok_or_else(bad_request)?;
        let client = client_ipaddr.filter(|client| !client.is_empty());
        if let Some(limits) = &self.limits {
            let client = client.as_deref().ok_or_else(bad_request)?;
            let email = body.get("email").or_else(|| body.get("email_address"));
            let email = email.and_then(Value::as_str);
            limits.take(request, client, email, self.clock.now()).await?;
        }
        let given = match request.check(body) {
            Ok(given) => given,
            Err(problems) => return Ok(*problems),
        };
        let address = client.and_then(|client| client.parse().ok());
        let caller = Caller { address, ..Caller::default() };
        match self.actions.answer(request, &given, &caller).await {
            Ok(answer) => Ok(answer),
            Err(error @ IssueError::Unsupported) => {
                Ok(Answer::failure(error.to_string(), "The request could not be served."))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The health of the stores, in the form of authnzerver's, whose workers they stand for.
    async fn health(&self) -> Reply {
        let begun = self.clock.monotonic();
        let (sessions, accounts, limits) = self.issuance.readiness.probe().await;
        let word = |is_ok| if is_ok { "ok" } else { "no answer" };
        let is_ok = sessions && accounts && limits;
        let health = json!({
            "Expected-Workers": 3,
            "Workers": {
                "sessions": word(sessions),
                "accounts": word(accounts),
                "limits": word(limits),
            },
            "Check-Time": self.clock.monotonic().saturating_sub(begun).as_secs_f64(),
            "Health-Ok": is_ok,
        });
        let status = if is_ok { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
        Reply::new(status, health.to_string())
    }
}

/// True for what comes back as it is: a number, or a text that is not long.
fn is_reqid(reqid: &Value) -> bool {
    reqid.is_number() || reqid.as_str().is_some_and(|text| text.len() <= MAX_REQID_BYTES)
}

fn rendered(reply: Reply, path: &str) -> Response<Full<Bytes>> {
    let Reply { status, text, wait } = reply;
    let kind = if path == "/health" && (status.is_success() || status.is_server_error()) {
        "application/json; charset=UTF-8"
    } else {
        "text/plain; charset=UTF-8"
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.extensions_mut().insert(BodyRead);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        let allowed = if path == "/" { "POST" } else { "GET" };
        headers.insert(ALLOW, HeaderValue::from_static(allowed));
    }
    if let Some(seconds) = wait {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    response
}
