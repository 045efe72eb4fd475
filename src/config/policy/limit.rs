//! `limit` of a route: the limit of authnzerver's model on the requests of each user.

use serde::Deserialize;

use super::models::ModelsRead;
use crate::policy::{Period, RequestLimit};

/// The value as it stands in the file: a name that says its period, or both.
#[derive(Deserialize)]
#[serde(untagged, expecting = "write the name of a limit, or a table with `name` and `per`")]
pub(super) enum LimitEntry {
    Name(String),
    Table(LimitTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitTable {
    name: String,
    per: Option<Period>,
}

impl LimitEntry {
    /// The limit; `None` where something is wrong.
    pub(super) fn limit(
        self,
        models: &ModelsRead,
        wrong: &mut impl FnMut(String),
    ) -> Option<RequestLimit> {
        let (name, per) = match self {
            Self::Name(name) => (name, None),
            Self::Table(LimitTable { name, per }) => (name, per),
        };
        let period = period(&name, per).map_err(&mut *wrong).ok();
        if !models.has_permissions() {
            wrong("limit: there is no model with limits; set PERMISSIONS_FILE".to_owned());
        }
        let model = models.models.permissions.as_deref();
        if model.is_some_and(|model| !model.has_limit(&name)) {
            wrong(format!("limit: no role of the model has a limit {name:?}"));
        }
        if model.is_some_and(|model| model.is_lower_bound(&name)) {
            wrong(format!("limit: {name:?} is a bound from below (`gt`), which no requests have"));
        }
        Some(RequestLimit { name, period: period? })
    }
}

fn period(name: &str, per: Option<Period>) -> Result<Period, String> {
    match (Period::in_name(name), per) {
        (Some(named), Some(per)) if named != per => Err(format!(
            "limit: {name:?} is by its name for a {}, and `per` says {:?}",
            named.as_str(),
            per.as_str()
        )),
        (named, per) => per.or(named).ok_or_else(|| {
            format!(
                "limit: say the period of {name:?}: {{ name = {name:?}, per = \"minute\" }}, \
                 \"hour\" or \"day\""
            )
        }),
    }
}
