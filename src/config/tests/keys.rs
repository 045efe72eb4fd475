//! Keys, of which no mistake repeats one.

use super::*;

#[test]
fn tp_auths_keys_are_base64_of_pem() {
    let (private, public) = pem_pair(Algorithm::RS256);
    for (private, public) in
        [(private.clone(), public.clone()), (STANDARD.encode(&private), STANDARD.encode(&public))]
    {
        let config = from_environment(&[
            ("ALGORITHM", "RS256"),
            ("PUBLIC_KEY", &public),
            ("PRIVATE_KEY", &private),
        ])
        .unwrap();
        assert!(config.tokens.signing.is_some());
        // A resource server needs the public key alone.
        let config = from_environment(&[("ALGORITHM", "RS256"), ("PUBLIC_KEY", &public)]).unwrap();
        assert!(config.tokens.signing.is_none());
    }
}

#[test]
fn jwthenticators_names_mean_rs256_and_no_iss() {
    let (_, public) = pem_pair(Algorithm::RS256);
    let config = from_environment(&[
        ("RSA_PUBLIC_KEY", &public),
        ("PORT", "9999"),
        ("URL_PREFIX", "/auth/"),
        ("JWT_AUDIENCE", "a, b"),
    ])
    .unwrap();
    assert_eq!(issuer(&config).iss, None);
    assert_eq!(issuer(&config).audiences, ["a", "b"]);
    assert_eq!(config.gate.listen.addresses, ["127.0.0.1:9999".parse().unwrap()]);
    assert_eq!(config.gate.prefix, "/auth");
    let config = from_environment(&[("RSA_PUBLIC_KEY", &public), ("ISSUER", "us")]).unwrap();
    assert_eq!(issuer(&config).iss.as_deref(), Some("us"));
}

#[test]
fn keys_that_cannot_protect_anything_are_refused() {
    let (private, public) = pem_pair(Algorithm::ES256);
    for (values, told) in [
        (&[("SECRET_KEY", "0123456789abcdef0123456789abcde")][..], "at least 32"),
        (&[("SECRET_KEY", SECRET), ("ALGORITHM", "HS512")], "at least 64"),
        (&[("SECRET_KEY", SECRET), ("ALGORITHM", "none")], "never accepted"),
        (&[("SECRET_KEY", SECRET), ("ALGORITHM", "HS257")], "not an algorithm"),
        (&[("PUBLIC_KEY", &public), ("ALGORITHM", "es256")], "write ES256"),
        (&[("SECRET_KEY", &public)], "must never be used"),
        (&[("PUBLIC_KEY", &private), ("ALGORITHM", "ES256")], "private key"),
        (&[("PUBLIC_KEY", &public), ("ALGORITHM", "RS256")], "does not fit"),
        (&[("PUBLIC_KEY", &public)], "needs SECRET_KEY"),
        (&[("PUBLIC_KEY", "garbage"), ("ALGORITHM", "ES256")], "not one key in PEM"),
        (&[("SECRET_KEY", SECRET), ("ALGORITHM", "ES256")], "needs PUBLIC_KEY"),
        (&[("DATA_DIR", "/nonexistent")], "there is no key"),
    ] {
        let told_in_fact = mistake(values);
        assert!(told_in_fact.contains(told), "{told_in_fact}");
        let in_key = private.lines().chain(public.lines()).any(|line| told_in_fact.contains(line));
        assert!(!told_in_fact.contains(SECRET) && !in_key, "{told_in_fact}");
    }
}

#[test]
fn a_public_key_is_no_secret_in_whatever_form_it_is_written() {
    let (private, public) = pem_pair(Algorithm::RS256);
    let key = SigningKey::from_private_pem(Algorithm::RS256, &Secret::new(&*private)).unwrap();
    let jwk = serde_json::to_string(key.verifying().public().unwrap().jwk()).unwrap();
    let body: String = public.lines().filter(|line| !line.starts_with('-')).collect();
    for text in [&public, &STANDARD.encode(&public), &body, &jwk, &STANDARD.encode(&jwk), &private]
    {
        assert!(mistake(&[("SECRET_KEY", text)]).contains("a key of a pair"), "{text}");
        let hook = [("SECRET_KEY", SECRET), ("TOKEN_HOOK_SECRET", text.as_str())];
        assert!(mistake(&hook).contains("a key of a pair"), "{text}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("der");
    std::fs::write(&file, STANDARD.decode(&body).unwrap()).unwrap();
    let table = "[[issuers]]\nissuer = \"x\"\nalgorithm = \"HS256\"\nsecret_key_file = ";
    let told = from_file(&format!("{table}\"{}\"", file.display()), &[]);
    assert!(told.expect_err("DER is refused").to_string().contains("a key of a pair"));
}

#[test]
fn two_kinds_of_keys_need_an_algorithm_that_says_which_is_used() {
    let (_, public) = pem_pair(Algorithm::ES256);
    let both = [("SECRET_KEY", SECRET), ("PUBLIC_KEY", public.as_str())];
    assert!(mistake(&both).contains("which of them is used"));
    for (algorithm, unused) in [("HS256", "PUBLIC_KEY: "), ("ES256", "SECRET_KEY: ")] {
        let config = from_environment(&[&both[..], &[("ALGORITHM", algorithm)]].concat()).unwrap();
        let told = &config.warnings[0];
        assert!(told.starts_with(unused) && told.contains("is not used"), "{told}");
    }
}

#[test]
fn a_key_that_cannot_be_had_is_told_once() {
    let on = ("AUTHORIZATION_SERVER", "true");
    let es256 = ("ALGORITHM", "ES256");
    for (values, place) in [
        (&[on][..], "AUTHORIZATION_SERVER: there is no key that signs"),
        (&[on, es256, ("PRIVATE_KEY_FILE", "/nonexistent")], "PRIVATE_KEY_FILE: cannot read"),
        (&[on, es256, ("PRIVATE_KEY", "rubbish")], "PRIVATE_KEY: this is not one key in PEM"),
        (&[on, ("SECRET_KEY", "short")], "SECRET_KEY: this secret has 5 bytes"),
        (&[("PUBLIC_KEY_FILE", "/nonexistent"), es256], "PUBLIC_KEY_FILE: cannot read"),
        (&[on, ("KEY_RING_FILE", "/nonexistent")], "KEY_RING_FILE: /nonexistent: "),
    ] {
        assert!(mistake(values).starts_with(place), "{}", mistake(values));
    }
}

#[test]
fn a_pair_that_is_none_is_refused() {
    let ((private, _), (_, public)) = (pem_pair(Algorithm::ES256), pem_pair(Algorithm::ES256));
    let told =
        mistake(&[("ALGORITHM", "ES256"), ("PUBLIC_KEY", &public), ("PRIVATE_KEY", &private)]);
    assert!(told.contains("no pair"), "{told}");
}

#[test]
fn a_secret_may_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, format!("{SECRET}\n")).unwrap();
    let path = path.to_str().unwrap();
    assert!(from_environment(&[("SECRET_KEY_FILE", path)]).is_ok());
    assert!(with_secret(&[("SECRET_KEY_FILE", path)]).is_ok(), "they agree");
    let told =
        mistake(&[("SECRET_KEY_FILE", path), ("SECRET_KEY", "another-secret-another-secret-xx")]);
    assert!(told.contains("disagree") && !told.contains("another"), "{told}");
    assert!(with_secret(&[("DB_URL_FILE", "/nonexistent")]).is_err());
}

#[test]
fn several_issuers_each_have_their_own_rules() {
    let folder = tempfile::tempdir().unwrap();
    let (_, public) = pem_pair(Algorithm::ES256);
    std::fs::write(folder.path().join("a.pem"), public).unwrap();
    let place = folder.path().display();
    let config = from_file(
        &format!(
            "[[issuers]]\nissuer = \"a\"\nalgorithm = \"ES256\"\npublic_key_file = \"{place}/a.pem\"\n\
             session_rule = \"required\"\naudiences = [\"x\"]\n\
             access_token_type = \"at+jwt\"\nuser_prefix = \"a:\"\n\
             [[issuers]]\nissuer = \"b\"\njwks_url = \"https://idp.example/keys\"\n\
             session_rule = \"ignored\"\n\
             [[issuers]]\nissuer = \"c\"\n\
             keys = [{{kid = \"1\", algorithm = \"ES256\", public_key_file = \"{place}/a.pem\"}}]\n"
        ),
        &[],
    )
    .unwrap();
    let issuers = &config.tokens.issuers;
    let rules: Vec<_> = issuers.iter().map(|issuer| issuer.sessions).collect();
    let expected = [SessionRule::Required, SessionRule::Ignored, SessionRule::WhenPresent];
    assert_eq!(rules, expected);
    assert_eq!(issuers[0].audiences, ["x"]);
    let types: Vec<_> = issuers.iter().map(|issuer| issuer.at_jwt_only).collect();
    assert_eq!(types, [true, false, false]);
    assert_eq!((issuers[0].user_prefix.as_str(), issuers[1].user_prefix.as_str()), ("a:", ""));
    assert!(matches!(&issuers[1].keys, KeysConfig::Published(_)));
    assert!(matches!(&issuers[2].keys, KeysConfig::Fixed(keys) if keys[0].id().is_some()));
}

#[test]
fn the_key_that_dev_made_serves_beside_dev_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().to_str().unwrap();
    let pem: Secret = key::generate(DEV_KEY_ALGORITHM, &SystemRandom).unwrap();
    std::fs::write(folder.path().join(DEV_KEY_FILE), pem.expose()).unwrap();
    let sources = Sources { environment: pairs(&[("DATA_DIR", data_dir)]), ..Sources::default() };
    assert!(Config::load_for_command(&sources).unwrap().tokens.signing.is_some());
    // A server for production does not trust it, also where a key was meant and is empty.
    for values in
        [&[("DATA_DIR", data_dir)][..], &[("DATA_DIR", data_dir), ("PUBLIC_KEY_FILE", "")]]
    {
        assert!(mistake(values).contains("never used unasked"));
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let (private, _) = pem_pair(Algorithm::RS256);
    for (name, value) in [
        ("RSA_PRIVATE_KEY_PATH", private.as_str()),
        ("DB_URL_FILE", "redis://:hunter2@localhost"),
        ("PRIVATE_KEY_FILE", "hunter2"),
        ("DB_URL", "mysql://:hunter2@localhost"),
        ("DB_URL", "redis://:hunter2@"),
    ] {
        let told = with_secret(&[(name, value)]).expect_err(name).to_string();
        let repeats = told.contains("hunter2") || private.lines().any(|line| told.contains(line));
        assert!(told.contains(name) && !repeats, "{told}");
    }
    for content in [
        "issuers = \"hunter2\"",
        "[[issuers]]\nissuer = \"x\"\nkeys = [\"hunter2\"]",
        "[[issuers]]\nissuer = {hunter2 = 1}",
        "[[issuers]]\nissuer = \"x\"\nalgorithm = \"HS256\"\nsecret_key_file = \"hunter2\"",
        "secret_key = hunter2",
        "port = \"hunter2",
    ] {
        let told = from_file(content, &[]).expect_err(content).to_string();
        assert!(!told.contains("hunter2"), "{content}: {told}");
        assert!(!told.contains("there is no key"), "{content}: {told}");
    }
}

#[test]
fn one_key_in_two_forms_is_one_key() {
    let (_, public) = pem_pair(Algorithm::RS256);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    std::fs::write(&path, &public).unwrap();
    let config = from_environment(&[
        ("ALGORITHM", "RS256"),
        ("PUBLIC_KEY", &STANDARD.encode(&public)),
        ("RSA_PUBLIC_KEY_PATH", path.to_str().unwrap()),
    ]);
    assert!(config.is_ok(), "{config:?}");
}
