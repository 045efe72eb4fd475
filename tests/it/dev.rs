//! `portcullis dev`: the printed commands behave as printed, and what was there is there again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use portcullis::server::TlsFiles;

use crate::support::certificates::{Authority, Certificates};
use crate::support::process::Running;
use crate::support::realm::PORTCULLIS;
use crate::support::{free_address, http, tokens};

struct Dev {
    process: Running,
    text: String,
    gate: SocketAddr,
    issuer: SocketAddr,
}

/// Starts `dev` in `folder` with no environment, and waits until it has said what to type.
fn start(folder: &Path) -> Dev {
    start_with(folder, free_address(), &[])
}

/// The same, where the issuer is at an address of one's choice, which is its name too, and with
/// these settings.
fn start_with(folder: &Path, issuer: SocketAddr, settings: &[(String, PathBuf)]) -> Dev {
    let (gate, metrics) = (free_address(), free_address());
    let log = folder.join(format!("dev-{}.log", gate.port()));
    let mut command = Command::new(PORTCULLIS);
    command.env_clear().envs(settings.iter().cloned()).current_dir(folder);
    command.args(["dev", "--listen", &gate.to_string()]);
    command.args(["--issuer-listen", &issuer.to_string()]);
    command.args(["--metrics-listen", &metrics.to_string()]);
    for other in ["--internal-listen", "--grpc-listen"] {
        command.args([other, &free_address().to_string()]);
    }
    // What is tried here is not how long a debug build takes to hash.
    command.args([
        "--password-memory-kib",
        "64",
        "--password-passes",
        "1",
        "--password-lanes",
        "1",
    ]);
    let mut process = Running::start(&mut command, &log);
    process.wait_until("portcullis dev", || {
        let is_open = |address| std::net::TcpStream::connect(address).is_ok();
        is_open(gate) && is_open(metrics) && http::get(metrics, "/health", &[]).status == 200
    });
    let text = process.log();
    Dev { process, text, gate, issuer }
}

impl Dev {
    /// The printed commands: the indented lines that are no remarks, after "Type".
    fn commands(&self) -> Vec<&str> {
        let (_, typed) = self.text.split_once("Type in another terminal:").expect("what to type");
        typed
            .lines()
            .filter_map(|line| line.strip_prefix("  "))
            .filter(|line| !line.starts_with('#'))
            .collect()
    }
}

/// Runs the printed commands in one shell, and gives the status lines that `curl` showed.
fn type_them(dev: &Dev) -> (Vec<String>, String) {
    let output = Command::new("bash").args(["-c", &dev.commands().join("\n")]).output();
    let output = output.expect("bash runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let statuses = text.lines().filter(|line| line.starts_with("HTTP/")).map(str::to_owned);
    (statuses.collect(), text)
}

#[test]
fn the_printed_commands_behave_as_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    check_printed_commands(&start(folder.path()));
}

#[test]
fn the_printed_commands_speak_tls_where_the_listeners_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let certificates = Certificates::new(Authority::new(), None);
    let of = |listener: &str| {
        let name = |part: &str| format!("{listener}_TLS_{part}_FILE");
        let TlsFiles { certificate, key, .. } = certificates.files();
        [(name("CERT"), certificate), (name("KEY"), key)]
    };
    let settings = ["LISTEN", "ISSUER", "INTERNAL"].map(of).concat();
    let dev = start_with(folder.path(), free_address(), &settings);
    check_printed_commands(&dev);
    let document = Command::new("curl")
        .args(["-ks", &format!("https://{}/openapi.json", dev.issuer)])
        .output()
        .expect("curl runs");
    let text = String::from_utf8_lossy(&document.stdout);
    for url in ["https://{gate}", "https://{internal}"] {
        assert!(text.contains(url), "{url} in {text}");
    }
}

#[track_caller]
fn check_printed_commands(dev: &Dev) {
    let (statuses, text) = type_them(dev);
    let codes: Vec<_> = statuses.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(codes, ["401", "200", "200", "401"], "{text}");
    assert!(text.contains("x-auth-username: alice"), "{text}");
    let id = text.lines().find_map(|line| line.strip_prefix("x-auth-user: ")).expect("an id");
    assert_eq!(id.trim().len(), 22, "as in production, no name: {text}");
    let listed = format!("\"user_id\":\"{}\"", id.trim());
    assert!(text.contains(&listed), "what the administrator sees: {text}");
    assert!(text.contains("alice@example.com"), "the list of users: {text}");
    for example in ["examples/nginx/README.md", "examples/traefik/README.md"] {
        assert!(dev.text.contains(example) && crate::support::in_repository(example).is_file());
    }
}

#[test]
fn started_again_it_finds_its_key_and_its_sessions() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(PORTCULLIS);
        let output = command.env_clear().current_dir(folder.path()).args(arguments).output();
        String::from_utf8(output.expect("it runs").stdout).expect("UTF-8").trim().to_owned()
    };
    let read = |name: &str| {
        std::fs::read_to_string(folder.path().join("portcullis-data").join(name)).expect("a file")
    };
    let mut dev = start(folder.path());
    let (kept, ended) =
        (run(&["token", "mint", "--user", "bob"]), run(&["token", "mint", "--user", "eve"]));
    run(&["session", "revoke", "--token", &ended]);
    let key = read("signing-key.pem");
    let login = log_in(dev.issuer);
    let metadata = http::get(dev.issuer, "/.well-known/oauth-authorization-server", &[]).json();
    assert_eq!(metadata["issuer"], format!("http://{}", dev.issuer));
    for token in [&login, &kept] {
        assert_eq!(tokens::claims(token)["iss"], metadata["issuer"], "one name for all");
    }
    let before = run(&["session", "list", "--json"]);
    dev.process.kill();

    let dev = start_with(folder.path(), dev.issuer, &[]);
    assert_eq!(read("signing-key.pem"), key);
    assert_eq!(run(&["session", "list", "--json"]), before);
    for (token, status) in [(&kept, 200), (&login, 200), (&ended, 401)] {
        let lines = [http::bearer(token)];
        assert_eq!(http::get(dev.gate, "/validate_request", &[&lines[0]]).status, status);
    }
    assert_ne!(log_in(dev.issuer), login, "the demo user is there again");
}

/// The demo user's access token.
fn log_in(issuer: SocketAddr) -> String {
    let form = "grant_type=password&username=alice&password=wonderland&client_id=demo&client_secret=demo-secret";
    let lines = ["Content-Type: application/x-www-form-urlencoded"];
    let request = http::request("POST", "/token", &lines, form.as_bytes());
    let answer = http::Client::connect(issuer).exchange(request);
    let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(answer.status, 200, "{body}");
    body["access_token"].as_str().expect("a token").to_owned()
}

#[test]
fn the_demo_user_is_unknown_to_serve() {
    let folder = tempfile::tempdir().expect("a folder");
    let dev = start(folder.path());
    log_in(dev.issuer);
    let mut command = Command::new(PORTCULLIS);
    command.env_clear().current_dir(folder.path()).args(["user", "list", "--json"]);
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("alice"), "{output:?}");
}

#[test]
fn it_binds_loopback_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    for listener in
        ["--listen", "--metrics-listen", "--issuer-listen", "--internal-listen", "--grpc-listen"]
    {
        let arguments = [listener, "0.0.0.0:0", "--admin-token-file", "token"];
        std::fs::write(folder.path().join("token"), "0123456789abcdef0123456789abcdef")
            .expect("a file");
        let mut command = Command::new(PORTCULLIS);
        command.env_clear().current_dir(folder.path()).arg("dev").args(arguments);
        let output = command.output().expect("it runs");
        assert_eq!(output.status.code(), Some(64));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains("can be reached from other hosts"), "{listener}: {stderr}");
    }
}

#[test]
fn its_files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let _dev = start(folder.path());
    let data = folder.path().join("portcullis-data");
    let mode = |path: &Path| path.metadata().expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for name in
        ["signing-key.pem", "portcullis.db", "dev-accounts.db", "audit.jsonl", "admin-token"]
    {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
}
