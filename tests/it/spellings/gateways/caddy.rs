//! Caddy, which tells the path as the client spelled it.

use std::process::Command;

use super::Site;
use crate::spellings::routes::{HOSTS, NO_HOST, PATHS, Path, regex};
use crate::support::require;

pub(super) fn configure(site: &Site) -> Option<Command> {
    let program = require("caddy")?;
    let mut handles = String::new();
    for (route, path) in PATHS {
        let path = match path {
            // Not even /* takes the empty path of an absolute URL, which is told as /: the host alone does.
            Path::Below("/") => String::new(),
            // A star beside an escape stops at the next slash. A regular expression sees the decoded path.
            Path::Below(path) if path.contains('%') => format!("path_regexp `^{path}`"),
            Path::Below(path) => format!("path \"{path}*\""),
            Path::Exact(path) => format!("path \"{path}\""),
            Path::Pattern(pattern) => format!("path_regexp `{}`", regex(pattern)),
        };
        handles += &handle(site, route, &format!("host app.test\n{path}"));
    }
    for (route, host) in HOSTS {
        handles += &handle(site, route, &format!("host {}", host.trim_matches(['[', ']'])));
    }
    let (judge, other) = (site.judge, site.application(NO_HOST));
    let (http1, http2) = (site.addresses.http1.port(), site.addresses.http2.port());
    let text = format!(
        "{{
admin off
auto_https off
persist_config off
default_bind 127.0.0.1
servers {{
protocols h1 h2c
}}
}}
(judged) {{
forward_auth {judge} {{
uri /validate_request/caddy?
}}
reverse_proxy {{args[0]}}
}}
:{http1}, :{http2} {{
route {{
{handles}
handle {{
import judged {other}
}}
}}
}}
"
    );
    let file = site.write("Caddyfile", &text);
    let mut command = Command::new(program);
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
    for name in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
        command.env(name, site.folder.path());
    }
    Some(command)
}

fn handle(site: &Site, route: &str, matchers: &str) -> String {
    let application = site.application(route);
    format!("@{route} {{\n{matchers}\n}}\nhandle @{route} {{\nimport judged {application}\n}}\n")
}
