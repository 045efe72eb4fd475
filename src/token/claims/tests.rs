use proptest::prelude::*;

use super::*;

fn claims(json: &str) -> Claims {
    Claims::parse(json.as_bytes()).unwrap()
}

#[test]
fn only_one_object_with_unique_names_is_a_claims_set() {
    for json in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"b":2,"\u0061":3}"#,
        "[]",
        "1",
        "",
        "{} {}",
        r#"{"a":}"#,
        "\"x\"",
        "null",
    ] {
        assert_eq!(Claims::parse(json.as_bytes()), Err(TokenError::Malformed), "{json}");
    }
    assert!(Claims::parse(&[b'{', b'"', 0xff, b'"', b':', b'1', b'}']).is_err());
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(4000), "]".repeat(4000));
    assert!(Claims::parse(deep.as_bytes()).is_err());
}

/// A value that is found to be unreadable only when it is looked at would be an absent one to somebody.
#[test]
fn what_cannot_be_read_is_refused_before_it_is_looked_at() {
    let nested = |levels| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    assert!(Claims::parse(nested(126).as_bytes()).is_ok());
    assert!(Claims::parse(nested(127).as_bytes()).is_err());
    let reserved = r#"{"role":"guest","a":{"b":1,"$serde_json::private::RawValue":1}}"#;
    assert!(Claims::parse(reserved.as_bytes()).is_err(), "it would be null in another order");
    for value in ["1e400", "[1e400]", r#""\ud800""#, r#"{"b":"\udc00"}"#, "01", "-", "\"\t\""] {
        let json = format!("{{\"a\":{value}}}");
        assert_eq!(Claims::parse(json.as_bytes()), Err(TokenError::Malformed), "{json}");
    }
}

#[test]
fn names_and_texts_are_found_however_they_are_written() {
    let spaced =
        claims("{ \"\\u0069ss\" : \"a\\u0062\" ,\n\"aud\" : [ \"x\\ty\", \"z\" ], \"n\":null }");
    assert_eq!(spaced.text("iss"), Ok(Some("ab".into())));
    assert_eq!(spaced.audiences(), Ok(vec!["x\ty".into(), "z".into()]));
    assert_eq!((spaced.get("n"), spaced.has("n"), spaced.has("m")), (None, true, false));
    assert_eq!(spaced.text("a"), Ok(None), "a part of a name is none");
}

proptest! {
    #[test]
    fn every_claim_is_what_it_was_and_no_other_is_there(
        members in prop::collection::btree_map("[ab\"\\\\é]{0,2}", any_json(), 0..6),
        absent in "[ab]{0,3}",
    ) {
        let object: Map<String, Value> = members.into_iter().collect();
        for claims in [claims(&Value::Object(object.clone()).to_string()), Claims::from(&object)] {
            prop_assert_eq!(&claims.to_map(), &object);
            for name in object.keys().chain([&absent]) {
                let value = object.get(name);
                prop_assert_eq!(claims.has(name), value.is_some());
                prop_assert_eq!(claims.get(name), value.filter(|value| !value.is_null()).cloned());
            }
        }
    }

    #[test]
    fn a_value_is_good_where_a_parser_of_all_at_once_reads_it(one in VALUES, other in VALUES) {
        let json = format!("{{\"a\":{one},\"b\":{other}}}");
        let whole = serde_json::from_str::<Map<String, Value>>(&json).map_err(|_| TokenError::Malformed);
        prop_assert_eq!(Claims::parse(json.as_bytes()).map(|claims| claims.to_map()), whole, "{}", json);
    }
}

/// Texts that are JSON, and some that nearly are.
const VALUES: &str = concat!(
    r#"[0-9]{1,3}|-0|-?[1-9]e[0-9]{1,3}|0[0-9]|[0-9]\.[0-9]?|null|true|nul|"[a ]{0,2}"|"\\(u[d0][089a-f][0-9a]{2}|[nx])""#,
    r#"|\[(1|"a"|1e999|"\\ud800")?,?\]|\{("a":(1|1e999),?){0,2}\}|[\[\]0-9e.\-a\\{} ,]{0,5}"#
);

/// Any value of JSON.
pub(in crate::token) fn any_json() -> impl Strategy<Value = Value> {
    let text = any::<String>;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(text(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

#[test]
fn times_are_whole_seconds_and_nothing_else() {
    assert_eq!(claims(r#"{"exp":5}"#).time("exp"), Ok(Some(UnixTime::from_secs(5))));
    for value in
        ["\"5\"", "5.0", "5.5", "-5", "1e3", "null", "true", "[5]", "{}", "99999999999999999999"]
    {
        let claims = claims(&format!(r#"{{"exp":{value}}}"#));
        assert_eq!(claims.time("exp"), Err(TokenError::BadClaim("exp")), "{value}");
    }
}

#[test]
fn texts_of_another_type_are_refused() {
    for value in ["5", "[\"x\"]", "{}", "true"] {
        let claims = claims(&format!(r#"{{"iss":{value}}}"#));
        assert_eq!(claims.text("iss"), Err(TokenError::BadClaim("iss")), "{value}");
    }
    assert_eq!(claims(r#"{"aud":["a",5]}"#).audiences(), Err(TokenError::BadClaim("aud")));
}

#[test]
fn scopes_are_read_from_all_three_places() {
    let claims = claims(r#"{"scope":"b a  a","scp":["c"],"scopes":["d e","","f\u0000g"]}"#);
    let scopes = claims.scopes().unwrap();
    assert_eq!(scopes.iter().collect::<Vec<_>>(), ["a", "b", "c", "d e"]);
    assert!(scopes.contains("a") && !scopes.contains("d") && !scopes.contains(""));
    assert!(!scopes.contains("f") && !scopes.contains("f\0g") && !scopes.contains("a\0b"));
    assert!(!ScopeSet::default().contains(""));
}

#[test]
fn scopes_of_another_type_are_refused() {
    for json in [r#"{"scope":5}"#, r#"{"scp":[5]}"#, r#"{"scopes":{"a":1}}"#] {
        assert!(claims(json).scopes().is_err(), "{json}");
    }
}

#[test]
fn the_subject_goes_by_the_older_names_too() {
    for (json, subject) in [
        (r#"{"sub":"a","user_id":"b"}"#, Some("a")),
        (r#"{"user_id":"b","identifier":"c"}"#, Some("b")),
        (r#"{"user_id":7}"#, Some("7")),
        (r#"{"user_id":-7}"#, Some("-7")),
        (r#"{"user_id":18446744073709551617}"#, Some("18446744073709551617")),
        (r#"{"identifier":18446744073709551999}"#, Some("18446744073709551999")),
        (r#"{"identifier":"c"}"#, Some("c")),
        ("{}", None),
    ] {
        assert_eq!(claims(json).subject().unwrap().as_deref(), subject, "{json}");
    }
    for json in [r#"{"sub":7}"#, r#"{"sub":"","user_id":"b"}"#, r#"{"user_id":[]}"#] {
        assert!(claims(json).subject().is_err(), "{json}");
    }
    for number in ["7.0", "7.5", "7e0", "70e-1", "1e400", "-0", "18446744073709551617.0"] {
        let json = format!(r#"{{"user_id":{number}}}"#);
        let refused = Claims::parse(json.as_bytes()).and_then(|claims| claims.subject());
        assert!(refused.is_err(), "{json}");
    }
}

#[test]
fn refresh_and_identity_tokens_are_not_for_access() {
    for json in [r#"{"token_type":"refresh"}"#, r#"{"type":"Refresh"}"#, r#"{"type":"id_token"}"#] {
        for is_declared in [false, true] {
            let refused = claims(json).check_use(is_declared);
            assert_eq!(refused, Err(TokenError::WrongType), "{json}");
        }
    }
    assert!(claims(r#"{"token_type":["refresh"]}"#).check_use(true).is_err());
    for json in [r#"{"token_type":"access"}"#, r#"{"type":"human"}"#, r#"{"typ":"Bearer"}"#, "{}"] {
        assert!(claims(json).check_use(false).is_ok(), "{json}");
    }
}

#[test]
fn claims_of_id_and_logout_tokens_give_them_away_unless_they_say_what_they_are() {
    for giveaway in [
        r#""nonce":"n""#,
        r#""at_hash":"x""#,
        r#""c_hash":"x""#,
        r#""s_hash":"x""#,
        r#""events":{"http://schemas.openid.net/event/backchannel-logout":{}}"#,
        r#""events":{}"#,
    ] {
        let plain = claims(&format!("{{{giveaway}}}"));
        assert_eq!(plain.check_use(false), Err(TokenError::WrongType), "{giveaway}");
        assert_eq!(plain.check_use(true), Ok(()), "{giveaway}");
        // Keycloak's access tokens had a nonce for long, and say `Bearer`.
        let bearer = claims(&format!(r#"{{{giveaway},"typ":"Bearer"}}"#));
        assert_eq!(bearer.check_use(false), Ok(()), "{giveaway}");
    }
    assert_eq!(claims(r#"{"nonce":null}"#).check_use(false), Ok(()));
}
