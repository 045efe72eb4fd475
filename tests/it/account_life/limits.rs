//! The cost of requests about an e-mail, and how often they are heard: the same whether it has an account.

use std::net::TcpListener;
use std::sync::Arc;

use portcullis::account::{AccountStore as _, Login, User};
use portcullis::issuer::error::IssueError;
use portcullis::issuer::self_service::{Mailer, SelfServiceConfig, SignUp, SignUpRequest};
use portcullis::mail::{Security, Smtp, SmtpConfig, Templates};
use portcullis::secret::{Secret, SystemRandom};
use serde_json::Map;

use super::{EMAIL, FIRST};
use crate::support::PATIENCE;
use crate::support::issuance::Fixture;

/// Mails to a server that never says a word.
fn mailer(queue: usize, server: &TcpListener) -> Mailer {
    let config = SmtpConfig {
        host: "127.0.0.1".to_owned(),
        port: server.local_addr().expect("an address").port(),
        security: Security::Plain,
        credentials: None,
        authority: None,
        from: "accounts@wonder.example".to_owned(),
        timeout: PATIENCE,
    };
    Mailer {
        smtp: Smtp::new(&config, Arc::new(SystemRandom)).expect("a sender"),
        templates: Arc::new(Templates::load(None).expect("templates")),
        service: "wonder.example".to_owned(),
        link_url: "https://app.example/#{token}".to_owned(),
        queue,
    }
}

async fn fixture(queue: usize) -> (Fixture, TcpListener) {
    let server = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let fixture = Fixture::new(|setup| {
        setup.mailer = Some(mailer(queue, &server));
        setup.self_service =
            SelfServiceConfig { sign_up: SignUp::Open, ..SelfServiceConfig::default() };
    })
    .await;
    let named = |dinah: &mut User| dinah.email = Login::parse(EMAIL).ok();
    fixture.add_user(("dinah", FIRST), named).await;
    (fixture, server)
}

#[tokio::test]
async fn who_asks_about_an_e_mail_is_answered_before_anything_is_looked_up() {
    let (fixture, _server) = fixture(16).await;
    fixture.accounts.inner.close().await;
    let self_service = &fixture.issuance.self_service;
    for email in [EMAIL, "nobody@wonder.example"] {
        assert_eq!(self_service.forgot_password(email, &fixture.caller).await, Ok(()), "{email}");
        assert_eq!(self_service.resend(email, &fixture.caller).await, Ok(()), "{email}");
        let request = SignUpRequest {
            email: Some(email),
            invitation: None,
            password: &Secret::new(FIRST),
            full_name: None,
            properties: Map::new(),
        };
        let signed_up = self_service.sign_up(request, &fixture.caller).await;
        assert!(signed_up.is_ok(), "{email}: {signed_up:?}");
    }
}

#[tokio::test]
async fn an_e_mail_is_written_to_so_often_at_a_strangers_word_whether_it_has_an_account() {
    for email in [EMAIL, "nobody@wonder.example"] {
        let (fixture, _server) = fixture(64).await;
        let self_service = &fixture.issuance.self_service;
        let ask = async || self_service.forgot_password(email, &fixture.caller).await;
        for _ in 0..4 {
            assert_eq!(ask().await, Ok(()));
        }
        let refused = ask().await;
        assert!(matches!(refused, Err(IssueError::SlowDown(_))), "{refused:?}");
        let other = self_service.forgot_password("other@wonder.example", &fixture.caller).await;
        assert_eq!(other, Ok(()), "another address has its own");
        fixture.wait(300);
        assert_eq!(ask().await, Ok(()), "one comes back in five minutes");
        assert!(ask().await.is_err());
    }
}

#[tokio::test]
async fn mails_that_wait_are_bounded() {
    let (fixture, _server) = fixture(1).await;
    let self_service = &fixture.issuance.self_service;
    // Its mail waits for a server that says nothing.
    assert_eq!(self_service.resend(EMAIL, &fixture.caller).await, Ok(()));
    for email in [EMAIL, "nobody@wonder.example"] {
        let refused = self_service.resend(email, &fixture.caller).await;
        assert_eq!(refused, Err(IssueError::Busy), "{email}");
    }
}
