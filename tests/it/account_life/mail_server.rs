//! The way to the mail server: TLS, or nothing.

use std::sync::Arc;
use std::time::Duration;

use portcullis::mail::{Content, MailError, Security, Smtp, SmtpConfig};
use portcullis::secret::{Secret, SystemRandom};

use super::EMAIL;
use crate::support::certificates::{Authority, Certificates};
use crate::support::mail_server::{MAIL_USER, MailServer, Offers};
use crate::support::realm::Realm;

fn smtp(server: &MailServer, authority: &Authority, security: Security) -> Smtp {
    let config = SmtpConfig {
        host: "localhost".to_owned(),
        port: server.address.port(),
        security,
        credentials: Some((MAIL_USER.0.to_owned(), Secret::new(MAIL_USER.1))),
        authority: Some(authority.pem().into_bytes()),
        from: "accounts@wonder.example".to_owned(),
        timeout: Duration::from_secs(20),
    };
    Smtp::new(&config, Arc::new(SystemRandom)).expect("a configuration")
}

fn content() -> Content {
    Content {
        subject: "Überraschung".to_owned(),
        text: "Grüße\n.\nund mehr".to_owned(),
        html: "<p>Grüße</p>".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_comes_whole_by_either_way_of_tls() {
    for (offers, security) in [(Offers::StartTls, Security::StartTls), (Offers::Tls, Security::Tls)]
    {
        let certificates = Certificates::new(Authority::new(), None);
        let server = MailServer::start(&certificates, offers);
        let sent = smtp(&server, &certificates.servers, security).send(EMAIL, &content()).await;
        assert_eq!(sent, Ok(()));
        let mail = server.next();
        assert!(mail.by_tls && mail.logged_in && mail.to == [EMAIL], "{mail:?}");
        assert_eq!(mail.text.trim_end(), content().text);
        assert_eq!(mail.html.trim_end(), content().html);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_or_with_anothers_certificate_gets_no_mail_and_no_password() {
    let certificates = Certificates::new(Authority::new(), None);
    for (offers, authority, security) in [
        (Offers::Nothing, &certificates.servers, Security::StartTls),
        (Offers::StartTls, &Authority::new(), Security::StartTls),
        (Offers::Tls, &Authority::new(), Security::Tls),
    ] {
        let server = MailServer::start(&certificates, offers);
        let refused = smtp(&server, authority, security).send(EMAIL, &content()).await;
        assert!(matches!(refused, Err(MailError::Unavailable(_) | MailError::Refused(_))));
        let commands = server.commands();
        let told = |word: &str| commands.iter().any(|line| line.to_uppercase().starts_with(word));
        assert!(!told("AUTH") && !told("MAIL") && !told("DATA"), "{commands:?}");
        assert!(server.rest().is_empty());
    }
}

#[test]
fn what_cannot_work_stops_the_start() {
    let realm = Realm::issuing();
    let folder = realm.folder().join("templates");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("invitation.html"), "{{ lnk }}").expect("a file");
    let with = |pairs: &[(&str, &str)]| {
        let realm = Realm::issuing();
        pairs.iter().fold(realm, |realm, (name, value)| realm.with(name, value))
    };
    let link = ("ACCOUNT_LINK_URL", "https://app.example/#{token}");
    let (host, from) = (("SMTP_HOST", "localhost"), ("MAIL_FROM", "a@wonder.example"));
    let templates = folder.display().to_string();
    for (pairs, code, told) in [
        (&[("SIGN_UP", "open")][..], 64, "SMTP_HOST"),
        (&[host, link], 64, "MAIL_FROM"),
        (&[host, from], 64, "ACCOUNT_LINK_URL"),
        (&[host, from, ("ACCOUNT_LINK_URL", "https://app.example/")], 64, "{token}"),
        (&[host, from, ("ACCOUNT_LINK_URL", "http://app.example/#{token}")], 64, "https"),
        (&[host, from, link, ("SMTP_USER", "x")], 64, "SMTP_PASSWORD"),
        (
            &[
                ("SMTP_HOST", "mail.example"),
                from,
                link,
                ("SMTP_TLS", "plain"),
                ("SMTP_USER", "x"),
                ("SMTP_PASSWORD", "y"),
            ],
            64,
            "starttls",
        ),
        (&[host, ("MAIL_FROM", "nobody"), link], 69, "sender"),
        (&[host, from, link, ("MAIL_TEMPLATES_DIR", &templates)], 69, "invitation.html"),
    ] {
        let report = with(pairs).exits(code, &["serve"], "").errors;
        assert!(report.contains(told), "{pairs:?}: {report}");
    }
}
