//! Where a ticket is looked for, and what it may not stand beside.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderName, HeaderValue, Request};
use proptest::prelude::*;

use super::*;
use crate::clock::ManualClock;
use crate::gate::Dialect;
use crate::store::records::{MemoryRecordStore, Records};
use crate::store::{StoreKind, StoreMetrics};

const HANDSHAKE: &[(&str, &str)] = &[("x-original-method", "GET"), ("sec-websocket-version", "13")];

fn ticket(letter: char) -> String {
    format!("{TICKET_PREFIX}{}A", letter.to_string().repeat(42))
}

fn accepted() -> AcceptedTickets {
    let clock = Arc::new(ManualClock::at(UnixTime::from_secs(1_000)));
    let metrics = StoreMetrics::unregistered(StoreKind::Limits);
    let store = Arc::new(MemoryRecordStore::new());
    let records = Records::new(store, Duration::from_secs(60), clock, metrics);
    AcceptedTickets::new(Tickets::new(records), "ticket".to_owned())
}

fn asked(uri: &str, lines: &[(&str, &str)]) -> Parts {
    let mut request = Request::get("/validate_request").body(()).unwrap();
    for (name, value) in [("x-original-uri", uri)].iter().chain(lines) {
        let name: HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    }
    request.into_parts().0
}

fn found(uri: &str, lines: &[(&str, &str)]) -> Result<Option<String>, DenialCode> {
    let request = asked(uri, &[HANDSHAKE, lines].concat());
    accepted().find(&Dialect::Nginx.read(&request)).map(|found| found.map(str::to_owned))
}

#[test]
fn a_ticket_is_found_in_the_query_or_among_the_protocols() {
    let (one, other) = (ticket('a'), ticket('b'));
    let protocols = |text: &str| vec![("sec-websocket-protocol".to_owned(), text.to_owned())];
    for (uri, lines, expected) in [
        (format!("/ws?ticket={one}"), vec![], Ok(Some(&one))),
        (format!("/ws?a=1&ticket={one}&b"), vec![], Ok(Some(&one))),
        ("/ws".to_owned(), protocols(&one), Ok(Some(&one))),
        ("/ws".to_owned(), protocols(&format!("chat , {one}")), Ok(Some(&one))),
        ("/ws".to_owned(), [protocols("chat"), protocols(&one)].concat(), Ok(Some(&one))),
        (format!("/ws?ticket={one}"), protocols(&one), Ok(Some(&one))),
        (format!("/ws?ticket={one}"), protocols(&other), Err(DenialCode::SeveralCredentials)),
        (format!("/ws?ticket={one}&ticket={one}"), vec![], Err(DenialCode::MalformedCredentials)),
        (
            "/ws".to_owned(),
            protocols(&format!("{one},{other}")),
            Err(DenialCode::MalformedCredentials),
        ),
        ("/ws?ticket=pt_x".to_owned(), vec![], Err(DenialCode::MalformedCredentials)),
        (format!("/ws?ticket={one}%00"), vec![], Err(DenialCode::MalformedCredentials)),
        // The application's own.
        ("/ws?ticket=1234".to_owned(), protocols("chat"), Ok(None)),
        (format!("/ws?other={one}"), vec![], Ok(None)),
        (format!("/ws?Ticket={one}"), vec![], Ok(None)),
        (format!("/ticket={one}"), vec![], Ok(None)),
        (format!("/ws#?ticket={one}"), vec![], Ok(None)),
        ("/ws".to_owned(), vec![], Ok(None)),
    ] {
        let lines: Vec<_> = lines.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(found(&uri, &lines), expected.map(Option::<&String>::cloned), "{uri} {lines:?}");
    }
}

#[test]
fn a_ticket_opens_a_web_socket_and_stands_beside_no_other_credential() {
    let uri = format!("/ws?ticket={}", ticket('a'));
    for line in
        [("authorization", "Bearer x"), ("authorization", ""), ("x-api-key", "x"), ("dpop", "x")]
    {
        assert_eq!(found(&uri, &[line]), Err(DenialCode::SeveralCredentials), "{line:?}");
    }
    let cookies = [("cookie", "__Host-access_token=x; __Host-user_id=y")];
    assert!(
        found(&uri, &cookies).is_ok_and(|found| found.is_some()),
        "a browser sends them by itself"
    );
    for lines in [
        &[][..],
        &[("x-original-method", "GET")],
        &[("sec-websocket-version", "13")],
        &[("x-original-method", "POST"), ("sec-websocket-version", "13")],
        &[("x-original-method", "GET"), ("upgrade", "websocket"), ("connection", "upgrade")],
    ] {
        let request = asked(&uri, lines);
        let refused = accepted().find(&Dialect::Nginx.read(&request)).map(|_| ());
        assert_eq!(refused, Err(DenialCode::TicketUnexpected), "{lines:?}");
    }
}

proptest! {
    #[test]
    fn what_is_found_is_a_ticket_whatever_stands_around_it(uri in "/[ -~]{0,80}", line in "[ -~]{0,80}") {
        if let Ok(Some(found)) = found(&uri, &[("sec-websocket-protocol", &line)]) {
            prop_assert!(Tickets::is_ticket(&found));
            prop_assert!(uri.contains(&found) || line.contains(&found));
        }
    }
}
