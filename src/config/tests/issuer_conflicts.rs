//! Settings beside `[[issuers]]`.

use super::*;

/// With one `[[issuers]]`, these members in it and these settings.
fn beside(members: &str, values: &[(&str, &str)]) -> Result<Config, Mistakes> {
    let table = "[[issuers]]\nissuer = \"them\"\njwks_url = \"https://idp.example/keys\"";
    from_file(&format!("{table}\n{members}\n"), values)
}

fn refused(members: &str, values: &[(&str, &str)], name: &str, told: &str) {
    let lines = beside(members, values).expect_err(told).lines();
    let is_reported = lines.len() == 1 && lines[0].starts_with(name) && lines[0].contains(told);
    assert!(is_reported, "{values:?}: {lines:?}");
}

#[test]
fn what_would_be_without_effect_is_a_mistake() {
    for name in ["JWT_AUDIENCE", "ISSUER"] {
        refused("", &[(name, "us")], name, "says nothing of [[issuers]]");
        refused("audiences = [\"us\"]", &[(name, "us")], name, "says nothing of [[issuers]]");
    }
    refused("", &[("ALGORITHM", "ES256")], "ALGORITHM", "says nothing of [[issuers]]");
    refused("audiences = [\"\"]", &[], "issuers[0] (them)", "an empty name");
    assert!(beside("", &[]).is_ok());
}

#[test]
fn an_audience_of_the_settings_is_never_taken_for_that_of_all() {
    let (_, public) = pem_pair(Algorithm::ES256);
    let values = [
        ("PUBLIC_KEY", &*public),
        ("ALGORITHM", "ES256"),
        ("ISSUER", "us"),
        ("JWT_AUDIENCE", "app"),
    ];
    refused("", &values, "JWT_AUDIENCE", "issuers[0] has no `audiences`");
    let config = beside("audiences = [\"app\"]", &values).unwrap();
    assert_eq!(config.tokens.issuers.len(), 2);
}

#[test]
fn a_stray_key_adds_no_issuer() {
    let (private, public) = pem_pair(Algorithm::ES256);
    let secret = ("SECRET_KEY", SECRET);
    refused("", &[secret], "SECRET_KEY", "everybody who knows this secret");
    refused("", &[secret, ("ISSUER", "us")], "SECRET_KEY", "everybody who knows this secret");
    let key = [("PUBLIC_KEY", &*public), ("ALGORITHM", "ES256")];
    refused("", &key, "PUBLIC_KEY", "nothing names it");
    refused("", &[("JWKS_URL", "https://b.example/keys")], "JWKS_URL", "nothing names it");
    assert!(beside("", &[&key[..], &[("ISSUER", "us")]].concat()).is_ok());
    // Whoever issues needs a key of his own.
    let on = ("AUTHORIZATION_SERVER", "true");
    assert!(beside("", &[secret, on]).is_ok());
    let own = [("PRIVATE_KEY", &*private), ("ALGORITHM", "ES256"), on];
    assert!(beside("", &own).is_ok());
}
