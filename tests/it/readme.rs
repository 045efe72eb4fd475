//! The README's commands, typed as they stand there.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::realm::PORTCULLIS;
use crate::support::{free_address, in_repository};

/// The shell commands of a section, block by block.
fn blocks(section: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(in_repository("README.md")).expect("the README");
    let (_, rest) = readme.split_once(&format!("\n## {section}\n")).expect(section);
    let text = rest.split_once("\n## ").map_or(rest, |(text, _)| text);
    let blocks = text.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// A line as it is typed, and what it exits with. A server goes on in the background, until the
/// next one is started.
fn typed(line: &str, gate: &str) -> String {
    let told = line.replace('\'', "");
    if !line.ends_with("portcullis serve") {
        return format!("{line}\necho '@@' $? '{told}'\n");
    }
    format!(
        "end; {line} & SERVER=$!\n\
         while kill -0 $SERVER && ! curl -s -o /dev/null http://{gate}/validate_request; do sleep 0.1; done\n\
         kill -0 $SERVER; echo '@@' $? '{told}'\n"
    )
}

#[test]
fn the_commands_for_production_work_in_one_shell() {
    let blocks = blocks("Production");
    assert_eq!(blocks.len(), 3, "{blocks:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let gate = free_address().to_string();
    let text = blocks.concat().replace("127.0.0.1:8080", &gate);
    let lines = text.lines().map(|line| line.split("   #").next().unwrap_or(line).trim_end());
    let script: String = lines.map(|line| typed(line, &gate)).collect();
    let script = format!(
        "SERVER=; end() {{ [ -z \"$SERVER\" ] || {{ kill $SERVER; wait $SERVER; SERVER=; }}; }}\n\
         trap end EXIT\n{script}"
    );
    let programs = Path::new(PORTCULLIS).parent().expect("a folder").display().to_string();
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).current_dir(folder.path());
    shell.env_clear().env("PATH", format!("{programs}:/usr/local/bin:/usr/bin:/bin"));
    // What was typed before, for the accounts of `dev`.
    shell.env("ACCOUNTS_URL", "sqlite:portcullis-data/dev-accounts.db").env("LISTEN", &gate);
    for listener in ["METRICS_LISTEN", "ISSUER_LISTEN", "INTERNAL_LISTEN", "GRPC_LISTEN"] {
        shell.env(listener, free_address().to_string());
    }
    // A test machine is slow, and nobody types here: the store is asked at each request.
    shell.envs([("STORE_TIMEOUT", "3"), ("SESSION_STALENESS", "0"), ("PASSWORD_MEMORY_KIB", "64")]);
    let mut shell = shell
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bash");
    let password = b"correct horse battery staple\n";
    shell.stdin.take().expect("a pipe").write_all(password).expect("it reads");
    let output = shell.wait_with_output().expect("bash ends");
    let (said, told) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let exits: Vec<_> = said.lines().filter_map(|line| line.strip_prefix("@@ ")).collect();
    assert_eq!(exits.len(), text.lines().count(), "{said}\n{told}");
    for exit in exits {
        // It explains a denial.
        let expected = if exit.contains("portcullis explain") { "1 " } else { "0 " };
        assert!(exit.starts_with(expected), "{exit}\n{said}\n{told}");
    }
    let statuses = said.lines().filter(|line| line.starts_with("HTTP/"));
    let statuses: Vec<_> = statuses.filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(statuses, ["200", "403", "401"], "{said}\n{told}");
}
