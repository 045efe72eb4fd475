//! Limits on requests: how many a user may send in a period, by his roles in authnzerver's model.

use std::time::Duration;

use serde::Deserialize;

use super::models::Models;
use super::permissions::{ANONYMOUS, LOCKED};
use super::requirement::Facts;

/// A limit of the model, on the requests of each user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLimit {
    /// Its name in the model.
    pub name: String,
    /// The period that it is for.
    pub period: Period,
}

/// The period in which requests are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// 60 seconds.
    Minute,
    /// 60 minutes.
    Hour,
    /// 24 hours.
    Day,
}

/// The requests that a limit allows a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Their number in the period; `None` is any number.
    pub requests: Option<u32>,
    /// True where nobody knows who the user is: all users of one address are counted together.
    pub is_by_address: bool,
}

impl Period {
    const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// The period that the name of a limit ends in, as `max_requests_per_minute` does.
    pub(crate) fn in_name(name: &str) -> Option<Self> {
        let is_named = |period: &Self| {
            name.strip_suffix(period.as_str()).is_some_and(|rest| rest.ends_with("_per_"))
        };
        Self::ALL.into_iter().find(is_named)
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Its length.
    pub fn length(self) -> Duration {
        Duration::from_secs(match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        })
    }
}

impl RequestLimit {
    /// The requests that it allows whoever shows no credential.
    pub(super) fn allowance_of_nobody(&self, models: &Models) -> Allowance {
        Allowance { requests: self.requests_of(ANONYMOUS, Some(models)), is_by_address: true }
    }

    fn requests_of(&self, role: &str, models: Option<&Models>) -> Option<u32> {
        let model = models.and_then(|models| models.permissions.as_ref());
        // A limit without its model allows nothing.
        model.map_or(Some(0), |model| model.requests_of(role, &self.name))
    }
}

impl Facts<'_> {
    /// The requests that a limit allows the user: as many as the best of his roles. Whoever is locked
    /// has none, whatever else he is, and whoever has no role of the model those of `anonymous`.
    pub fn allowance(&self, limit: &RequestLimit) -> Allowance {
        if self.has_role(LOCKED) {
            return Allowance { requests: Some(0), is_by_address: false };
        }
        let permissions = self.models.and_then(|models| models.permissions.as_ref());
        let is_known = |role: &str| permissions.is_some_and(|model| model.has_role(role));
        let roles: Vec<_> =
            self.texts(self.roles).into_iter().filter(|role| is_known(role)).collect();
        let mut allowed = roles.iter().map(|role| limit.requests_of(role, self.models));
        let best = allowed.next().map(|first| allowed.fold(first, more));
        Allowance {
            requests: best.unwrap_or_else(|| limit.requests_of(ANONYMOUS, self.models)),
            is_by_address: !roles.is_empty() && roles.iter().all(|role| role == ANONYMOUS),
        }
    }

    /// The name under which the user's requests are counted: as applications are told.
    pub fn counted_user(&self) -> String {
        self.user().into_owned()
    }
}

/// The larger of two numbers, of which `None` is any number.
fn more(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    Some(one?.max(other?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_its_period_at_its_end() {
        for (name, period) in [
            ("max_requests_per_minute", Some(Period::Minute)),
            ("uploads_per_hour", Some(Period::Hour)),
            ("a_per_day", Some(Period::Day)),
            ("max_requests", None),
            ("max_requests_per_minutes", None),
            ("per_minute", None),
            ("minute", None),
        ] {
            assert_eq!(Period::in_name(name), period, "{name}");
        }
    }
}
