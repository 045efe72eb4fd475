//! A policy, and the cases that it is expected to decide: all that `policy test` needs.

use std::path::Path;
use std::sync::Arc;

use super::policy::{ExpectedCase, read_cases};
use super::reader::Reader;
use super::{gate, settings};
use crate::policy::Policy;

/// A policy, and what it is expected to decide.
#[derive(Debug)]
pub struct PolicyTest {
    /// The policy.
    pub policy: Arc<Policy>,
    /// The cases, in the order of the file.
    pub cases: Vec<ExpectedCase>,
}

impl PolicyTest {
    /// Reads the policy of the settings, and the cases of a file; `None` where there is no policy.
    pub(super) fn read(reader: &mut Reader<'_>, cases: &Path) -> Option<Self> {
        let identity = gate::identity(reader);
        let policy = gate::policy(reader, &identity);
        if !reader.is_named(settings::POLICY_FILE) {
            reader
                .wrong(settings::POLICY_FILE, "is not set; name the policy by it, or by --policy");
        }
        let cases = read_cases(cases, &mut reader.mistakes);
        Some(Self { policy: policy?.set.policy?, cases })
    }
}
