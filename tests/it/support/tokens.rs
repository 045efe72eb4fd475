//! Tokens that no honest issuer would make, each one step away from a good one.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::realm::Realm;

/// The claims of a token, unverified.
pub fn claims(token: &str) -> Value {
    part(token, 1)
}

/// The header of a token, unverified.
pub fn header(token: &str) -> Value {
    part(token, 0)
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).expect("a token has three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

/// Every bad token that is made from a good one, with the name of what is wrong with it.
pub fn bad(realm: &Realm, good: &str) -> Vec<(&'static str, String)> {
    let (mut early, mut other, mut typed) = (claims(good), claims(good), claims(good));
    let now = early["iat"].as_i64().expect("the token says when it was made");
    early["nbf"] = json!(now + 3600);
    other["iss"] = json!("somebody-else");
    typed["exp"] = json!((now + 3600).to_string());
    let parts: Vec<&str> = good.split('.').collect();
    let true_key = realm.private_pem();
    vec![
        ("expired", expired(good, &true_key)),
        ("not yet good", signed(good, &early, &true_key)),
        ("another issuer's", signed(good, &other, &true_key)),
        ("an expiry that is text", signed(good, &typed, &true_key)),
        ("tampered claims", tampered(good)),
        ("tampered signature", format!("{}.{}.{}", parts[0], parts[1], flipped(parts[2]))),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("foreign key", signed(good, &claims(good), &realm.foreign_pem())),
        ("algorithm none", none(good)),
        ("HS256 with the public key as its secret", confused(good, &realm.public_pem())),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("rubbish", "rubbish".to_owned()),
    ]
}

/// The good token as it was hours ago: well beyond LEEWAY, which is a minute.
pub fn expired(good: &str, pem: &str) -> String {
    let mut late = claims(good);
    let made = late["iat"].as_i64().expect("the token says when it was made");
    (late["iat"], late["exp"]) = (json!(made - 7200), json!(made - 3600));
    signed(good, &late, pem)
}

/// The good token's header over other claims, signed with ES256.
pub fn signed(good: &str, claims: &Value, pem: &str) -> String {
    let header = Header { kid: kid(good), ..Header::new(Algorithm::ES256) };
    let key = EncodingKey::from_ec_pem(pem.as_bytes()).expect("an EC key");
    jsonwebtoken::encode(&header, claims, &key).expect("a signature")
}

fn kid(token: &str) -> Option<String> {
    header(token)["kid"].as_str().map(str::to_owned)
}

/// The user is another; the signature is as it was.
fn tampered(good: &str) -> String {
    let mut claims = claims(good);
    claims["sub"] = json!("root");
    let parts: Vec<&str> = good.split('.').collect();
    format!("{}.{}.{}", parts[0], encoded(&claims), parts[2])
}

/// One bit of the first byte is another; the last character could hold bits that do not count.
fn flipped(signature: &str) -> String {
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    bytes[0] ^= 1;
    URL_SAFE_NO_PAD.encode(bytes)
}

fn none(good: &str) -> String {
    let mut header = header(good);
    header["alg"] = json!("none");
    format!("{}.{}.", encoded(&header), encoded(&claims(good)))
}

fn confused(good: &str, public_pem: &str) -> String {
    let header = Header { kid: kid(good), ..Header::new(Algorithm::HS256) };
    let secret = EncodingKey::from_secret(public_pem.as_bytes());
    jsonwebtoken::encode(&header, &claims(good), &secret).expect("a signature")
}

fn encoded(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}
