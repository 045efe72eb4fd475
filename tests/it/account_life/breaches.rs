//! The list of stolen passwords: asked by a prefix, and what holds where it does not answer.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use serde_json::json;

use super::FIRST;
use crate::support::free_address;
use crate::support::issuer::Issuer;
use crate::support::realm::Realm;

/// SHA-1 of `FIRST`, in the two parts of the range API, as `sha1sum` prints it.
const HASH: (&str, &str) = ("7AF8E", "70A7301FC0AEE5C0C7021F55C90650407BD");

/// A list that answers each question with these lines; the questions that it was asked.
fn list(lines: &'static str) -> (String, Receiver<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/range/", listener.local_addr().expect("an address"));
    let (sender, asked) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream);
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) <= 2 {
                    break;
                }
                head.push(line.trim_end().to_owned());
            }
            let _ = sender.send(head);
            let length = lines.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{lines}"
            );
            let _ = reader.get_mut().write_all(answer.as_bytes());
        }
    });
    (url, asked)
}

fn check(issuer: &Issuer) -> serde_json::Value {
    issuer.json("/account/password/check", &json!({"password": FIRST})).json()
}

#[test]
fn a_stolen_password_is_refused_and_five_digits_of_its_hash_leave_the_host() {
    let stolen: &'static str = Box::leak(
        format!("{}:25\r\n00112233445566778899AABBCCDDEEFF001:0\r\n", HASH.1).into_boxed_str(),
    );
    let rare: &'static str = Box::leak(format!("{}:24\r\n", HASH.1).into_boxed_str());
    for (lines, is_refused) in [(stolen, true), (rare, false), ("", false)] {
        let (url, asked) = list(lines);
        let issuer = Issuer::start(&Realm::issuing().with("PASSWORD_BREACH_URL", &url));
        let answer = check(&issuer);
        assert_eq!(answer["acceptable"], !is_refused, "{answer}");
        if is_refused {
            assert_eq!(answer["problems"][0]["code"], "breached");
        }
        let question = asked.try_recv().expect("it was asked");
        assert!(
            question[0].starts_with(&format!("GET /range/{} HTTP/1.1", HASH.0)),
            "{question:?}"
        );
        assert!(question.iter().any(|line| line.eq_ignore_ascii_case("add-padding: true")));
        assert!(!question.join("\n").contains(HASH.1), "{question:?}");
        let weak = json!({"password": "password"});
        assert_eq!(issuer.json("/account/password/check", &weak).json()["acceptable"], false);
        assert!(asked.try_recv().is_err(), "nobody is asked about what is refused anyway");
    }
}

#[test]
fn a_list_that_does_not_answer_lets_pass_or_not_as_the_operator_says() {
    let url = format!("http://{}/range", free_address());
    let realm = Realm::issuing().with("PASSWORD_BREACH_URL", &url);
    let issuer = Issuer::start(&realm);
    assert_eq!(check(&issuer)["acceptable"], true);
    issuer.gate.wait_for_log("without a look at breaches");
    drop(issuer);
    let issuer = Issuer::start(&realm.with("PASSWORD_BREACH_REQUIRED", "true"));
    let refused = issuer.json("/account/password/check", &json!({"password": FIRST}));
    assert_eq!(refused.status, 503);
}
