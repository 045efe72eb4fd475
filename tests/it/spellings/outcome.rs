//! The judgement of one case: the route that the gateway took, against the one that the policy finds in what the gateway
//! told.

use std::sync::LazyLock;

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use portcullis::gate::dialect::Endpoint;
use portcullis::policy::canonical::{CanonicalRequest, Refusal, Told, canonical};
use portcullis::policy::routes::RouteIndex;

use super::cases::Case;
use super::gateways::Gateway;
use super::readings::Reading;
use super::recorder::{Arrived, Message};
use super::routes;

/// The end of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The gateway forwarded nothing.
    Stopped,
    /// We deny: the request is not clear. The code says why.
    Refused(&'static str),
    /// We deny: no route names it.
    Unnamed,
    /// Gateway and policy took the same route.
    Agreed,
    /// The gateway took another route than the policy, which took this one.
    Disagreed(&'static str),
}

/// One case and what came of it.
pub struct Row {
    /// The request that was sent.
    pub case: Case,
    /// The gateway's question, and the request that it forwarded by a route.
    passed: Option<(Parts, &'static str, Message)>,
    /// True where our server answers the question with 400.
    is_unreadable: bool,
}

/// The routes as the policy has them.
static INDEX: LazyLock<RouteIndex<&'static str>> = LazyLock::new(routes::index);

impl Row {
    /// Puts together what arrived of a case.
    ///
    /// # Panics
    /// Where a gateway forwarded without asking, or more than one request.
    pub fn new(gateway: &Gateway, case: Case, arrived: Arrived) -> Self {
        let Arrived { asked, mut forwarded } = arrived;
        let is_once = forwarded.len() <= 1 && asked.len() <= 1;
        assert!(
            is_once,
            "{}: {case} became several requests: {asked:?} {forwarded:?}",
            gateway.name
        );
        let Some((route, request)) = forwarded.pop() else {
            return Self { case, passed: None, is_unreadable: false };
        };
        let question = asked.first();
        let question =
            question.unwrap_or_else(|| panic!("{} forwards {case} and does not ask", gateway.name));
        let parts = parts(question);
        let is_unreadable = parts.is_none();
        Self { case, passed: parts.map(|parts| (parts, route, request)), is_unreadable }
    }

    /// Judges it by a reading.
    pub fn outcome(&self, reading: &Reading) -> Outcome {
        if self.is_unreadable {
            return Outcome::Refused("400");
        }
        let Some((question, route, _)) = &self.passed else { return Outcome::Stopped };
        match judge(question, reading) {
            Err(refusal) => Outcome::Refused(refusal.code()),
            Ok(None) => Outcome::Unnamed,
            Ok(Some(ours)) if ours == *route => Outcome::Agreed,
            Ok(Some(ours)) => Outcome::Disagreed(ours),
        }
    }

    /// The route by which the gateway forwarded it.
    pub fn route(&self) -> Option<&'static str> {
        self.passed.as_ref().map(|(_, route, _)| *route)
    }

    /// The difference between the request that was judged and the one that the application received, if there is any.
    /// The application's host is the gateway's business, and its scheme is the connection's.
    pub fn difference(&self) -> Option<String> {
        let (question, _, request) = self.passed.as_ref()?;
        let judged = canonical(&told(question).ok()?).ok()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (method, target) = (text(&request.method), text(&request.target));
        let is_path = target.starts_with('/');
        let own = request.header("host").map(text).filter(|_| !is_path);
        let authority = judged.authority.to_string();
        let received = Told {
            method: Some(&method),
            scheme: is_path.then_some(judged.scheme.as_str()),
            host: Some(own.as_deref().unwrap_or(&authority)),
            target: Some(&target),
            client: None,
        };
        let received = match canonical(&received) {
            Ok(received) => received,
            Err(refusal) => return Some(format!("{} {target:?}", refusal.code())),
        };
        (received != judged).then(|| format!("{target:?}"))
    }
}

/// The question as our server reads it; `None` where it answers 400.
fn parts(message: &Message) -> Option<Parts> {
    let method = Method::from_bytes(&message.method).ok()?;
    let uri = Uri::try_from(message.target.as_slice()).ok()?;
    let mut request = Request::builder().method(method).uri(uri).body(()).ok()?;
    for (name, value) in &message.headers {
        let name = HeaderName::from_bytes(name).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(value).ok()?);
    }
    Some(request.into_parts().0)
}

/// The client's request, read as the gate's endpoint reads it.
fn told(question: &Parts) -> Result<Told<'_>, Refusal> {
    let endpoint = Endpoint::at(question.uri.path()).ok_or(Refusal::NoPath)?;
    endpoint.read(&question.into()).told()
}

fn judge(question: &Parts, reading: &Reading) -> Result<Option<&'static str>, Refusal> {
    let told = told(question)?;
    let target = told.target.map(reading.change);
    let told = Told { target: target.as_deref(), ..told };
    let request = canonical(&told)?;
    find(&request, reading)
}

fn find(
    request: &CanonicalRequest<'_>,
    reading: &Reading,
) -> Result<Option<&'static str>, Refusal> {
    let place = if reading.finds_strictly {
        INDEX.find(&request.authority, &request.path)?
    } else {
        INDEX.named(&request.authority, &request.path)
    };
    Ok(place.map(|place| place.value))
}
