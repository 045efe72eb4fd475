//! `POST /validate` as jwthenticator's clients know it: statuses and bodies to the letter.

use crate::support::{
    gate::Gate,
    http::{Client, Response, bearer, request},
    realm::Realm,
    tokens,
};

fn post(gate: &Gate, lines: &[&str], body: &[u8]) -> Response {
    let length = format!("Content-Length: {}", body.len());
    let head = request("POST", "/validate", &[lines, &[length.as_str()]].concat(), b"");
    Client::connect(gate.address).exchange([&head, body].concat())
}

fn is(what: &str, response: &Response, status: u16, body: &str) {
    assert_eq!((response.status, response.text().as_str()), (status, body), "{what}");
    let kind = response.header("content-type");
    assert_eq!(kind, Some("application/json; charset=utf-8"), "{what}: {response:?}");
    assert_eq!(response.header("cache-control"), Some("no-store"), "{what}: {response:?}");
    assert_eq!(response.header("x-auth-user"), None, "{what}: {response:?}");
}

#[test]
fn a_good_token_is_true_and_any_other_an_empty_object() {
    let realm = Realm::new();
    let gate = realm.gate();
    let good = realm.mint("alice", &[]);
    let body = |token: &str| serde_json::json!({ "jwt": token }).to_string();
    for kind in ["application/json", "text/plain", "application/x-www-form-urlencoded"] {
        let line = format!("Content-Type: {kind}");
        let response = post(&gate, &[&line], body(&good).as_bytes());
        is(kind, &response, 200, "{\"result\": true, \"message\": null}");
    }
    for (what, token) in tokens::bad(&realm, &good) {
        is(what, &post(&gate, &[], body(&token).as_bytes()), 401, "{}");
    }
    for token in ["", " ", "a b", "ü", "\n", "a\u{0}b", &format!("{good}, {good}")] {
        is(token, &post(&gate, &[], body(token).as_bytes()), 401, "{}");
    }
    // A good credential elsewhere does not help the token of the body.
    let response = post(&gate, &[&bearer(&good)], body("rubbish").as_bytes());
    is("a header beside it", &response, 401, "{}");
    realm.revoke(&good);
    is("revoked", &post(&gate, &[], body(&good).as_bytes()), 401, "{}");
}

#[test]
fn what_is_no_question_is_400_with_the_originals_words() {
    let realm = Realm::new();
    let gate = realm.gate();
    let missing = r#"{"jwt": ["Missing data for required field."]}"#;
    for (body, answer) in [
        ("", "{}"),
        ("jwt=x", "{}"),
        ("{", "{}"),
        (r#""{""#, r#"{"_schema": ["Invalid input type."]}"#),
        ("[]", r#"{"_schema": ["Invalid input type."]}"#),
        ("null", r#"{"_schema": ["Invalid input type."]}"#),
        (r#"[{"jwt": "x"}]"#, r#"{"_schema": ["Invalid input type."]}"#),
        ("{}", missing),
        (r#"{"jwt": null}"#, r#"{"jwt": ["Field may not be null."]}"#),
        (r#"{"jwt": 1}"#, r#"{"jwt": ["Not a valid string."]}"#),
        (r#"{"jwt": ["x"]}"#, r#"{"jwt": ["Not a valid string."]}"#),
        (r#"{"jwt": "x", "extra": 1}"#, r#"{"extra": ["Unknown field."]}"#),
        (r#"{"jwt": "x", "a\"b": 1}"#, r#"{"a\"b": ["Unknown field."]}"#),
        (r#"{"jwt": "x", "<b>": 1}"#, r#"{"\u003cb>": ["Unknown field."]}"#),
    ] {
        is(body, &post(&gate, &[], body.as_bytes()), 400, answer);
    }
    // The original falls into a 500 here.
    is("no UTF-8", &post(&gate, &[], b"{\"jwt\": \"\xff\"}"), 400, "{}");
}

#[test]
fn a_body_beyond_all_measure_is_refused_and_one_in_chunks_is_read() {
    let realm = Realm::new();
    let gate = realm.gate();
    let large = format!("{{\"jwt\": \"{}\"}}", "a".repeat(70_000));
    is("70 kB", &post(&gate, &[], large.as_bytes()), 413, "{}");
    let body = serde_json::json!({ "jwt": realm.mint("alice", &[]) }).to_string();
    let (one, two) = body.split_at(20);
    let mut client = Client::connect(gate.address);
    for _ in 0..2 {
        let response = client.exchange(format!(
            "POST /validate HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
            one.len(),
            two.len()
        ));
        is("chunks", &response, 200, "{\"result\": true, \"message\": null}");
    }
}
