//! Passwords that were stolen elsewhere, asked for by the first bits of their hash: the range API of
//! Have I Been Pwned, or a mirror of it.
//!
//! Five of the forty digits of a SHA-1 leave this host, which hundreds of passwords share. The answer
//! is padded, so that its length says nothing either.

use std::fmt::Write as _;
use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use bytes::Bytes;
use http::header::USER_AGENT;
use http::{Request, StatusCode};
use http_body_util::Full;

use crate::issuer::error::{Cause, IssueError};
use crate::secret::Secret;
use crate::wire::https::{self, HttpsClient};

/// The digits of the hash that are sent.
const PREFIX: usize = 5;
/// The most bytes of an answer; today's have a twentieth of it.
const MAX_ANSWER: usize = 1 << 20;

/// Configuration of the check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreachConfig {
    /// The URL to which the prefix is appended; a slash at its end.
    pub url: String,
    /// The least number of thefts that refuses a password.
    pub least: u64,
    /// The longest wait for an answer.
    pub timeout: Duration,
    /// True where a password is refused while no answer comes; false takes it unchecked.
    pub is_required: bool,
}

/// The check, with its client.
#[derive(Clone, Debug)]
pub struct Breaches {
    config: BreachConfig,
    client: HttpsClient,
}

impl Breaches {
    /// A check of this configuration.
    ///
    /// # Errors
    /// The system has no certificate authorities that can be read.
    pub fn new(config: BreachConfig) -> std::io::Result<Self> {
        let client = HttpsClient::new(config.timeout)?;
        Ok(Self { config, client })
    }

    /// True if the password was stolen as often as refuses it.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`] where nothing was learnt, and that must be.
    pub(super) async fn has(&self, password: &Secret) -> Result<bool, IssueError> {
        let hash = sha1(password);
        let (prefix, suffix) = hash.split_at(PREFIX);
        let asked = tokio::time::timeout(self.config.timeout, self.ask(prefix)).await;
        match asked.unwrap_or_else(|_| Err("did not answer in time".to_owned())) {
            Ok(answer) => Ok(count_of(&answer, suffix) >= self.config.least.max(1)),
            Err(problem) if self.config.is_required => Err(Cause::Breaches(problem).into()),
            Err(problem) => {
                tracing::warn!(%problem, "a new password is taken without a look at breaches");
                Ok(false)
            }
        }
    }

    async fn ask(&self, prefix: &str) -> Result<String, String> {
        let request = Request::get(format!("{}{prefix}", self.config.url))
            .header("add-padding", "true")
            .header(USER_AGENT, concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(Bytes::new()))
            .map_err(|error| error.to_string())?;
        let response = self.client.send(request).await.map_err(|error| error.to_string())?;
        if response.status() != StatusCode::OK {
            return Err(format!("answered {}", response.status()));
        }
        let body = https::read(response, MAX_ANSWER).await.map_err(|error| error.to_string())?;
        String::from_utf8(body.to_vec()).map_err(|_| "answered what is no text".to_owned())
    }
}

/// The hash of a password in upper-case hex.
fn sha1(password: &Secret) -> String {
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, password.expose());
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

/// The number that stands behind a suffix; padding has zero.
fn count_of(answer: &str, suffix: &str) -> u64 {
    let mut lines = answer.lines().filter_map(|line| line.trim().split_once(':'));
    let found = lines.find(|(hash, _)| hash.eq_ignore_ascii_case(suffix));
    found.and_then(|(_, count)| count.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_list() {
        let hash = sha1(&Secret::new("password"));
        assert_eq!(hash, "5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8");
    }

    #[test]
    fn a_count_is_found_by_the_whole_suffix_and_padding_counts_nothing() {
        let answer = "0018A45C4D1DEF81644B54AB7F969B88D65:3\r\n1E4C9B:9\r\n00FF:0\nBAD";
        for (suffix, count) in [
            ("0018A45C4D1DEF81644B54AB7F969B88D65", 3),
            ("0018a45c4d1def81644b54ab7f969b88d65", 3),
            ("0018A45C4D1DEF81644B54AB7F969B88D6", 0),
            ("00FF", 0),
            ("BAD", 0),
            ("", 0),
        ] {
            assert_eq!(count_of(answer, suffix), count, "{suffix}");
        }
    }
}
