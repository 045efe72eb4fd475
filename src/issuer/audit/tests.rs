//! The lines of the log, and the events of the table.

use std::time::Duration;

use super::*;
use crate::clock::{ManualClock, UnixTime};
use crate::secret::Secret;
use crate::telemetry::audit::AuditTarget;

/// The lines that `tell` wrote.
fn written(tell: impl FnOnce(&Audit, &ManualClock)) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("audit.jsonl");
    let (log, writer) = AuditLog::start(&AuditTarget::File(path.clone())).expect("open");
    let clock = Arc::new(ManualClock::at(UnixTime::from_secs(1)));
    tell(&Audit::new(log, clock.clone()), &clock);
    writer.finish();
    let text = std::fs::read_to_string(&path).expect("read");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn no_name_or_path_makes_a_line_long() {
    let long = "é".repeat(300_000);
    let lines = written(|audit, _| {
        audit.event(Event::ClientRefused).client(Some(&long)).write();
        audit.event(Event::AdminRefused).reason(&long).write();
        audit.event(Event::LoginRefused).login(&long).user(&long).write();
    });
    assert_eq!(lines.len(), 3);
    for line in lines {
        assert!(line.to_string().len() < 1_000, "{line:.100}");
    }
}

#[test]
fn a_flood_of_refusals_is_cut_and_counted_and_hides_nothing_else() {
    let lines = written(|audit, clock| {
        let refuse = || audit.event(Event::AdminRefused).error(&IssueError::InvalidToken);
        (0..5_000).for_each(|_| refuse().write());
        audit.event(Event::Login).user("alice").write();
        clock.advance(Duration::from_secs(60));
        refuse().write();
    });
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).count();
    assert_eq!((of("admin_refused"), of("login")), (501, 1));
    assert_eq!(lines.last().expect("lines")["left_out"], 4_500);
}

#[test]
fn a_rule_names_nobody_where_there_is_a_key_for_pseudonyms() {
    let fields = ["alice@example.com", "/reports, all", "read"].map(str::to_owned).to_vec();
    let rule = PolicyRule { kind: "p".to_owned(), fields };
    let pseudonyms = Pseudonyms::keyed(&Secret::new("a key of at least 16 bytes"));
    let hashed = rule.fields.iter().map(|field| pseudonyms.of(Personal::Name, field).into_owned());
    let hashed = format!("p, {}", hashed.collect::<Vec<_>>().join(", "));
    let lines = written(|audit, _| {
        audit.event(Event::PolicyRuleAdded).rule(&rule).write();
        let audit = audit.clone().with_pseudonyms(pseudonyms);
        audit.event(Event::PolicyRuleAdded).rule(&rule).user("alice@example.com").write();
    });
    assert_eq!(lines[0]["rule"], "p, alice@example.com, \"/reports, all\", read");
    assert_eq!(lines[1]["rule"], hashed);
    let user = lines[1]["user"].as_str().expect("a user");
    assert!(hashed.starts_with(&format!("p, {user}, ")), "as the user's id is: {hashed}");
}

#[test]
fn what_came_too_often_is_not_written_whoever_tells_of_it() {
    let lines = written(|audit, _| {
        let error = IssueError::SlowDown(Duration::from_secs(1));
        audit.event(Event::AdminRefused).error(&error).reason("/admin/sessions").write();
        audit.event(Event::ClientRefused).error(&IssueError::Busy).write();
    });
    assert_eq!(lines, Vec::<Value>::new());
}
