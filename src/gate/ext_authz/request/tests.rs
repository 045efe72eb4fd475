//! What is read of a question, and what of it is refused.

use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::gate::ext_authz::generated::auth::attribute_context::Request;
use crate::gate::ext_authz::generated::config;
use crate::policy::canonical::canonical;

/// A question about this request, from a client on 192.0.2.1.
fn question(http: HttpRequest) -> CheckRequest {
    let source = Some(peer("192.0.2.1"));
    let request = Some(Request { http: Some(http) });
    let attributes = AttributeContext { source, request, ..AttributeContext::default() };
    CheckRequest { attributes: Some(attributes) }
}

fn peer(address: &str) -> Peer {
    let socket = config::SocketAddress { address: address.to_owned(), port_specifier: None };
    Peer {
        address: Some(config::Address { address: Some(Address::SocketAddress(socket)) }),
        ..Peer::default()
    }
}

fn get(path: &str) -> HttpRequest {
    let [method, path, host] = ["GET", path, "app.test"].map(str::to_owned);
    HttpRequest { method, path, host, ..HttpRequest::default() }
}

/// The same request, told with these headers as texts.
fn as_texts(http: HttpRequest, headers: &[(&str, &str)]) -> HttpRequest {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    HttpRequest { headers: headers.collect(), ..http }
}

/// The same request, told with these headers as they came.
fn as_bytes(http: HttpRequest, headers: &[(&str, &[u8])]) -> HttpRequest {
    let header = |(name, value): &(&str, &[u8])| config::HeaderValue {
        key: (*name).to_owned(),
        raw_value: value.to_vec().into(),
        ..config::HeaderValue::default()
    };
    let headers = headers.iter().map(header).collect();
    HttpRequest { header_map: Some(config::HeaderMap { headers }), ..http }
}

/// The target, or the reason why the request is refused.
fn target_of(http: HttpRequest) -> Result<String, Refusal> {
    let asked = AskedRequest::read(question(http));
    if let Some(refusal) = asked.refusal() {
        return Err(refusal);
    }
    let inquiry = asked.inquiry(&Networks::default());
    let told = inquiry.told()?;
    canonical(&told).map(|request| request.url())
}

const HTTP: (&str, &str) = ("x-forwarded-proto", "http");
const RAW_HTTP: (&str, &[u8]) = ("x-forwarded-proto", b"http");

#[test]
fn a_request_is_told_by_its_fields_and_its_headers() {
    let told = as_texts(get("/a%20b?c=/d"), &[HTTP, (":scheme", "https")]);
    assert_eq!(target_of(told), Ok("http://app.test/a%20b?c=/d".to_owned()));
    let path: (&str, &[u8]) = (":path", b"/a?b");
    let told = as_bytes(get("/a?b"), &[RAW_HTTP, path, (":method", b"GET")]);
    assert_eq!(target_of(told), Ok("http://app.test/a?b".to_owned()));
    // Where the operator passes some headers on and not the path, the field has it.
    assert_eq!(target_of(as_bytes(get("/a"), &[RAW_HTTP])), Ok("http://app.test/a".to_owned()));
}

/// As texts and as bytes: a pseudo-header that says otherwise than its field.
#[test]
fn a_pseudo_header_must_say_what_its_field_says() {
    for (name, value, is_the_same) in [
        (":path", "/a!?b", true),
        (":path", "/a!", false),
        (":path", "/", false),
        (":path", "", false),
        (":method", "GET", true),
        (":method", "POST", false),
        (":method", "get", false),
        (":authority", "app.test", true),
        (":authority", "admin.test", false),
        (":authority", "b\u{fc}cher.test", false),
    ] {
        let texts = as_texts(get("/a!?b"), &[HTTP, (name, value)]);
        let bytes = as_bytes(get("/a!?b"), &[RAW_HTTP, (name, value.as_bytes())]);
        for http in [texts, bytes] {
            let refusal = AskedRequest::read(question(http)).refusal();
            let expected = (!is_the_same).then_some(Refusal::Disagreement);
            assert_eq!(refusal, expected, "{name} {value}");
        }
    }
}

#[test]
fn what_is_refused_is_read_all_the_same() {
    let lines = [("a b", ""), ("x-request-id", "id-1"), ("content-type", "application/grpc")];
    let asked = AskedRequest::read(question(as_texts(get("/a?b"), &lines)));
    assert_eq!(asked.refusal(), Some(Refusal::BadByte));
    let inquiry = asked.inquiry(&Networks::default());
    assert_eq!((inquiry.method(), inquiry.host()), (Some("GET"), Some("app.test")));
    assert_eq!(inquiry.path(), Some("/a"));
    assert_eq!(inquiry.headers.get("x-request-id").unwrap().as_bytes(), b"id-1");
    assert!(crate::gate::grpc_denial::is_call((&asked.headers).into()));
}

#[test]
fn a_lost_byte_is_refused_and_a_true_one_is_judged() {
    for path in ["/!", "/a!b?c", "/users/!"] {
        assert_eq!(target_of(as_texts(get(path), &[HTTP])), Err(Refusal::BadByte), "{path}");
        assert_eq!(target_of(as_bytes(get(path), &[RAW_HTTP])), Err(Refusal::BadByte), "{path}");
        let raw = as_bytes(get(path), &[RAW_HTTP, (":path", path.as_bytes())]);
        assert_eq!(target_of(raw), Ok(format!("http://app.test{path}")));
    }
    assert!(target_of(as_texts(get("/a?b=!"), &[HTTP])).is_ok());
    for path in [&b"/users/\xe9"[..], b"/users/\xe2\x82\xac", b"/\xff"] {
        let raw = as_bytes(get("/users/!"), &[RAW_HTTP, (":path", path)]);
        assert_eq!(target_of(raw), Err(Refusal::BadByte), "{path:?}");
    }
}

#[test]
fn one_value_belongs_where_one_is_told() {
    let list = ("x-forwarded-proto", "http,https");
    assert_eq!(target_of(as_texts(get("/"), &[list])), Err(Refusal::List));
    assert_eq!(target_of(as_bytes(get("/"), &[RAW_HTTP, RAW_HTTP])), Err(Refusal::Duplicate));
    let two_hosts = HttpRequest { host: "a.test,b.test".to_owned(), ..get("/") };
    assert_eq!(target_of(as_texts(two_hosts, &[HTTP])), Err(Refusal::List));
    let alias = as_texts(get("/"), &[HTTP, ("x_forwarded_uri", "/b")]);
    assert_eq!(target_of(alias), Err(Refusal::UnderscoreAlias));
    let other = as_texts(get("/"), &[HTTP, ("x-original-uri", "/b")]);
    assert_eq!(target_of(other), Err(Refusal::Disagreement));
    let both = as_bytes(as_texts(get("/"), &[HTTP]), &[RAW_HTTP]);
    assert_eq!(target_of(both), Err(Refusal::Disagreement));
}

#[test]
fn what_is_not_told_is_not_guessed() {
    let scheme = HttpRequest { scheme: "https".to_owned(), ..get("/") };
    for (http, refusal) in [
        (get("/"), Refusal::MissingScheme),
        (scheme, Refusal::MissingScheme),
        (
            as_texts(HttpRequest { method: String::new(), ..get("/") }, &[HTTP]),
            Refusal::MissingMethod,
        ),
        (as_texts(HttpRequest { host: String::new(), ..get("/") }, &[HTTP]), Refusal::MissingHost),
        (as_texts(get(""), &[HTTP]), Refusal::MissingTarget),
        (
            as_texts(HttpRequest { query: "a".to_owned(), ..get("/") }, &[HTTP]),
            Refusal::Disagreement,
        ),
        (
            as_texts(HttpRequest { fragment: "a".to_owned(), ..get("/") }, &[HTTP]),
            Refusal::Fragment,
        ),
        (as_texts(get("/"), &[HTTP, ("a b", "")]), Refusal::BadByte),
        (as_texts(get("/"), &[HTTP, ("a", "\r\nb: c")]), Refusal::BadByte),
        (as_bytes(get("/"), &[RAW_HTTP, ("a", b"\0")]), Refusal::BadByte),
    ] {
        let what = format!("{} {}", http.method, http.path);
        assert_eq!(target_of(http), Err(refusal), "{what}");
    }
    let empty = [
        CheckRequest { attributes: None },
        CheckRequest { attributes: Some(AttributeContext::default()) },
    ];
    for question in empty {
        assert_eq!(AskedRequest::read(question).refusal(), Some(Refusal::MissingTarget));
    }
}

#[test]
fn more_headers_than_a_table_takes_are_refused() {
    let names: Vec<_> = (0..40_000).map(|number| format!("x-{number}")).collect();
    let headers: Vec<_> = names.iter().map(|name| (name.as_str(), &b"a"[..])).collect();
    assert_eq!(target_of(as_bytes(get("/"), &headers)), Err(Refusal::List));
}

#[test]
fn the_client_is_the_gateways_peer_or_who_trusted_proxies_say() {
    let trusted = Networks::parse(&["10.0.0.0/8".to_owned()]).unwrap();
    let socket = Some(Address::Pipe(config::Pipe { path: "/run/proxy".to_owned() }));
    let socket = Peer { address: Some(config::Address { address: socket }), ..Peer::default() };
    for (source, forwarded, client) in [
        (Some(peer("192.0.2.1")), Some("198.51.100.7"), Some("192.0.2.1")),
        (Some(peer("10.1.1.1")), Some("198.51.100.7"), Some("198.51.100.7")),
        (Some(peer("10.1.1.1")), Some("198.51.100.7,10.2.2.2"), Some("198.51.100.7")),
        (Some(peer("10.1.1.1")), Some("rubbish"), None),
        (Some(peer("10.1.1.1")), None, Some("10.1.1.1")),
        (Some(peer("::ffff:192.0.2.1")), None, Some("192.0.2.1")),
        (Some(socket), Some("198.51.100.7"), Some("198.51.100.7")),
        (Some(peer("localhost")), Some("198.51.100.7"), None),
        (Some(Peer::default()), Some("198.51.100.7"), None),
        (None, Some("198.51.100.7"), None),
    ] {
        let forwarded = forwarded.map(|list| ("x-forwarded-for", list));
        let mut question = question(as_texts(get("/"), forwarded.as_slice()));
        question.attributes.as_mut().unwrap().source = source.clone();
        let asked = AskedRequest::read(question);
        let expected = client.map(|client| client.parse().unwrap());
        let inquiry = asked.inquiry(&trusted);
        assert_eq!(inquiry.line.client, expected, "{source:?} {forwarded:?}");
        // The log believes no more, but for a trusted proxy whose list cannot be read.
        let logged = trusted.client(asked.peer(), inquiry.headers);
        assert!(logged == expected || forwarded == Some(("x-forwarded-for", "rubbish")));
    }
}

#[test]
fn the_gateways_route_demands_scopes_and_nothing_else() {
    let both = requirement::from_query(Some("scope=a&scope=b"));
    let unknown = Err(DenialCode::UnknownRequirement);
    for (extensions, expected) in [
        (&[][..], &Ok(Requirement::default())),
        (&[("scope", "a b")], &both),
        (&[("scope", "a"), ("scop", "b")], &unknown),
        (&[("role", "admin")], &unknown),
        (&[("scope", "")], &unknown),
        (&[("scope", "a  b")], &unknown),
        (&[("scope", "\"")], &unknown),
    ] {
        let mut question = question(as_texts(get("/"), &[("scope", "x")]));
        let pairs =
            extensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        question.attributes.as_mut().unwrap().context_extensions = pairs.collect();
        let asked = AskedRequest::read(question);
        assert_eq!(asked.inquiry(&Networks::default()).requirement, *expected, "{extensions:?}");
    }
}

#[test]
fn a_question_never_prints_its_headers() {
    let told = as_texts(get("/?code=hunter2"), &[("authorization", "Bearer hunter2")]);
    let raw = as_bytes(get("/"), &[("cookie", b"hunter2")]);
    for http in [told, raw] {
        let printed = format!("{:?}", question(http));
        assert!(printed.contains("HttpRequest([secret])"), "{printed}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }
    assert!(
        !format!("{:?}", config::HeaderValue { value: "hunter2".into(), ..Default::default() })
            .contains("hunter2")
    );
}

proptest! {
    /// Any bytes are read without a panic, and whatever comes of them is refused or judged.
    #[test]
    fn any_message_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(question) = CheckRequest::decode(&bytes[..]) {
            let asked = AskedRequest::read(question);
            let _ = asked.inquiry(&Networks::default()).told();
        }
    }

    /// A request told as texts is the same as told by its bytes, or is refused.
    #[test]
    fn both_ways_of_telling_say_the_same(
        path in "/[a-zA-Z0-9!%./;\\\\é]{0,12}(\\?[a-z!]{0,4})?",
        headers in prop::collection::hash_map("[a-z-]{1,6}", "[ -~é]{0,6}", 0..4),
    ) {
        let as_gateway = |text: &str| text.chars().map(|c| if c.is_ascii() { c } else { '!' }).collect::<String>();
        let lossy: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), as_gateway(value))).collect();
        let mut texts: Vec<_> = lossy.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut raw: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        texts.push(HTTP);
        raw.extend([RAW_HTTP, (":path", path.as_bytes())]);
        let told = target_of(as_texts(get(&as_gateway(&path)), &texts));
        let true_one = target_of(as_bytes(get(&as_gateway(&path)), &raw));
        prop_assert!(told.is_err() || told == true_one, "{told:?} {true_one:?}");
    }
}
