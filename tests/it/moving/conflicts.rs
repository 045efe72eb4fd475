//! Records that conflict: all are told with the other one, and nothing is imported unless they are to be left out.

use serde_json::json;

use super::{accounts, import, in_sqlite, line};
use crate::support::realm::Realm;

/// A realm with carol in its accounts.
fn with_carol() -> Realm {
    let realm = Realm::hashing_little();
    realm.ask(&[
        "user",
        "add",
        "carol",
        "--id",
        "c1",
        "--email",
        "carol@example.org",
        "--no-password",
    ]);
    realm
}

#[test]
fn one_conflict_keeps_all_from_being_imported_and_is_told_with_both_records() {
    for (id, username, told) in [
        ("c1", "mallory", "its id is that of user \"c1\" (carol) of the accounts"),
        ("m", "CAROL", "its username, \"CAROL\", is a name of user \"c1\" (carol) of the accounts"),
        (
            "m",
            "ｃａｒｏｌ",
            "its username, \"ｃａｒｏｌ\", is a name of user \"c1\" (carol) of the accounts",
        ),
        ("m", "Carol@Example.ORG", "its username, \"Carol@Example.ORG\", is a name of user \"c1\""),
        ("m", "DAVE", "its username, \"DAVE\", is a name of line 1: user \"d\" (dave)"),
        ("d", "erin", "its id is that of line 1: user \"d\" (dave)"),
    ] {
        let realm = with_carol();
        let before = accounts(&realm);
        let lines = [line("d", "dave"), line(id, username), line("z", "zoe")];
        for (flags, is_dry) in [(&[][..], false), (&["--dry-run"], true)] {
            let answer = import(&realm, 1, flags, &lines);
            let conflict = &answer["conflicts"][0];
            assert_eq!(conflict["record"], format!("line 2: user \"{id}\" ({username})"));
            let reason = conflict["reason"].as_str().expect("a text");
            assert!(reason.starts_with(told), "{username}: {reason}");
            assert_eq!((&answer["imported"], &answer["dry_run"]), (&json!(false), &json!(is_dry)));
            assert_eq!(accounts(&realm), before, "{username}");
        }
        let answer = import(&realm, 0, &["--skip-conflicts"], &lines);
        assert_eq!(answer["users"], json!({"new": 2, "there_already": 0}), "{username}");
        let ids: Vec<String> = accounts(&realm).0.iter().map(|user| user.id.to_string()).collect();
        assert_eq!(ids, ["c1", "d", "z"], "{username}");
        // What was left out is in conflict still.
        assert_eq!(import(&realm, 1, &[], &lines)["users"], json!({"new": 0, "there_already": 2}));
    }
}

#[test]
fn an_e_mail_that_is_anothers_username_is_a_conflict() {
    let realm = with_carol();
    let with_email = json!({"id": "m", "username": "mallory", "email": "Carol"});
    let answer = import(&realm, 1, &[], &[with_email]);
    let reason = answer["conflicts"][0]["reason"].as_str().expect("a text");
    assert!(
        reason.starts_with("its e-mail, \"Carol\", is a name of user \"c1\" (carol)"),
        "{reason}"
    );
}

/// authnzerver keeps e-mails apart that differ in case alone, once one of them was edited.
#[test]
fn names_that_only_the_other_system_kept_apart_are_conflicts() {
    let realm = Realm::hashing_little();
    let path = realm.folder().join("authnzerver.sqlite");
    in_sqlite(&path, &super::fixture("authnzerver.sql"));
    in_sqlite(&path, "UPDATE users SET email = 'PERSON00001@example.org' WHERE user_id = 6");
    let url = format!("sqlite:{}", path.display());
    let ended = realm.exits(1, &["import", "authnzerver", &url], "");
    let told = "row 6: user \"6\" (PERSON00001@example.org): its username, \"PERSON00001@example.org\", is a \
        name of row 5: user \"5\" (person00001@example.org)";
    assert!(ended.errors.contains(told), "{}", ended.errors);
    assert!(ended.printed.contains("Nothing was imported"), "{}", ended.printed);
    assert!(accounts(&realm).0.is_empty());
    realm.ask(&["import", "authnzerver", &url, "--skip-conflicts"]);
    assert_eq!(accounts(&realm).0.len(), 7);
}

#[test]
fn of_very_many_conflicts_some_are_told_to_people_and_all_to_machines() {
    let realm = with_carol();
    let lines: Vec<_> = (0..50).map(|n| line(&format!("m{n}"), "carol")).collect();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let ended = realm.exits(1, &["import", "users", "-"], &text);
    assert!(ended.errors.contains("and 30 more, which --json lists"), "{}", ended.errors);
    assert_eq!(ended.errors.lines().count(), 21);
    let answer = import(&realm, 1, &[], &lines);
    assert_eq!(answer["conflicts"].as_array().map(Vec::len), Some(50));
}
