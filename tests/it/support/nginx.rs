//! Real nginx with the configuration of examples/nginx.

use std::{
    net::{SocketAddr, TcpStream},
    process::Command,
};

use tempfile::TempDir;

use super::{free_address, process::Running, require, substituted};

/// Changes of a test to the example besides the addresses: `(from, to)`, each of which must stand there once.
pub type Edits<'a> = &'a [(&'a str, &'a str)];

/// nginx with a folder of its own for what it writes.
pub struct Nginx {
    /// The address to which clients connect.
    pub address: SocketAddr,
    /// The address for clients of HTTP/2, where there is one.
    pub http2: Option<SocketAddr>,
    process: Running,
    _folder: TempDir,
}

impl Nginx {
    /// Starts it in front of `app`, asking `gate`; `None` where there is no nginx.
    pub fn start(gate: SocketAddr, app: SocketAddr, edits: Edits<'_>) -> Option<Self> {
        let (address, stand_in, http2) = (free_address(), free_address(), free_address());
        let grpc = substituted(
            "examples/nginx/grpc.conf",
            &[(1, "listen 127.0.0.1:8097 http2;", &format!("listen {http2} http2;"))],
        );
        let mut text = substituted(
            "examples/nginx/nginx.conf",
            &[
                (1, "        include grpc.conf;\n", &grpc),
                (1, "server 127.0.0.1:8080;", &format!("server {gate};")),
                (1, "server 127.0.0.1:8089;", &format!("server {app};")),
                (1, "listen 127.0.0.1:8088;", &format!("listen {address};")),
                (1, "listen 127.0.0.1:8089;", &format!("listen {stand_in};")),
            ],
        );
        for (from, to) in edits {
            assert_eq!(
                text.matches(from).count(),
                1,
                "examples/nginx/nginx.conf should hold {from:?} once"
            );
            text = text.replace(from, to);
        }
        let mut nginx = Self::run(&text, address)?;
        nginx.http2 = Some(http2);
        Some(nginx)
    }

    /// Starts it with the lines of the README inside a plain `server`.
    pub fn start_by_readme(gate: SocketAddr, app: SocketAddr) -> Option<Self> {
        let address = free_address();
        let readme = substituted(
            "README.md",
            &[
                (1, "proxy_pass http://127.0.0.1:8089/;", &format!("proxy_pass http://{app}/;")),
                (
                    1,
                    "proxy_pass http://127.0.0.1:8080/validate_request;",
                    &format!("proxy_pass http://{gate}/validate_request;"),
                ),
            ],
        );
        let lines = readme.split("```nginx\n").nth(1).and_then(|rest| rest.split("```").next());
        let lines = lines.expect("the README shows how to configure nginx");
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path run/{name};\n"))
            .concat();
        let text = format!(
            "daemon off;\npid run/nginx.pid;\nerror_log stderr notice;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}server {{\nlisten {address};\n{lines}}}\n}}\n"
        );
        Self::run(&text, address)
    }

    /// Starts it with this configuration, which listens at `address`.
    pub fn run(text: &str, address: SocketAddr) -> Option<Self> {
        let program = require("nginx")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("run")).expect("a writable folder");
        std::fs::write(folder.path().join("nginx.conf"), text).expect("a writable folder");
        let mut command = Command::new(program);
        command.arg("-p").arg(folder.path()).args(["-c", "nginx.conf", "-e", "stderr"]);
        let mut process = Running::start(&mut command, &folder.path().join("stderr"));
        process.wait_until("nginx", || TcpStream::connect(address).is_ok());
        Some(Self { address, http2: None, process, _folder: folder })
    }

    /// Waits until something else is ready too.
    pub fn wait_until(&mut self, ready: impl FnMut() -> bool) {
        self.process.wait_until("nginx", ready);
    }

    /// The lines of its log at the level of an error or worse.
    pub fn errors(&self) -> Vec<String> {
        let bad = |line: &&str| {
            ["[error]", "[crit]", "[alert]", "[emerg]"].iter().any(|level| line.contains(level))
        };
        self.process.log().lines().filter(bad).map(str::to_owned).collect()
    }
}
