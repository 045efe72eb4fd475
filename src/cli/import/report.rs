//! Words and JSON on what an import found, and what became of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::output::Output;
use super::super::{Exit, Outcome};
use super::Flags;
use super::incoming::Conflict;
use super::plan::Plan;

/// The number of conflicts that people are told of; a file of another form has one in each line.
const MAX_TOLD: usize = 20;

/// The words about a plan.
pub(super) struct Report<'a> {
    users: Counts,
    keys: Counts,
    conflicts: &'a [Conflict],
    left_out: &'a BTreeMap<&'static str, u64>,
}

/// The number of records by what becomes of them.
#[derive(Clone, Copy)]
struct Counts {
    new: u64,
    there_already: u64,
}

impl Counts {
    fn json(self) -> Value {
        json!({ "new": self.new, "there_already": self.there_already })
    }
}

impl<'a> Report<'a> {
    pub(super) fn of(plan: &'a Plan) -> Self {
        Self {
            users: Counts { new: plan.users.len() as u64, there_already: plan.users_there },
            keys: Counts { new: plan.keys.len() as u64, there_already: plan.keys_there },
            conflicts: &plan.conflicts,
            left_out: &plan.left_out,
        }
    }

    /// Tells what would be done. Conflicts without a flag that leaves them out are a no, as they
    /// will be.
    pub(super) fn dry_run(&self, flags: &Flags) -> Outcome {
        self.tell("This was a dry run: nothing was changed.", false, flags)?;
        let is_refused = !self.conflicts.is_empty() && !flags.skip_conflicts;
        Ok(if is_refused { Exit::No } else { Exit::Done })
    }

    /// Tells why nothing was imported.
    pub(super) fn refused(&self, flags: &Flags) -> Outcome {
        self.tell("Nothing was imported: --skip-conflicts leaves these out.", false, flags)?;
        Ok(Exit::No)
    }

    /// Tells what was imported.
    pub(super) fn imported(&self, flags: &Flags) -> Outcome {
        let has_new = self.users.new + self.keys.new > 0;
        let end = if has_new { "What is new was imported." } else { "Nothing is new." };
        self.tell(end, true, flags)?;
        Ok(Exit::Done)
    }

    fn tell(&self, end: &str, is_imported: bool, flags: &Flags) -> std::io::Result<()> {
        self.tell_conflicts();
        if flags.json {
            return Output::json(&self.json(is_imported, flags.dry_run));
        }
        Output::lines(&format!("{}{end}", self.words()))
    }

    fn tell_conflicts(&self) {
        for Conflict { record, reason } in self.conflicts.iter().take(MAX_TOLD) {
            Output::say(&format!("{record}: {reason}"));
        }
        let more = self.conflicts.len().saturating_sub(MAX_TOLD);
        if more > 0 {
            Output::say(&format!("and {more} more, which --json lists"));
        }
    }

    fn words(&self) -> String {
        let mut text = String::new();
        for (what, Counts { new, there_already }) in [("users", self.users), ("keys", self.keys)] {
            if new + there_already > 0 {
                let _ = writeln!(text, "{what}: {new} new, {there_already} there already");
            }
        }
        if !self.conflicts.is_empty() {
            let count = self.conflicts.len();
            let _ = writeln!(text, "in conflict or not to be read: {count}");
        }
        for (what, count) in self.left_out {
            let _ = writeln!(text, "left out: {count} {what}");
        }
        text
    }

    fn json(&self, is_imported: bool, is_dry_run: bool) -> Value {
        let conflict = |it: &Conflict| json!({ "record": it.record, "reason": it.reason });
        let left_out = |(what, count): (&&str, &u64)| json!({ "what": what, "count": count });
        json!({
            "dry_run": is_dry_run,
            "imported": is_imported,
            "users": self.users.json(),
            "keys": self.keys.json(),
            "conflicts": self.conflicts.iter().map(conflict).collect::<Vec<_>>(),
            "left_out": self.left_out.iter().map(left_out).collect::<Vec<_>>(),
        })
    }
}
