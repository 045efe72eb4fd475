//! `portcullis policy test`: expected verdicts beside those of a policy, as a team's own CI runs it.

use crate::support::{
    in_repository,
    page::Page,
    realm::{Ended, PORTCULLIS, Realm},
};

/// The command with no setting but those that are named, in a folder without keys.
fn policy_test(arguments: &[&str], settings: &[(&str, &str)]) -> Ended {
    let mut command = std::process::Command::new(PORTCULLIS);
    command.env_clear().envs(settings.iter().copied()).args(["policy", "test"]).args(arguments);
    Ended::of(command.output().expect("portcullis runs"))
}

fn example(name: &str) -> String {
    in_repository("examples/policy").join(name).display().to_string()
}

#[test]
fn the_example_decides_as_it_says() {
    let ended = policy_test(&[&example("cases.toml"), "--policy", &example("policy.toml")], &[]);
    assert_eq!((ended.code, ended.printed.as_str()), (0, "16 cases, 0 failed"), "{}", ended.errors);
    let by_setting = [("POLICY_FILE", &*example("policy.toml"))];
    let shown = policy_test(&[&example("cases.toml"), "--json"], &by_setting).json();
    assert_eq!((&shown["passed"], &shown["failed"]), (&16.into(), &0.into()), "{shown}");
}

#[test]
fn the_policy_of_the_reference_is_that_of_the_example() {
    let example = std::fs::read_to_string(example("policy.toml")).expect("the example");
    let page = Page::read("docs/reference/policy.md");
    assert_eq!(page.blocks("toml").first(), Some(&example.as_str()));
}

#[test]
fn each_case_that_is_not_as_expected_is_told_with_what_came_instead() {
    let realm = Realm::new();
    let cases = realm.folder().join("cases.toml");
    let text = r#"
[[case]]
name = "the other verdict"
url = "https://www.example.org/static/x"
credential = "none"
expect = "deny"

[[case]]
name = "another code"
url = "https://app.example.org/users/bob/x"
claims = { sub = "alice", scope = "profile:read" }
expect = "deny"
code = "insufficient_scope"

[[case]]
name = "another route"
url = "https://example.net/health"
credential = "none"
expect = "allow"
route = "assets"

[[case]]
name = "as expected"
url = "https://app.example.org/a//b"
credential = "none"
expect = "deny"

[[case]]
name = "not clear"
url = "https://app.example.org/a//b"
credential = "none"
expect = "allow"
"#;
    std::fs::write(&cases, text).expect("writable");
    let arguments = ["cases.toml", "--policy", &example("policy.toml")];
    let ended = realm.exits(1, &[&["policy", "test"], &arguments[..]].concat(), "");
    let lines: Vec<&str> = ended.printed.lines().collect();
    assert_eq!(
        lines,
        [
            r#"cases.toml, line 2: "the other verdict" expects deny, and it is allow by the route "assets""#,
            r#"cases.toml, line 8: "another code" expects deny (insufficient_scope), and it is deny (wrong_claim) by the route "own-profile""#,
            r#"cases.toml, line 15: "another route" expects allow by the route "assets", and it is allow by the route "health""#,
            r#"cases.toml, line 28: "not clear" expects allow, and it is deny (ambiguous_request: empty_segment) by no route"#,
            "5 cases, 4 failed",
        ]
    );
    let arguments = [&["policy", "test", "--json"], &arguments[..]].concat();
    let shown = realm.exits(1, &arguments, "").json();
    assert_eq!(shown["cases"][1]["code"], "wrong_claim", "{shown}");
    assert_eq!(shown["cases"][4]["refusal"], "empty_segment", "{shown}");
    assert_eq!(shown["cases"][3]["passed"], true, "{shown}");
}

#[test]
fn mistakes_in_both_files_are_told_together() {
    let realm = Realm::new();
    let write = |name: &str, text: &str| {
        std::fs::write(realm.folder().join(name), text).expect("writable");
    };
    write("policy.toml", "[[route]]\npath = \"a\"\n");
    write("cases.toml", "[[case]]\nname = \"x\"\nurl = \"https://a.test/\"\nexpect = \"maybe\"\n");
    let arguments = ["policy", "test", "cases.toml", "--policy", "policy.toml"];
    let errors = realm.exits(64, &arguments, "").errors;
    for line in
        ["policy.toml, line 1 (route 1): path:", "cases.toml, line 4 (case 1): expect: unknown"]
    {
        assert!(errors.contains(line), "{line}\n{errors}");
    }
    let errors = realm.exits(64, &["policy", "test", "cases.toml"], "").errors;
    assert!(errors.contains("POLICY_FILE: is not set"), "{errors}");
    let errors = realm.exits(64, &["policy", "test", "none.toml"], "").errors;
    assert!(errors.contains("none.toml: cannot read it"), "{errors}");
}
