//! The life of an account: by its owner and by mail, by administrators and their application, and what strangers learn.

mod breaches;
mod by_mail;
mod internal;
mod limits;
mod mail_server;

use serde_json::{Value, json};

use crate::support::http::{Response, bearer};
use crate::support::issuer::{Issuer, text};

const EMAIL: &str = "alice@wonder.example";
const FIRST: &str = "curiouser and curiouser";
const SECOND: &str = "off with the gryphon's teapot";
const THIRD: &str = "v8Qz!mT3#kLw of the dormouse";

impl Issuer {
    /// A request with JSON by the bearer of a token.
    fn as_bearer(&self, method: &str, path: &str, token: &str, body: &Value) -> Response {
        let lines = ["Content-Type: application/json", &bearer(token)];
        self.send(method, path, &lines, body.to_string().as_bytes())
    }

    /// The access token of a login.
    fn token_of(&self, name: &str, password: &str) -> String {
        let answer = self.by_password(name, password, &[]);
        assert_eq!(answer.status, 200, "{answer:?}");
        text(&answer.json(), "access_token").to_owned()
    }

    /// The status of a login.
    fn log_in_status(&self, name: &str, password: &str) -> u16 {
        self.by_password(name, password, &[]).status
    }

    /// POST of JSON, and the status of its answer.
    fn post(&self, path: &str, body: &Value) -> u16 {
        self.json(path, body).status
    }

    /// POST of JSON by the administrator, which must go well.
    fn administrate(&self, path: &str, body: &Value) -> Value {
        let answer = self.json_internal(path, body);
        assert!(answer.status < 300, "{path}: {answer:?}");
        answer.json()
    }
}

/// The body that uses a link.
fn with_token(token: &str, password: &str) -> Value {
    json!({ "token": token, "password": password })
}
