//! CASBIN_MODEL, CASBIN_POLICY and CASBIN_STORED_RULES: what Casbin decides by.

use std::sync::Arc;
use std::time::Duration;

use super::policy::{CasbinFiles, PolicyFiles, PolicySource};
use super::reader::Reader;
use super::settings;
use crate::policy::{CasbinInForce, StoredRules};

/// The least time for which rules of the database are believed. They are looked at several times within
/// it, and not for every request.
const MIN_BOUND: Duration = Duration::from_secs(1);

/// Casbin's files, and whether rules of the database count. One of the files alone, or both without a
/// route that asks, would decide nothing.
pub(super) fn files(reader: &mut Reader<'_>) -> Option<CasbinFiles> {
    let (model_setting, policy_setting) = (settings::CASBIN_MODEL, settings::CASBIN_POLICY);
    let (model, policy) = (reader.get(model_setting), reader.get(policy_setting));
    if reader.get(settings::CASBIN_STORED_RULES) {
        let bound = reader.get(settings::SESSION_STALENESS).max(MIN_BOUND);
        return Some(CasbinFiles {
            model,
            policy,
            stored: Some(Arc::new(StoredRules::new(bound))),
        });
    }
    match (&model, &policy) {
        (Some(_), Some(_)) => {
            if !reader.is_set(settings::POLICY_FILE) {
                reader.wrong(model_setting, "is asked by routes alone: set POLICY_FILE");
            }
            Some(CasbinFiles { model, policy, stored: None })
        }
        (Some(_), None) => {
            reader.wrong(model_setting, "needs CASBIN_POLICY too, or CASBIN_STORED_RULES");
            None
        }
        (None, Some(_)) => {
            reader.wrong(policy_setting, "needs CASBIN_MODEL too, or CASBIN_STORED_RULES");
            None
        }
        (None, None) => None,
    }
}

/// Casbin's model by itself, for commands that look after the rules of the database; `None` where those
/// do not count.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Arc<CasbinInForce>> {
    let casbin = files(reader).filter(|files| files.stored.is_some());
    let Some(casbin) = casbin else {
        let problem = "is not set, so rules of the database would decide nothing";
        reader.wrong(settings::CASBIN_STORED_RULES, problem);
        return None;
    };
    let files = PolicyFiles { casbin: Some(casbin), ..PolicyFiles::default() };
    match PolicySource::new(files, Vec::new()).read() {
        Ok((set, _)) => set.casbin,
        Err(mistakes) => {
            reader.mistakes.extend(mistakes);
            None
        }
    }
}
