//! What is found in a request, and what is refused.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

/// A text of the form of our keys: the prefix, and 256 bits.
const KEY: &str = "pk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

const ALL: AcceptedKinds = AcceptedKinds { api_keys: true, basic: true };

/// The headers of a request with these lines.
fn headers(lines: &[(HeaderName, &[u8])]) -> HeaderMap {
    let lines =
        lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_bytes(value).unwrap()));
    lines.collect()
}

fn cookie_lines(lines: &[&[u8]]) -> HeaderMap {
    headers(&lines.iter().map(|line| (COOKIE, *line)).collect::<Vec<_>>())
}

fn cookie(name: &str) -> Cookies {
    Cookies { single: Some(name.to_owned()), pair: None }
}

fn in_authorization(value: &[u8]) -> Result<String, DenialCode> {
    find(&headers(&[(AUTHORIZATION, value)]), &cookie("t"), AcceptedKinds::default())
        .map(|it| it.credential.to_owned())
}

fn in_cookie(lines: &[&[u8]]) -> Result<String, DenialCode> {
    find(&cookie_lines(lines), &cookie("t"), AcceptedKinds::default())
        .map(|it| it.credential.to_owned())
}

#[test]
fn a_bearer_token_is_found() {
    for value in ["Bearer x.y.z", "bearer x.y.z", "BEARER  x.y.z", " Bearer x.y.z "] {
        assert_eq!(in_authorization(value.as_bytes()).as_deref(), Ok("x.y.z"), "{value}");
    }
}

#[test]
fn a_token_that_is_bound_to_a_key_has_a_scheme_of_its_own() {
    for (value, source) in [
        ("DPoP x.y.z", CredentialSource::Dpop),
        ("dpop  x.y.z", CredentialSource::Dpop),
        ("Bearer x.y.z", CredentialSource::Bearer),
    ] {
        let headers = headers(&[(AUTHORIZATION, value.as_bytes())]);
        let found = find(&headers, &Cookies::default(), AcceptedKinds::default()).unwrap();
        assert_eq!((found.credential, found.source), ("x.y.z", source), "{value}");
        assert_eq!(is_dpop(&headers), source == CredentialSource::Dpop, "{value}");
    }
    for value in ["DPoPx y", "x DPoP y"] {
        let missing = Err(DenialCode::MissingCredentials);
        assert_eq!(in_authorization(value.as_bytes()), missing, "{value}");
    }
    assert_eq!(in_authorization(b"DPoP "), Err(DenialCode::MalformedCredentials));
}

#[test]
fn another_scheme_is_no_credential_here() {
    for value in ["Basic eHg6eHg=", "x.y.z", "", "Bearerx y", "Digest a, b"] {
        let missing = Err(DenialCode::MissingCredentials);
        assert_eq!(in_authorization(value.as_bytes()), missing, "{value}");
    }
}

#[test]
fn a_name_and_a_password_are_a_credential_where_they_are_accepted() {
    let basic = |value: &[u8], accepted| {
        let lines = headers(&[(AUTHORIZATION, value)]);
        find(&lines, &Cookies::default(), accepted)
            .map(|found| (found.source == CredentialSource::Basic, found.credential.to_owned()))
    };
    let (missing, malformed) =
        (Err(DenialCode::MissingCredentials), Err(DenialCode::MalformedCredentials));
    for value in [&b"Basic YTpi"[..], b"BASIC  YTpi", b" basic YTpi "] {
        assert_eq!(basic(value, ALL), Ok((true, "YTpi".to_owned())));
        assert_eq!(basic(value, AcceptedKinds::default()), missing);
    }
    for value in [&b"Basic"[..], b"Basic ", b"Basic a b", b"Basic a,Basic b", b"Basic \xff"] {
        assert_eq!(basic(value, ALL), malformed);
    }
    assert_eq!(basic(b"Basicx YTpi", ALL), missing);
}

#[test]
fn what_cannot_be_read_in_one_way_is_refused() {
    for value in [&b"Bearer"[..], b"Bearer ", b"Bearer a b", b"Bearer a,Bearer b", b"Bearer \xff"] {
        assert_eq!(in_authorization(value), Err(DenialCode::MalformedCredentials));
    }
    let twice = headers(&[(AUTHORIZATION, b"Bearer a"), (AUTHORIZATION, b"Bearer a")]);
    assert_eq!(
        find(&twice, &Cookies::default(), AcceptedKinds::default()),
        Err(DenialCode::MalformedCredentials)
    );
}

#[test]
fn the_cookie_is_found_among_others() {
    for lines in [
        &[&b"t=x"[..]][..],
        &[b"a=1; t=x; b=2"],
        &[b"tt=1;t=x"],
        &[b"a=1", b"t=x"],
        &[b"t=x; t=x"],
        &[b"bad\xff; =; ;;; t=x"],
    ] {
        assert_eq!(in_cookie(lines).as_deref(), Ok("x"), "{lines:?}");
    }
}

#[test]
fn cookies_that_disagree_are_refused() {
    for lines in [&[&b"t=x; t=y"[..]][..], &[b"t=x", b"t=y"], &[b"t=; t=y"], &[b"t=\xff"]] {
        assert_eq!(in_cookie(lines), Err(DenialCode::MalformedCredentials), "{lines:?}");
    }
}

#[test]
fn a_cookie_of_another_name_is_no_credential() {
    for lines in [&[&b"tt=x"[..]][..], &[b"T=x"], &[b"t"], &[b"t="], &[b"a=t=x"], &[b""]] {
        assert_eq!(in_cookie(lines), Err(DenialCode::MissingCredentials), "{lines:?}");
    }
    let cookie = cookie_lines(&[b"t=x"]);
    assert_eq!(
        find(&cookie, &Cookies::default(), AcceptedKinds::default()),
        Err(DenialCode::MissingCredentials)
    );
}

#[test]
fn two_different_credentials_are_refused_and_the_same_twice_is_one() {
    let cookies = Cookies { pair: Some(CookiePair::TP_AUTH), ..cookie("t") };
    let find = |lines: &[(HeaderName, &[u8])]| {
        find(&headers(lines), &cookies, ALL).map(|found| found.credential.to_owned())
    };
    let key = || HeaderName::from_static(API_KEY);
    let (several, bearer) = (Err(DenialCode::SeveralCredentials), format!("Bearer {KEY}"));
    for (lines, expected) in [
        (vec![(AUTHORIZATION, &b"Bearer a"[..]), (COOKIE, b"t=a")], Ok("a".to_owned())),
        (vec![(AUTHORIZATION, bearer.as_bytes()), (key(), KEY.as_bytes())], Ok(KEY.to_owned())),
        (vec![(AUTHORIZATION, b"Digest a"), (COOKIE, b"t=b")], Ok("b".to_owned())),
        (vec![(AUTHORIZATION, b"Basic YTpi")], Ok("YTpi".to_owned())),
        (vec![(AUTHORIZATION, b"basic  pk_a"), (COOKIE, b"u=pk_a")], Ok("pk_a".to_owned())),
        (vec![(AUTHORIZATION, b"Basic a"), (COOKIE, b"t=b")], several.clone()),
        (vec![(AUTHORIZATION, b"Basic a"), (COOKIE, b"t=a")], several.clone()),
        (vec![(AUTHORIZATION, b"Basic pk_a"), (key(), KEY.as_bytes())], several.clone()),
        (vec![(COOKIE, b"user_id=alice; access_token=a; t=a")], Ok("a".to_owned())),
        (vec![(AUTHORIZATION, b"Bearer a"), (COOKIE, b"t=b")], several.clone()),
        (vec![(AUTHORIZATION, b"Bearer a"), (key(), KEY.as_bytes())], several.clone()),
        (vec![(key(), KEY.as_bytes()), (COOKIE, b"t=b")], several.clone()),
        (vec![(COOKIE, b"user_id=alice; access_token=a; t=b")], several),
    ] {
        assert_eq!(find(&lines), expected, "{lines:?}");
    }
}

#[test]
fn an_api_key_stands_in_its_header_where_these_are_accepted() {
    let key = |lines: &[&[u8]], accepted| {
        let name = HeaderName::from_static(API_KEY);
        let lines: Vec<_> = lines.iter().map(|line| (name.clone(), *line)).collect();
        find(
            &headers(&lines),
            &Cookies::default(),
            AcceptedKinds { api_keys: accepted, basic: false },
        )
        .map(|found| {
            let is_of_header = found.source == CredentialSource::ApiKeyHeader;
            (found.credential.to_owned(), is_of_header)
        })
    };
    let good = Ok((KEY.to_owned(), true));
    assert_eq!(key(&[KEY.as_bytes()], true), good);
    assert_eq!(key(&[format!(" {KEY} ").as_bytes()], true), good);
    assert_eq!(key(&[KEY.as_bytes()], false), Err(DenialCode::MissingCredentials));
    for lines in [
        &[&b""[..]][..],
        &[b"x"],
        &[b"a.b.c"],
        // One that somebody chose, and a handle that begins alike.
        &[b"pk_dev"],
        &[&KEY.as_bytes()[..43]],
        &[format!("{KEY} b").as_bytes()],
        &[KEY.as_bytes(), KEY.as_bytes()],
        &[b"pk_\xff"],
    ] {
        assert_eq!(key(lines, true), Err(DenialCode::MalformedCredentials), "{lines:?}");
    }
}

#[test]
fn a_pair_of_cookies_is_good_together_alone() {
    let found = |lines: &[&[u8]], cookies: &Cookies| {
        let headers = cookie_lines(lines);
        let found = find(&headers, cookies, AcceptedKinds::default())?;
        found.source.check("alice").map(|()| found.credential.to_owned())
    };
    let tp_auth = Cookies { single: None, pair: Some(CookiePair::TP_AUTH) };
    let host = Cookies { single: None, pair: Some(CookiePair::HOST) };
    let (mismatch, malformed, missing) = (
        Err(DenialCode::CookieMismatch),
        Err(DenialCode::MalformedCredentials),
        Err(DenialCode::MissingCredentials),
    );
    let good = || Ok("x".to_owned());
    for (cookies, lines, expected) in [
        (&tp_auth, &[&b"user_id=alice; access_token=x"[..]][..], good()),
        (&tp_auth, &[b"access_token=x", b"user_id=%61lice"], good()),
        (&tp_auth, &[b"access_token=x; user_id=alice; user_id=alice"], good()),
        (&tp_auth, &[b"access_token=x; user_id=bob"], mismatch.clone()),
        (&tp_auth, &[b"access_token=x; user_id="], mismatch.clone()),
        (&tp_auth, &[b"access_token=x"], mismatch.clone()),
        (&tp_auth, &[b"access_token=x; user_id=bob; user_id=alice"], malformed.clone()),
        (&tp_auth, &[b"access_token=x; access_token=y; user_id=alice"], malformed),
        (&tp_auth, &[b"user_id=alice"], missing.clone()),
        (&tp_auth, &[b"__Host-user_id=alice; __Host-access_token=x"], missing.clone()),
        (&host, &[b"__Host-user_id=alice; __Host-access_token=x"], good()),
        (&host, &[b"user_id=alice; __Host-access_token=x"], mismatch),
        (&host, &[b"user_id=alice; access_token=x"], missing.clone()),
        (&Cookies::default(), &[b"user_id=alice; access_token=x"], missing),
    ] {
        assert_eq!(found(lines, cookies), expected, "{lines:?}");
    }
}
