//! Anything that a frontend may send in place of what is meant: it is answered, and nothing comes of it.

use serde_json::{Map, Value, json};

use super::client::STEPS;
use crate::support::{authnzerver::start, realm::Realm};

/// Values of every type, of which hardly any is meant.
fn values() -> Vec<Value> {
    let long = "é".repeat(4_000);
    let deep = (0..60).fold(json!(1), |inner, _| json!([inner]));
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(2),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(1.5),
        json!(-1e300),
        json!(""),
        json!("2"),
        json!("\u{0}\u{7f}\r\n"),
        json!("'; DROP TABLE users; --"),
        json!("2099-01-01T00:00:00.000000"),
        json!("192.0.2.7"),
        json!("lock"),
        json!("nobody@example.org"),
        json!(long),
        json!([]),
        json!([null]),
        json!({}),
        json!({ "tkn": "x", "uid": 2 }),
        json!({ "extra_info": { "a": "__delete__" } }),
        deep,
    ]
}

/// The names of the parameters that a request must have.
fn required(problems: &Value) -> Vec<String> {
    let all = problems["response"]["response"]["problems"].as_array().expect("problems");
    all.iter().map(|it| it["param"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn whatever_a_frontend_sends_is_answered_and_nothing_comes_of_it() {
    let (realm, _issuer, frontend) = start(Realm::issuing());
    let values = values();
    let mails = ["user-sendemail-signup", "user-sendemail-forgotpass"];
    let names = STEPS.into_iter().filter(|step| *step != "refusals").chain(mails);
    let mut asked = 0;
    for name in names {
        let parameters = required(&frontend.ask(name, &json!({})));
        assert!(!parameters.is_empty(), "{name}");
        for first in 0..values.len() {
            let value = |place: usize| values[(first + place * 7) % values.len()].clone();
            let body: Map<String, Value> = parameters
                .iter()
                .enumerate()
                .map(|(place, parameter)| (parameter.clone(), value(place)))
                .collect();
            let answer = frontend.send(name, &Value::Object(body.clone()));
            assert_eq!(answer.status, 200, "{name}: {body:?}: {}", answer.text());
            let answer = frontend.opened(&answer);
            assert_eq!(answer["success"], answer["response"]["success"], "{name}: {answer}");
            asked += 1;
        }
    }
    assert_eq!(asked, 38 * values.len());
    let users = frontend.succeeds("user-list", &json!({ "user_id": null }));
    assert_eq!(users["user_info"], json!([]), "nobody was made");
    assert_eq!(realm.ask(&["session", "list", "--json"]), "[]", "no session was opened");
}
