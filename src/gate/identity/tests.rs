use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::clock::UnixTime;
use crate::session::{SessionId, UserId};
use crate::token::{Claims, Issuer};

#[test]
fn values_never_leave_their_header() {
    for (text, encoded) in [
        ("alice", "alice"),
        ("a@b.example", "a@b.example"),
        ("Jürgen, Ops", "J%C3%BCrgen%2C Ops"),
        ("x\r\nX-Auth-Roles: admin", "x%0D%0AX-Auth-Roles: admin"),
        ("100%", "100%25"),
        (" a b ", "%20a b%20"),
        (" ", "%20"),
        ("\u{0}\u{7f}\t", "%00%7F%09"),
        ("", ""),
    ] {
        assert_eq!(encode(text), encoded);
    }
}

#[test]
fn lists_keep_their_members_apart() {
    for (value, text) in [
        (json!(["a", "b,c", "d e"]), "a,b%2Cc,d e"),
        (json!([1, true, {"a": 1}]), "1,true,{\"a\":1}"),
        (json!(7), "7"),
        (json!(u64::MAX), "18446744073709551615"),
        (json!(i64::MIN), "-9223372036854775808"),
        (json!([]), ""),
    ] {
        assert_eq!(render(&value).as_deref(), Ok(text), "{value}");
    }
}

#[test]
fn a_number_that_is_no_integer_is_nobodys_name() {
    for value in [json!(1.5), json!(7.0), json!([1, 2e3]), json!({"a": [{"b": 0.1}]})] {
        assert_eq!(render(&value), Err(IdentityError::NotAnInteger), "{value}");
    }
}

/// The headers of one setting, for a token and its session.
struct Case {
    headers: IdentityHeaders,
    prefix: &'static str,
}

impl Case {
    fn of(setting: &str) -> Self {
        Self { headers: IdentityHeaders::parse(setting).unwrap(), prefix: "" }
    }

    fn sent(&self, claims: Value, session: Option<Value>, header: &str) -> String {
        let object = |value: Value| value.as_object().unwrap().clone();
        let session = session.map(|claims| Session {
            claims: object(claims),
            ..Session::new(
                SessionId::parse("s").unwrap(),
                UserId::parse("a").unwrap(),
                UnixTime::EPOCH,
                UnixTime::EPOCH,
            )
        });
        let token = verified(&object(claims), self.prefix);
        let headers = self.headers.render(&token, session.as_ref()).unwrap();
        headers[header].to_str().unwrap().to_owned()
    }
}

fn verified(claims: &Map<String, Value>, prefix: &str) -> Verified {
    let claims = Claims::from(claims);
    Verified {
        subject: claims.subject().unwrap().unwrap_or_default(),
        scopes: claims.scopes().unwrap(),
        session: None,
        issuer: Arc::new(Issuer {
            name: "us".into(),
            user_prefix: prefix.to_owned(),
            ..Issuer::default()
        }),
        claims,
        signature: None,
        usable_from: UnixTime::EPOCH,
        usable_until: UnixTime::EPOCH,
    }
}

#[test]
fn the_issuer_is_told_by_the_token_alone() {
    let usual = Case::of("");
    let of = |claims, session| usual.sent(claims, session, "x-auth-issuer");
    assert_eq!(of(json!({"iss": "https://a.test"}), Some(json!({"iss": "b"}))), "https://a.test");
    assert_eq!(of(json!({}), Some(json!({"iss": "b"}))), "");
}

#[test]
fn a_prefix_stands_before_what_a_user_is_called_by_and_nothing_else() {
    let case = Case { prefix: "batch:", ..Case::of("X-Id=user_id, X-Tenant=tenant") };
    let claims = json!({"sub": "al,ice", "username": "al", "email": "a@b.test", "tenant": 7});
    for (header, value) in [
        ("x-auth-user", "batch:al%2Cice"),
        ("x-auth-username", "batch:al"),
        ("x-auth-email", "a@b.test"),
        ("x-tenant", "7"),
        ("x-id", ""),
    ] {
        assert_eq!(case.sent(claims.clone(), None, header), value, "{header}");
    }
}

#[test]
fn what_nobody_verified_is_not_sent_unless_the_operator_wants_it() {
    let case = Case::of("X-Phone=phone_number, X-Inner=user.email, X-Auth-User=email|sub");
    let all = Case { headers: case.headers.clone().sending_unverified(true), ..case };
    let email = |verified: Value| json!({"sub": "a", "email": "e@x", "email_verified": verified});
    for (claims, session, header, value) in [
        (email(json!(true)), None, "x-auth-email", "e@x"),
        (email(json!("true")), None, "x-auth-email", "e@x"),
        (email(Value::Null), None, "x-auth-email", "e@x"),
        (json!({"email": "e@x"}), None, "x-auth-email", "e@x"),
        (email(json!(false)), None, "x-auth-email", ""),
        (email(json!("false")), None, "x-auth-email", ""),
        (email(json!(0)), None, "x-auth-email", ""),
        // Nor as a name of the user: for who reads the header, the next claim is another user's.
        (email(json!(false)), None, "x-auth-user", ""),
        (json!({"sub": "a"}), Some(email(json!(false))), "x-auth-email", ""),
        (json!({"email": "e@x"}), Some(json!({"email_verified": false})), "x-auth-email", ""),
        (json!({"user": email(json!(false))}), None, "x-inner", ""),
        (json!({"phone_number": "5", "phone_number_verified": false}), None, "x-phone", ""),
    ] {
        let sent = case.sent(claims.clone(), session.clone(), header);
        assert_eq!(sent, value, "{header} of {claims} and {session:?}");
        let sent = all.sent(claims.clone(), session, header);
        assert!(!sent.is_empty(), "{header} of {claims}, where all is sent");
    }
    let case = Case::of("X-Auth-Email=mail");
    let claims = json!({"mail": "e@x", "email_verified": false});
    assert_eq!(case.sent(claims, None, "x-auth-email"), "", "whatever its claim is called");
}

#[test]
fn the_setting_adds_and_overrides() {
    let headers = IdentityHeaders::parse("X-Auth-Email=mail, X-Tenant=tenant|org.id").unwrap();
    let claims = |index: usize| -> Vec<_> {
        headers.mappings[index].claims.iter().map(ClaimPath::as_str).collect()
    };
    assert_eq!(headers.mappings.len(), DEFAULT.len() + 1);
    assert_eq!((claims(2), claims(7)), (vec!["mail"], vec!["tenant", "org.id"]));
    assert_eq!(IdentityHeaders::parse("").unwrap(), IdentityHeaders::default());
    for (mapping, (name, _)) in IdentityHeaders::default().mappings.iter().zip(DEFAULT) {
        assert_eq!(mapping.header, name);
    }
}

#[test]
fn entries_that_cannot_be_used_are_all_named() {
    let mistakes = IdentityHeaders::parse(
        "x, A b=c, X_Y=z, Set-Cookie=c, X-A=, X-B=a||b, X-C=a, X-C=b, X-Auth-Issuer=c",
    );
    assert_eq!(mistakes.unwrap_err().len(), 8);
}

/// What a gateway reads of an answer has a bound (CVE-2026-26998), whatever is in a token.
#[test]
fn an_identity_takes_so_many_bytes_and_no_more() {
    let headers = IdentityHeaders::default();
    let bytes_of = |email: usize, name: usize| {
        let claims =
            json!({"sub": "a", "email": "e".repeat(email), "username": "\u{fc}".repeat(name)});
        let token = verified(claims.as_object().unwrap(), "");
        let headers = headers.render(&token, None)?;
        Ok(headers.iter().map(|(name, value)| line_bytes(name, value.len())).sum::<usize>())
    };
    let least = bytes_of(0, 0).unwrap();
    assert_eq!(bytes_of(MAX_BYTES - least, 0), Ok(MAX_BYTES));
    assert_eq!(bytes_of(MAX_BYTES - least + 1, 0), Err(IdentityError::TooLarge));
    // One letter is six bytes there.
    assert!(bytes_of(MAX_BYTES / 2, 1_300).is_ok());
    assert_eq!(bytes_of(MAX_BYTES / 2, 1_400), Err(IdentityError::TooLarge));
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let hex = std::str::from_utf8(&tail[..2]).unwrap();
            bytes.push(u8::from_str_radix(hex, 16).unwrap());
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).unwrap()
}

proptest! {
    #[test]
    fn whatever_a_claim_holds_is_one_clean_value_and_can_be_read_back(text in ".*") {
        let encoded = encode(&text);
        prop_assert!(encoded.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b','));
        prop_assert_eq!(encoded.trim(), &encoded);
        prop_assert!(HeaderValue::from_str(&encoded).is_ok());
        prop_assert_eq!(decode(&encoded), text);
    }
}
