//! Limits on requests: by the address of the frontend's client, and for mails by the address that
//! they go to.
//!
//! Each is a token bucket that all processes share. Requests that guess or send have limits of their
//! own, which the operator may change by their names; the others have that of their group.

use std::time::Duration;

use super::schema::Request;
use crate::clock::UnixTime;
use crate::issuer::error::IssueError;
use crate::limit::Limits;

/// Requests with a limit of their own, a minute.
const OWN_LIMITS: [(&str, u32); 12] = [
    ("user-new", 5),
    ("user-login", 10),
    ("user-logout", 10),
    ("user-edit", 10),
    ("user-resetpass", 5),
    ("user-changepass", 5),
    ("user-sendemail-signup", 2),
    ("user-sendemail-forgotpass", 2),
    ("user-set-emailsent", 2),
    ("apikey-new", 30),
    ("apikey-new-nosession", 30),
    ("apikey-refresh-nosession", 30),
];
/// The limit of the requests of no end user, a minute.
const INTERNAL: u32 = 3_000;
const MINUTE: Duration = Duration::from_secs(60);

/// The limits, as AUTHNZERVER_RATELIMITS says them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimits {
    ipaddr: u32,
    user: u32,
    session: u32,
    apikey: u32,
    burst: u32,
    /// Limits of single requests.
    own: Vec<(Request, u32)>,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { ipaddr: 720, user: 480, session: 600, apikey: 720, burst: 150, own: Vec::new() }
    }
}

impl RateLimits {
    /// Reads `ipaddr:720; user:480; session:600; apikey:720; burst:150`, also with names of
    /// requests; what is left out keeps its usual value. `none` is no limits at all.
    ///
    /// # Errors
    /// What is wrong.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        if text.trim() == "none" {
            return Ok(None);
        }
        let mut limits = Self::default();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let wrong = || format!("{part:?} is no limit such as user:480, by a number from 1 on");
            let (name, number) = part.split_once(':').ok_or_else(wrong)?;
            let number = number.trim().parse().ok().filter(|number| *number > 0);
            let number = number.ok_or_else(wrong)?;
            match name.trim() {
                "ipaddr" => limits.ipaddr = number,
                "user" => limits.user = number,
                "session" => limits.session = number,
                "apikey" => limits.apikey = number,
                "burst" => limits.burst = number,
                name => {
                    let request = Request::parse(name);
                    let request = request.ok_or_else(|| format!("there is no limit {name:?}"))?;
                    limits.own.push((request, number));
                }
            }
        }
        Ok(Some(limits))
    }

    /// The most requests of this name a minute, and at once.
    fn of(&self, request: Request) -> (u32, u32) {
        let set = self.own.iter().rev().find(|(own, _)| *own == request).map(|(_, most)| *most);
        let usual = OWN_LIMITS.iter().find(|(name, _)| *name == request.name());
        if let Some(own) = set.or(usual.map(|(_, most)| *most)) {
            return (own, own);
        }
        let group = request.name().split('-').next().unwrap_or_default();
        let per_minute = match group {
            "user" => self.user,
            "session" => self.session,
            "apikey" => self.apikey,
            "internal" => INTERNAL,
            _ => self.ipaddr,
        };
        (per_minute, self.burst)
    }
}

/// The limits, and where requests are counted.
#[derive(Debug)]
pub(super) struct RequestLimits {
    pub(super) rates: RateLimits,
    pub(super) limits: Limits,
}

impl RequestLimits {
    /// Counts a request of a client, and of an e-mail address where mails are about one.
    ///
    /// # Errors
    /// [`IssueError::SlowDown`] where it is one too many; [`IssueError::Unavailable`].
    pub(super) async fn take(
        &self,
        request: Request,
        client: &str,
        email: Option<&str>,
        now: UnixTime,
    ) -> Result<(), IssueError> {
        let (per_minute, burst) = self.rates.of(request);
        let of_email = email.filter(|_| request.name().contains("email"));
        let names = [Some(("client", client)), of_email.map(|email| ("email", email))];
        for (kind, name) in names.into_iter().flatten() {
            let name = format!("authnzerver:{}:{kind}:{name}", request.name());
            let interval = MINUTE / per_minute.max(1);
            if let Some(wait) = self.limits.take(&name, now, interval, burst).await? {
                return Err(IssueError::SlowDown(wait));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, request: &str) -> (u32, u32) {
        let limits = RateLimits::parse(text).expect("readable").expect("limits");
        limits.of(Request::parse(request).expect("a request"))
    }

    #[test]
    fn each_request_has_its_own_limit_or_that_of_its_group() {
        for (request, expected) in [
            ("user-new", (5, 5)),
            ("user-sendemail-signup", (2, 2)),
            ("apikey-new", (30, 30)),
            ("user-list", (480, 150)),
            ("session-exists", (600, 150)),
            ("apikey-verify", (720, 150)),
            ("internal-user-edit", (3_000, 150)),
        ] {
            assert_eq!(of("", request), expected, "{request}");
        }
    }

    #[test]
    fn the_operator_changes_groups_and_single_requests() {
        let text = "session:60; burst: 7; user-login:100;";
        assert_eq!(of(text, "session-new"), (60, 7));
        assert_eq!(of(text, "user-list"), (480, 7));
        assert_eq!(of(text, "user-login"), (100, 100));
        assert_eq!(RateLimits::parse(" none "), Ok(None));
        for bad in
            ["session", "session:", "session:0", "session:-1", "sessions:6", "user-nothing:5"]
        {
            assert!(RateLimits::parse(bad).is_err(), "{bad}");
        }
    }
}
