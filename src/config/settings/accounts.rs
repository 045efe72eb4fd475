//! The settings of accounts in their owners' hands, of their mails, and of stolen passwords.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::config::setting::{Entry, Kind, Setting, settings};
use crate::config::texts::{hook_url, link_url, scopes};
use crate::config::values::{boolean, list, optional, path, seconds, secret, text, whole};
use crate::issuer::self_service::SignUp;
use crate::mail::Security;
use crate::secret::Secret;

settings! {
// Accounts in their owners' hands.
SIGN_UP: SignUp = SignUp::parse, "off, invitation or open", "off",
    "The right to sign up by POST /account: nobody's, of who was invited, or of anybody who shows that \
    an e-mail is his; open needs SMTP_HOST";
SIGN_UP_ROLES: Vec<String> = list, "comma list", "",
    "The roles of who signs up without an invitation";
SIGN_UP_SCOPES: Option<Vec<String>> = optional(scopes), "comma list, or JSON", "",
    "The scopes that he may be granted";
INVITATION_LIFETIME: Duration = seconds(60.0, 31_536_000.0), "seconds", "604800",
    "The time for which an invitation is good; all other one-time links are for 15 minutes";
ACCOUNT_LINK_URL: Option<String> = optional(link_url), "URL with {token}", "",
    "The page of yours that links in mails lead to, such as \
    https://app.example/account?do={purpose}#{token}; it posts the token to /account/verify, \
    /account/reset-password or /account";

// Mails.
SMTP_HOST or AUTHNZERVER_EMAILSERVER: Option<String> = optional(text), "host name", "",
    "The mail server, whose certificate must have this name (unset: no mail is sent)";
SMTP_PORT or AUTHNZERVER_EMAILPORT: u16 = whole(0, 65_535), "number", "0",
    "Its port; 0: 587 with starttls, 465 with tls, 25 with plain";
SMTP_TLS: Security = Security::parse, "starttls, tls or plain", "starttls",
    "The protection of the way there, without which nothing is sent; plain is for this host";
SMTP_CA_FILE: Option<PathBuf> = optional(path), "path", "",
    "The CA of its certificate, in PEM (unset: the system's)";
SMTP_USER or AUTHNZERVER_EMAILUSER: Option<String> = optional(text), "text", "",
    "The user to log in with there (unset: none)";
SMTP_PASSWORD or AUTHNZERVER_EMAILPASS: Option<Secret> [Secret] = secret, "text", "",
    "Its password";
SMTP_TIMEOUT: Duration = seconds(0.1, 300.0), "seconds", "15",
    "The longest wait for an answer of the mail server";
MAIL_FROM or AUTHNZERVER_EMAILSENDER: Option<String> = optional(text), "address", "",
    "The sender of mails: accounts@example.org, or Example <accounts@example.org>";
MAIL_SERVICE_NAME: Option<String> = optional(text), "text", "",
    "The name of the service in mails (unset: the host of PUBLIC_URL)";
MAIL_TEMPLATES_DIR: Option<PathBuf> = optional(path), "path", "",
    "A folder of your own templates, used in place of ours of the same names";
MAIL_QUEUE: usize = whole(1, 100_000), "number", "256",
    "The number of mails that may wait; beyond it the answer is 503";

// Stolen passwords.
PASSWORD_BREACH_URL: Option<Url> = optional(hook_url), "URL", "",
    "A list of stolen passwords that is asked by the first five digits of a SHA-1, such as \
    https://api.pwnedpasswords.com/range/ (unset: none is asked)";
PASSWORD_BREACH_MIN: u64 = whole(1, 1_000_000_000), "number", "25",
    "The number of thefts from which on a new password is refused";
PASSWORD_BREACH_TIMEOUT: Duration = seconds(0.1, 30.0), "seconds", "2",
    "The longest wait for that list";
PASSWORD_BREACH_REQUIRED: bool = boolean, "true or false", "false",
    "Take no new password while that list does not answer; else it is taken, and that is logged";
}
