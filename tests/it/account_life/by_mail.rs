//! A whole life through a real exchange with a mail server.

use serde_json::json;

use super::{EMAIL, FIRST, SECOND, THIRD, with_token};
use crate::support::certificates::{Authority, Certificates};
use crate::support::issuer::Issuer;
use crate::support::mail_server::{MailServer, Offers};
use crate::support::realm::Realm;
use crate::support::{PATIENCE, poll, tokens};

struct Setup {
    certificates: Certificates,
    server: MailServer,
}

impl Setup {
    fn new(offers: Offers) -> Self {
        let certificates = Certificates::new(Authority::new(), None);
        let server = MailServer::start(&certificates, offers);
        Self { certificates, server }
    }

    fn realm(&self, tls: &str) -> Realm {
        let realm = Realm::issuing().mailing(&self.server, &self.certificates, tls);
        realm.with("SIGN_UP", "open").with("SIGN_UP_ROLES", "reader").with("SIGN_UP_SCOPES", "read")
    }
}

/// Signs alice up and verifies her e-mail.
fn sign_up(issuer: &Issuer, server: &MailServer) {
    let wish = json!({"email": EMAIL, "password": FIRST, "full_name": "Alice <i>"});
    assert_eq!(issuer.post("/account", &wish), 202);
    let mail = server.next();
    assert_eq!(issuer.post("/account/verify", &with_token(&mail.token(), FIRST)), 200);
}

#[test]
fn somebody_signs_up_verifies_the_e_mail_and_logs_in() {
    let setup = Setup::new(Offers::StartTls);
    let issuer = Issuer::start(&setup.realm("starttls"));
    let weak = issuer.json("/account", &json!({"email": EMAIL, "password": "alice@wonder"}));
    assert_eq!((weak.status, weak.json()["error"].clone()), (400, json!("weak_password")));
    let codes: Vec<_> = weak.json()["problems"].as_array().expect("a list").clone();
    assert!(codes.iter().any(|problem| problem["code"] == "like_a_name"), "{codes:?}");
    let wish = json!({
        "email": EMAIL, "password": FIRST, "full_name": "Alice <i>", "properties": {"theme": "dark"}
    });
    assert_eq!(issuer.post("/account", &wish), 202);
    let mail = setup.server.next();
    assert_eq!(mail.to, [EMAIL]);
    assert!(mail.by_tls && mail.logged_in, "{mail:?}");
    assert!(mail.head.contains("From: Wonderland <accounts@wonder.example>"), "{}", mail.head);
    assert!(mail.text.contains(EMAIL) && mail.html.contains(EMAIL), "{mail:?}");
    let says = format!("{} {}", mail.text, mail.html);
    assert!(!says.contains("Alice"), "what a stranger wrote is not sent to anybody: {says}");
    assert!(mail.text.contains("https://app.example/account?do=verify-email#"), "{}", mail.text);
    assert_eq!(issuer.log_in_status(EMAIL, FIRST), 400, "not before the e-mail is verified");

    let token = mail.token();
    assert_eq!(issuer.post("/account/verify", &json!({"token": token})), 400, "no password");
    assert_eq!(issuer.post("/account/verify", &with_token(&token, SECOND)), 400, "a wrong one");
    assert_eq!(issuer.post("/account/reset-password", &with_token(&token, SECOND)), 400, "purpose");
    let tampered = format!("{token}x");
    assert_eq!(issuer.post("/account/verify", &with_token(&tampered, FIRST)), 400);
    assert_eq!(issuer.post("/account/verify", &with_token(&token, FIRST)), 200);
    assert_eq!(issuer.post("/account/verify", &with_token(&token, FIRST)), 400, "used");
    let access = issuer.token_of("ALICE@wonder.example", FIRST);
    let claims = tokens::claims(&access);
    assert_eq!((&claims["roles"], &claims["scope"]), (&json!(["reader"]), &json!("read")));
    assert!(claims.get("theme").is_none() && claims.get("properties").is_none(), "{claims}");
    assert_eq!(issuer.check(&access), 200);
    assert_eq!(issuer.check(&token), 401, "a link is no access token");
    let as_link = with_token(&access, FIRST);
    assert_eq!(issuer.post("/account/verify", &as_link), 400, "an access token is no link");
}

#[test]
fn a_stranger_learns_of_no_account_and_its_owner_is_told() {
    let setup = Setup::new(Offers::StartTls);
    let issuer = Issuer::start(&setup.realm("starttls"));
    sign_up(&issuer, &setup.server);
    let answer = |path: &str, email: &str| {
        let body = match path {
            "/account" => json!({"email": email, "password": SECOND}),
            _ => json!({"email": email}),
        };
        let mut answer = issuer.json(path, &body);
        answer.headers.retain(|(name, _)| name != "date" && name != "x-request-id");
        (answer.status, answer.headers.clone(), answer.text())
    };
    for (path, stranger) in [
        ("/account", "one@wonder.example"),
        ("/account/forgot-password", "two@wonder.example"),
        ("/account/verify/resend", "two@wonder.example"),
    ] {
        let (known, unknown) = (answer(path, EMAIL), answer(path, stranger));
        assert_eq!(known, unknown, "{path}");
        assert_eq!(known.0, 202, "{path}");
    }
    let mut mails: Vec<_> = (0..3).map(|_| setup.server.next()).collect();
    mails.sort_by_key(|mail| mail.to.clone());
    let told: Vec<_> = mails.iter().map(|mail| mail.to[0].as_str()).collect();
    assert_eq!(told, [EMAIL, EMAIL, "one@wonder.example"], "{mails:?}");
    assert!(mails[..2].iter().any(|mail| mail.text.contains("has an account already")));
    assert!(mails[..2].iter().any(|mail| mail.text.contains("do=reset-password#")));
    assert_eq!(issuer.log_in_status(EMAIL, FIRST), 200, "nothing was changed");
    assert_eq!(issuer.log_in_status(EMAIL, SECOND), 400);
}

#[test]
fn who_made_an_account_for_anothers_e_mail_never_gets_in() {
    let setup = Setup::new(Offers::StartTls);
    let issuer = Issuer::start(&setup.realm("starttls"));
    let wish = |password: &str| json!({"email": EMAIL, "password": password});
    assert_eq!(issuer.post("/account", &wish(FIRST)), 202);
    let of_stranger = setup.server.next().token();
    assert_eq!(issuer.post("/account", &wish(SECOND)), 202);
    let of_owner = setup.server.next().token();
    let by_click = issuer.post("/account/verify", &with_token(&of_stranger, SECOND));
    assert_eq!(by_click, 400, "nobody but the stranger knows the password of that link");
    assert_eq!(issuer.post("/account/reset-password", &with_token(&of_owner, THIRD)), 200);
    for password in [FIRST, SECOND] {
        let used = issuer.post("/account/verify", &with_token(&of_stranger, password));
        assert_eq!(used, 400, "the first link went with the first password");
        assert_eq!(issuer.log_in_status(EMAIL, password), 400);
    }
    assert_eq!(issuer.log_in_status(EMAIL, THIRD), 200);
}

#[test]
fn a_sign_up_stores_no_password_in_an_account_that_is_there() {
    let setup = Setup::new(Offers::StartTls);
    let issuer = Issuer::start(&setup.realm("starttls"));
    let made = json!({"username": "alice", "email": EMAIL, "unverified": true, "password": FIRST});
    issuer.administrate("/admin/users", &made);
    assert_eq!(issuer.post("/account", &json!({"email": EMAIL, "password": SECOND})), 202);
    assert!(setup.server.next().text.contains("do=reset-password#"));
    issuer.administrate("/admin/users/alice/verify", &json!({}));
    assert_eq!(issuer.log_in_status(EMAIL, SECOND), 400);
    assert_eq!(issuer.log_in_status(EMAIL, FIRST), 200);
}

#[test]
fn a_forgotten_password_is_reset_once_and_all_sessions_end() {
    let setup = Setup::new(Offers::StartTls);
    let realm = setup.realm("starttls");
    let issuer = Issuer::start(&realm);
    sign_up(&issuer, &setup.server);
    let session = issuer.token_of(EMAIL, FIRST);
    let forgot = json!({"email": EMAIL});
    let mut links = Vec::new();
    for _ in 0..2 {
        assert_eq!(issuer.post("/account/forgot-password", &forgot), 202);
        links.push(setup.server.next().token());
    }
    let weak = issuer.post("/account/reset-password", &with_token(&links[0], "password"));
    assert_eq!((weak, issuer.check(&session)), (400, 200), "and the link is still good");

    // Two processes, at once, by two links of one password: one of four sets it.
    let (other, _) = Issuer::beside(realm);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let both = [&issuer, &other];
        let asked: Vec<_> = both
            .into_iter()
            .flat_map(|issuer| links.iter().map(move |link| (issuer, link)))
            .map(|(issuer, link)| {
                scope.spawn(move || {
                    issuer.post("/account/reset-password", &with_token(link, SECOND))
                })
            })
            .collect();
        asked.into_iter().map(|asked| asked.join().expect("no panic")).collect()
    });
    let done = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(done, 1, "{statuses:?}");
    poll("the other process", PATIENCE, || (issuer.check(&session) == 401).then_some(()));
    assert_eq!(
        (issuer.log_in_status(EMAIL, FIRST), issuer.log_in_status(EMAIL, SECOND)),
        (400, 200)
    );
    let notice = setup.server.next();
    assert!(notice.head.contains("was changed") && notice.to == [EMAIL], "{notice:?}");
    for link in &links {
        let again = issuer.post("/account/reset-password", &with_token(link, THIRD));
        assert_eq!(again, 400, "links go with the password that they were made of");
    }
}

#[test]
fn the_owner_changes_profile_password_and_e_mail_and_deletes_the_account() {
    let setup = Setup::new(Offers::Tls);
    let realm = setup.realm("tls");
    let issuer = Issuer::start(&realm);
    sign_up(&issuer, &setup.server);
    let (own, other) = (issuer.token_of(EMAIL, FIRST), issuer.token_of(EMAIL, FIRST));
    let change = json!({"properties": {"system_id": "another's"}});
    assert_eq!(issuer.as_bearer("PATCH", "/account", &own, &change).status, 400);
    let change = json!({"full_name": null, "properties": {"theme": "light", "old": null}});
    let profile = issuer.as_bearer("PATCH", "/account", &own, &change).json();
    assert_eq!(profile, issuer.with_bearer("GET", "/account", &own).json());
    assert_eq!(
        (&profile["full_name"], &profile["properties"]["theme"]),
        (&json!(null), &json!("light"))
    );
    assert!(
        !profile.to_string().contains("argon2") && profile.get("claims").is_none(),
        "{profile}"
    );

    let passwords = |old: &str, new: &str| json!({"current_password": old, "new_password": new});
    let change = |old: &str, new: &str| {
        issuer.as_bearer("POST", "/account/password", &own, &passwords(old, new))
    };
    assert_eq!(change(SECOND, THIRD).status, 400, "a wrong one");
    assert_eq!(change(FIRST, "password").status, 400, "a weak one");
    assert_eq!(issuer.check(&other), 200);
    let changed = change(FIRST, SECOND);
    assert_eq!((changed.status, changed.json()["ended"].clone()), (200, json!(1)), "{changed:?}");
    assert_eq!((issuer.check(&own), issuer.check(&other)), (200, 401));
    assert!(setup.server.next().head.contains("was changed"));

    let new = "a.liddell@wonder.example";
    let wish = |password: &str| json!({"email": new, "password": password});
    assert_eq!(issuer.as_bearer("POST", "/account/email", &own, &wish(FIRST)).status, 400);
    assert_eq!(issuer.as_bearer("POST", "/account/email", &own, &wish(SECOND)).status, 202);
    let mail = setup.server.next();
    assert!(mail.to == [new] && mail.by_tls && mail.logged_in, "{mail:?}");
    assert_eq!(issuer.log_in_status(new, SECOND), 400, "not before the link is used");
    let by_click = json!({"token": mail.token()});
    assert_eq!(issuer.post("/account/verify", &by_click), 400, "a click vouches for no account");
    assert_eq!(issuer.post("/account/verify", &with_token(&mail.token(), SECOND)), 200);
    assert_eq!(
        (issuer.log_in_status(new, SECOND), issuer.log_in_status(EMAIL, SECOND)),
        (200, 400)
    );
    let notice = setup.server.next();
    assert!(notice.to == [EMAIL] && notice.text.contains(new), "{notice:?}");

    let key = realm.ask(&["apikey", "add", new]);
    let by_key = issuer.form(
        "/token",
        &[("grant_type", "urn:portcullis:grant-type:api-key"), ("api_key", &key)],
        &[],
    );
    let by_key = by_key.json()["access_token"]
        .as_str()
        .map(str::to_owned)
        .unwrap_or_else(|| panic!("{by_key:?}"));
    let reach = issuer.as_bearer("PATCH", "/account", &by_key, &json!({"full_name": "Eve"}));
    assert_eq!(reach.status, 403, "a key does not reach the account");
    let delete = |password: &str| {
        issuer.as_bearer("DELETE", "/account", &own, &json!({"password": password})).status
    };
    assert_eq!((delete(FIRST), issuer.check(&own)), (400, 200));
    assert_eq!((delete(SECOND), issuer.check(&own)), (200, 401));
    assert_eq!(issuer.log_in_status(new, SECOND), 400);
    realm.exits(1, &["user", "show", new], "");
}

#[test]
fn a_new_e_mail_that_is_anothers_is_answered_alike_and_its_owner_is_told() {
    let setup = Setup::new(Offers::StartTls);
    let issuer = Issuer::start(&setup.realm("starttls"));
    sign_up(&issuer, &setup.server);
    let other = "dinah@wonder.example";
    let made =
        json!({"username": "dinah", "email": other, "email_verified": true, "password": SECOND});
    issuer.administrate("/admin/users", &made);
    let own = issuer.token_of(EMAIL, FIRST);
    let wish = json!({"email": other, "password": FIRST});
    assert_eq!(issuer.as_bearer("POST", "/account/email", &own, &wish).status, 202);
    let mail = setup.server.next();
    assert_eq!(mail.to, [other]);
    assert!(mail.text.contains("has an account already") && !mail.text.contains('#'), "{mail:?}");
}

#[test]
fn nothing_that_a_mail_holds_is_in_the_log_and_what_was_done_is_audited() {
    let setup = Setup::new(Offers::StartTls);
    let realm = setup.realm("starttls");
    let issuer = Issuer::start(&realm);
    let wish = json!({"email": EMAIL, "password": FIRST});
    assert_eq!(issuer.post("/account", &wish), 202);
    let token = setup.server.next().token();
    assert_eq!(issuer.post("/account/verify", &with_token(&token, FIRST)), 200);
    assert_eq!(issuer.post("/account/verify", &with_token(&token, FIRST)), 400);
    let (events, _) = poll("the audit log", PATIENCE, || {
        let events: Vec<String> = realm
            .events()
            .iter()
            .map(|event| event["event"].as_str().unwrap_or_default().to_owned())
            .collect();
        events.contains(&"link_refused".to_owned()).then_some(events)
    });
    for event in ["user_added", "link_made", "user_verified"] {
        assert!(events.contains(&event.to_owned()), "{event}: {events:?}");
    }
    let (log, audit) = (issuer.gate.log(), realm.audit_log());
    for secret in [token.as_str(), FIRST, "a mail server's password", "argon2"] {
        assert!(!log.contains(secret) && !audit.contains(secret), "{secret}");
    }
    assert!(!log.contains(EMAIL), "{log}");
}
