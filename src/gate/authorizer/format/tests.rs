//! What is sent in each form, and which bytes are a yes.

use proptest::prelude::*;

use super::*;

const FORMATS: [AuthorizerFormat; 4] = [
    AuthorizerFormat::Simple,
    AuthorizerFormat::AuthZen,
    AuthorizerFormat::Opa,
    AuthorizerFormat::Oso,
];

#[test]
fn each_form_has_the_question_in_its_own_words() {
    let request = DecisionRequest {
        subject: "alice".to_owned(),
        roles: vec!["clerk".to_owned()],
        scopes: vec!["read".to_owned()],
        action: "edit".to_owned(),
        resource_type: "order".to_owned(),
        resource: "1\"7".to_owned(),
    };
    let simple = json!({
        "subject": "alice", "roles": ["clerk"], "scopes": ["read"], "action": "edit",
        "type": "order", "resource": "1\"7",
    });
    for (format, expected) in [
        (AuthorizerFormat::Simple, simple.clone()),
        (AuthorizerFormat::Opa, json!({ "input": simple })),
        (
            AuthorizerFormat::AuthZen,
            json!({
                "subject": {
                    "type": "user", "id": "alice",
                    "properties": {"roles": ["clerk"], "scopes": ["read"]},
                },
                "action": {"name": "edit"},
                "resource": {"type": "order", "id": "1\"7"},
            }),
        ),
        (
            AuthorizerFormat::Oso,
            json!({
                "actor_type": "User", "actor_id": "alice", "action": "edit",
                "resource_type": "order", "resource_id": "1\"7",
            }),
        ),
    ] {
        let question: Value = serde_json::from_str(&format.question(&request)).unwrap();
        assert_eq!(question, expected, "{format:?}");
    }
}

#[test]
fn a_yes_is_true_at_its_one_place_and_nothing_else() {
    use AuthorizerFormat::{AuthZen, Opa, Oso, Simple};
    for (format, body, expected) in [
        (Simple, r#"{"allow":true}"#, Some(Answer::Yes)),
        (Simple, r#" {"why":["x",1,null,{"allow":false}],"allow":true} "#, Some(Answer::Yes)),
        (Simple, r#"{"allow":false}"#, Some(Answer::No)),
        (AuthZen, r#"{"decision":true,"context":{"id":"0"}}"#, Some(Answer::Yes)),
        (AuthZen, r#"{"decision":false}"#, Some(Answer::No)),
        (AuthZen, r#"{"allow":true}"#, None),
        (Oso, r#"{"allowed":true}"#, Some(Answer::Yes)),
        (Oso, r#"{"allowed":false}"#, Some(Answer::No)),
        (Oso, r#"{"allow":true}"#, None),
        (Opa, r#"{"result":true,"decision_id":"1"}"#, Some(Answer::Yes)),
        (Opa, r#"{"result":false}"#, Some(Answer::No)),
        (Opa, r#"{"result":{"allow":true,"reason":"x"}}"#, Some(Answer::Yes)),
        (Opa, r#"{"result":{"allow":false}}"#, Some(Answer::No)),
        // No rule says anything.
        (Opa, "{}", Some(Answer::Undefined)),
        (Opa, r#"{"allow":true}"#, Some(Answer::Undefined)),
        (Opa, r#"{"result":{}}"#, Some(Answer::Undefined)),
        (Opa, r#"{"result":{"allow":{"allow":true}}}"#, None),
        (Opa, r#"{"result":[true]}"#, None),
        (Opa, r#"{"result":null}"#, None),
        (Opa, r#"{"result":{"allow":false,"allow":true}}"#, None),
        (Opa, r#"{"result":false,"result":true}"#, None),
        (Opa, "[]", None),
    ] {
        assert_eq!(format.answer(body.as_bytes()).ok(), expected, "{format:?} {body}");
    }
    for unreadable in [
        "",
        "true",
        "[true]",
        r#""allow""#,
        "{}",
        r#"{"allow":"true"}"#,
        r#"{"allow":1}"#,
        r#"{"allow":null}"#,
        r#"{"allow":[true]}"#,
        r#"{"allow":{"allow":true}}"#,
        r#"{"Allow":true}"#,
        r#"{"allow":false,"allow":true}"#,
        r#"{"x":{"y":1,"y":1},"allow":true}"#,
        r#"{"allow":true} {"allow":true}"#,
        r#"{"allow":true"#,
        "<html>allow: true</html>",
        "\u{feff}{\"allow\":true}",
    ] {
        assert_eq!(Simple.answer(unreadable.as_bytes()).ok(), None, "{unreadable}");
    }
    let deep = format!("{}1{}", "{\"allow\":".repeat(9_000), "}".repeat(9_000));
    assert_eq!(Simple.answer(deep.as_bytes()).ok(), None);
}

/// JSON in which the words of all forms stand about.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
        Just(json!(1)),
        Just(json!("true")),
    ];
    let name = prop::sample::select(vec!["allow", "allowed", "decision", "result", "x"]);
    leaf.prop_recursive(3, 16, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map(name.clone(), inner, 0..4).prop_map(|members| {
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_but_an_explicit_yes_is_one(value in values()) {
        let says = |pointer: &str| value.pointer(pointer) == Some(&Value::Bool(true));
        for format in FORMATS {
            let is_explicit = match format {
                AuthorizerFormat::Simple => says("/allow"),
                AuthorizerFormat::AuthZen => says("/decision"),
                AuthorizerFormat::Oso => says("/allowed"),
                AuthorizerFormat::Opa => says("/result") || says("/result/allow"),
            };
            let answer = format.answer(value.to_string().as_bytes());
            prop_assert_eq!(answer == Ok(Answer::Yes), is_explicit, "{:?}", format);
        }
    }

    #[test]
    fn bytes_that_are_no_answer_are_never_a_yes(
        cut in 0..14usize,
        put in any::<u8>(),
        bytes in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        for format in FORMATS {
            prop_assert_ne!(format.answer(&bytes), Ok(Answer::Yes));
        }
        // One byte of a yes is another one; spaces may stand around it.
        let mut changed = br#"{"allow":true}"#.to_vec();
        if changed[cut] != put {
            changed[cut] = put;
            let answer = AuthorizerFormat::Simple.answer(&changed);
            prop_assert_ne!(answer, Ok(Answer::Yes), "{:?}", String::from_utf8_lossy(&changed));
        }
    }
}
