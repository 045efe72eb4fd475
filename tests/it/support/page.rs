//! Pages of the documents: their blocks of code, and their commands, typed as they stand there.
//!
//! A block marked `sh` is typed by a test; one marked `console` is only shown. A remark at the end of a line says what
//! comes of it: `# 200` the status of a `curl -i`, `# exits 1` the exit code of a command.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use super::{in_repository, realm::PORTCULLIS};

/// Stands before the exit code of a command in the output of the shell.
const MARK: &str = "\n@@ ";

/// The text of a page.
pub struct Page {
    name: String,
    text: String,
}

impl Page {
    /// Reads a page of the repository.
    pub fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(in_repository(name));
        Self { name: name.to_owned(), text: text.unwrap_or_else(|error| panic!("{name}: {error}")) }
    }

    /// The same page, with an address of the test in place of one that it names.
    ///
    /// # Panics
    ///
    /// When the page does not name it.
    pub fn with(mut self, from: &str, to: impl ToString) -> Self {
        assert!(self.names(from), "{} does not name {from}", self.name);
        self.text = self.text.replace(from, &to.to_string());
        self
    }

    /// True if the page names that address.
    pub fn names(&self, address: &str) -> bool {
        self.text.contains(address)
    }

    /// Its blocks of a language, without their fences.
    pub fn blocks(&self, language: &str) -> Vec<&str> {
        let fence = format!("\n```{language}\n");
        let blocks = self.text.split(&fence).skip(1);
        blocks.map(|rest| rest.split("```").next().unwrap_or_default()).collect()
    }

    /// Its commands, a line each.
    pub fn commands(&self) -> Vec<&str> {
        let lines = self.blocks("sh").into_iter().flat_map(str::lines);
        lines.filter(|line| !line.trim().is_empty()).collect()
    }

    /// Types its commands in one bash of this environment, and gives what they printed.
    ///
    /// # Panics
    ///
    /// When one of them comes to another end than its remark says.
    pub fn type_in(&self, shell: &mut Command, input: &str) -> String {
        let commands = self.commands();
        assert!(!commands.is_empty(), "{}: nothing to type", self.name);
        let (said, told) = run(shell, &script(&commands), input);
        let mut results = said.split(MARK).collect::<Vec<_>>().into_iter();
        let mut output = results.next().unwrap_or_default().to_owned();
        let mut shown = String::new();
        for command in &commands {
            let next = results.next().unwrap_or_else(|| {
                panic!("{}: {command:?} did not end\n{said}\n{told}", self.name)
            });
            let (code, rest) = next.split_once('\n').unwrap_or((next, ""));
            let (expected_code, expected_status) = expected(command);
            assert_eq!(code, expected_code, "{}: {command}\n{output}\n{told}", self.name);
            if let Some(expected) = expected_status {
                let line = output.lines().find_map(|line| line.strip_prefix("HTTP/1.1 "));
                let status = line.and_then(|line| line.get(..3)).unwrap_or_default();
                assert_eq!(status, expected, "{}: {command}\n{output}\n{told}", self.name);
            }
            writeln!(shown, "{}", output.trim()).expect("a string takes all");
            rest.clone_into(&mut output);
        }
        shown
    }
}

/// The exit code of a command, and the status that a `curl -i` shows.
fn expected(command: &str) -> (&str, Option<&str>) {
    let remark = command.rsplit_once(" # ").map(|(_, remark)| remark.trim());
    let code = remark.and_then(|remark| remark.strip_prefix("exits ")?.get(..1)).unwrap_or("0");
    let status = command
        .starts_with("curl -i ")
        .then(|| remark.and_then(|remark| remark.get(..3)).expect("a status behind `curl -i`"));
    (code, status)
}

/// The commands, each followed by its exit code. A server goes on in the background until the next one is started.
fn script(commands: &[&str]) -> String {
    let mut script =
        "SERVER=; end() { [ -z \"$SERVER\" ] || { kill $SERVER; wait $SERVER; SERVER=; }; }\n\
        trap end EXIT\n"
            .to_owned();
    for command in commands {
        if command.ends_with("portcullis serve") {
            write!(
                script,
                "end; {command} & SERVER=$!\n\
                 while kill -0 $SERVER && ! curl -s -o /dev/null http://$LISTEN/validate_request; do sleep 0.1; done\n\
                 kill -0 $SERVER"
            )
        } else {
            write!(script, "{command}")
        }
        .expect("a string takes all");
        script.push_str("\nprintf '\\n@@ %s\\n' $?\n");
    }
    script
}

/// Both outputs of a bash that has two minutes.
fn run(shell: &mut Command, script: &str, input: &str) -> (String, String) {
    let mut child = shell
        .args(["120", "bash", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("timeout and bash");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("bash ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// A shell in `folder` that finds `portcullis` and nothing of this process's environment.
pub fn shell(folder: &Path) -> Command {
    let programs = Path::new(PORTCULLIS).parent().expect("a folder").display();
    let mut shell = Command::new("timeout");
    shell.env_clear().current_dir(folder);
    shell.env("PATH", format!("{programs}:/usr/local/bin:/usr/bin:/bin"));
    shell
}
