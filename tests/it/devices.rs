//! The device of a session: what a login says of it, where it is shown, and the sessions that go for its new one.

use serde_json::Value;

use crate::support::{
    http::{Response, bearer, get},
    issuer::{ALICE, DEMO, Issuer, SCOPES, text},
    realm::Realm,
    tokens::claims,
};

const FIREFOX: &str =
    "User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0";
const DEVICE_COOKIE: &str = "__Host-device_id";

/// Alice logs in with these fields and header lines.
fn log_in(issuer: &Issuer, more: &[(&str, &str)], lines: &[&str]) -> Response {
    let fields = [("grant_type", "password"), ("username", ALICE.0), ("password", ALICE.1)];
    issuer.form("/token", &[&fields, more].concat(), lines)
}

/// The access token of a login from this device.
fn from(issuer: &Issuer, device: &str, more: &[(&str, &str)]) -> String {
    let answer = log_in(issuer, &[&[("device_id", device)], more].concat(), &[]);
    assert_eq!(answer.status, 200, "{answer:?}");
    text(&answer.json(), "access_token").to_owned()
}

/// The id that the answer's cookie gives the device.
fn device_cookie(answer: &Response) -> Option<String> {
    let cookies = answer.headers.iter().filter(|(name, _)| name == "set-cookie");
    let mut ids = cookies.filter_map(|(_, value)| {
        let (name, rest) = value.split_once('=')?;
        (name == DEVICE_COOKIE).then(|| rest.split(';').next().unwrap_or_default().to_owned())
    });
    ids.next()
}

#[test]
fn a_device_is_shown_wherever_sessions_are_and_said_by_no_token_and_no_header() {
    let realm = Realm::issuing()
        .with("IDENTITY_HEADERS", "X-Device=device_id|device|device_name|device.id|id|name");
    realm.add_user(ALICE.0, ALICE.1, &SCOPES);
    let issuer = Issuer::start(&realm);
    let fields = [("device_id", "tablet-1"), ("device_name", "Alice's tablet")];
    let named = text(&log_in(&issuer, &fields, &[FIREFOX]).json(), "access_token").to_owned();
    let browser = log_in(&issuer, &[], &[FIREFOX]).json();
    let said = claims(&named).to_string();
    assert!(!said.contains("tablet"), "{said}");
    let checked = get(issuer.gate.address, "/validate_request", &[&bearer(&named)]);
    assert_eq!((checked.status, checked.header("x-device")), (200, Some("")), "{checked:?}");

    let own = issuer.with_bearer("GET", "/sessions", &named).json();
    let of_all = issuer.as_admin("GET", "/admin/sessions", b"").json();
    for list in [&own, &of_all] {
        let sessions = list["sessions"].as_array().expect("a list");
        let device = |current: &str| {
            let sid = claims(current)["sid"].clone();
            let found = sessions.iter().find(|session| session["id"] == sid);
            found.unwrap_or_else(|| panic!("{list}"))["device"].clone()
        };
        let tablet = device(&named);
        assert_eq!(
            (&tablet["id"], &tablet["name"]),
            (&"tablet-1".into(), &"Alice's tablet".into())
        );
        let other = device(text(&browser, "access_token"));
        assert_eq!((&other["id"], &other["name"]), (&Value::Null, &"Firefox on Windows 10".into()));
    }
    let listed = realm.ask_json(&["session", "list", "--json"]);
    let devices = listed.as_array().expect("a list").iter().map(|session| &session["device"]);
    let mut devices: Vec<_> = devices.filter_map(Value::as_str).collect();
    devices.sort_unstable();
    assert_eq!(devices, ["Alice's tablet", "Firefox on Windows 10"]);
    let shown = realm.ask(&["session", "list"]);
    assert!(shown.contains("\"Firefox on Windows 10\" 127.0.0.1"), "{shown}");
}

#[test]
fn a_browser_keeps_the_id_of_its_device_from_its_first_login_on() {
    let realm = Realm::issuing().with("TOKEN_COOKIES", "host");
    realm.add_user(ALICE.0, ALICE.1, &SCOPES);
    let issuer = Issuer::start(&realm);
    let first = log_in(&issuer, &[], &[]);
    let id = device_cookie(&first).unwrap_or_else(|| panic!("{first:?}"));
    assert!(id.len() == 22, "{id}");
    let line = first.headers.iter().find(|(_, value)| value.starts_with(DEVICE_COOKIE));
    let line = &line.expect("the cookie").1;
    for part in ["Max-Age=31536000", "Path=/", "Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(line.contains(part), "{line}");
    }
    let again = |cookie: &str, more: &[(&str, &str)]| {
        device_cookie(&log_in(&issuer, more, &[&format!("Cookie: {DEVICE_COOKIE}={cookie}")]))
    };
    assert_eq!(again(&id, &[]).as_deref(), Some(&*id));
    assert_eq!(again(&id, &[("device_id", "said")]).as_deref(), Some("said"));
    // What is no id is none: the browser gets another one.
    for bad in ["", "a b", &"x".repeat(65)] {
        let given = again(bad, &[]).expect("a new one");
        assert!(given != bad && given.len() == 22, "{bad}: {given}");
    }
    let token = text(&first.json(), "access_token").to_owned();
    let listed = issuer.with_bearer("GET", "/sessions", &token).json();
    let own = listed["sessions"].as_array().expect("a list").iter();
    let own = own.filter(|session| session["device"]["id"] == id.as_str()).count();
    assert_eq!(own, 2, "{listed}");
    // A refresh is no login, and says nothing of devices.
    let refresh = text(&first.json(), "refresh_token").to_owned();
    assert_eq!(issuer.by_refresh(&refresh, &[]).status, 200);
}

#[test]
fn what_is_no_id_and_no_name_is_refused() {
    let realm = Realm::issuing();
    realm.add_user(ALICE.0, ALICE.1, &SCOPES);
    let issuer = Issuer::start(&realm);
    let long = "x".repeat(101);
    for field in [
        ("device_id", "a b"),
        ("device_id", &long[..65]),
        ("device_name", &long),
        ("device_name", "a\nb"),
        ("device_name", "\u{202e}x"),
    ] {
        let answer = log_in(&issuer, &[field], &[]);
        assert_eq!((answer.status, &answer.json()["error"]), (400, &"invalid_request".into()));
    }
    let answer = log_in(&issuer, &[], &[]);
    assert_eq!((answer.status, device_cookie(&answer)), (200, None), "no cookies are set here");
}

#[test]
fn a_login_ends_the_session_that_its_device_had_and_no_other() {
    let realm = Realm::issuing().with("REPLACE_DEVICE_SESSIONS", "true");
    let secret = realm.with_alice_and_demo();
    realm.add_user("bob", ALICE.1, &SCOPES);
    let issuer = Issuer::start(&realm);
    let key = realm.ask(&["apikey", "add", ALICE.0]);
    let by_key = || {
        let grant = ("grant_type", "urn:portcullis:grant-type:api-key");
        let fields = [grant, ("api_key", key.as_str()), ("device_id", "phone")];
        text(&issuer.form("/token", &fields, &[]).json(), "access_token").to_owned()
    };
    let of_bob = issuer.by_password("bob", ALICE.1, &[("device_id", "phone")]).json();
    let of_bob = text(&of_bob, "access_token").to_owned();
    let client = [("client_id", DEMO), ("client_secret", secret.as_str())];
    let first = from(&issuer, "phone", &[]);
    let others = [
        of_bob,
        from(&issuer, "laptop", &[]),
        from(&issuer, "Phone", &[]),
        text(&issuer.log_in(), "access_token").to_owned(),
        from(&issuer, "phone", &client),
        by_key(),
    ];
    assert_eq!(issuer.check(&first), 200);
    let second = from(&issuer, "phone", &[]);
    assert_eq!((issuer.check(&first), issuer.check(&second)), (401, 200));
    assert_eq!(others.each_ref().map(|token| issuer.check(token)), [200; 6]);
    let [.., of_client, of_key] = &others;
    let (client_again, key_again) = (from(&issuer, "phone", &client), by_key());
    assert_eq!((issuer.check(of_client), issuer.check(&client_again)), (401, 200));
    assert_eq!((issuer.check(of_key), issuer.check(&key_again)), (401, 200));
    let replaced =
        realm.events().iter().filter(|event| event["event"] == "session_replaced").count();
    assert_eq!(replaced, 3);
}

#[test]
fn where_nobody_wishes_it_and_where_it_cannot_be_done_no_session_is_replaced() {
    let realm = Realm::issuing();
    realm.add_user(ALICE.0, ALICE.1, &SCOPES);
    let issuer = Issuer::start(&realm);
    let (first, second) = (from(&issuer, "phone", &[]), from(&issuer, "phone", &[]));
    assert_eq!((issuer.check(&first), issuer.check(&second)), (200, 200));
    let realm = realm
        .with("REPLACE_DEVICE_SESSIONS", "true")
        .with("DB_URL", "memcached://127.0.0.1:1")
        .with("ACCOUNTS_URL", "sqlite:accounts.db");
    let told = realm.exits(64, &["check-config"], "").errors;
    assert!(told.contains("REPLACE_DEVICE_SESSIONS: cannot be done with a memcached"), "{told}");
}

/// Logins at one moment: one session of the device is left, and it is one whose login was answered.
#[test]
fn of_many_logins_of_one_device_at_once_one_session_is_left() {
    let realm = Realm::issuing().with("REPLACE_DEVICE_SESSIONS", "true");
    realm.add_user(ALICE.0, ALICE.1, &SCOPES);
    let issuer = Issuer::start(&realm);
    let tokens: Vec<String> = std::thread::scope(|scope| {
        let logins: Vec<_> = (0..8).map(|_| scope.spawn(|| from(&issuer, "phone", &[]))).collect();
        logins.into_iter().map(|login| login.join().expect("a login")).collect()
    });
    let alive = tokens.iter().filter(|token| issuer.check(token) == 200).count();
    assert_eq!(alive, 1);
}
