//! HAProxy, which compares the bytes of the request line, and asks by the script of its example.

use std::process::Command;

use super::Site;
use crate::spellings::routes::{HOSTS, PATHS, Path, regex, spelled};
use crate::support::{require, substituted};

/// The steps of `normalize-uri` that make one path of many; without them nothing is decoded or resolved.
const NORMALIZED: &str = "  http-request normalize-uri fragment-strip
  http-request normalize-uri percent-to-uppercase
  http-request normalize-uri percent-decode-unreserved
  http-request normalize-uri path-strip-dot
  http-request normalize-uri path-strip-dotdot full
  http-request normalize-uri path-merge-slashes
";

pub(super) fn configure(site: &Site, is_normalized: bool) -> Option<Command> {
    let program = require("haproxy")?;
    let mut rules = String::new();
    for (route, path) in PATHS {
        let test = match path {
            Path::Exact(path) => format!("-m str '{}'", spelled(path)),
            Path::Pattern(pattern) => format!("-m reg '{}'", regex(pattern)),
            Path::Below(path) => format!("-m beg '{}'", spelled(path)),
        };
        rules += &format!("  use_backend {route} if on_app {{ path {test} }}\n");
    }
    for (route, host) in HOSTS {
        let test = match host.strip_prefix("*.") {
            Some(parent) => format!("-m reg -i '^[^.]+\\.{}$'", parent.replace('.', "\\.")),
            None => format!("-m str -i '{host}'"),
        };
        rules += &format!("  use_backend {route} if {{ req.hdr(host),host_only {test} }}\n");
    }
    let backends = site.applications.iter();
    let backends: String =
        backends.map(|(route, to)| format!("backend {route}\n  server one {to}\n")).collect();
    let (http1, http2) = (site.addresses.http1, site.addresses.http2);
    let experimental = if is_normalized { "  expose-experimental-directives\n" } else { "" };
    let normalize = if is_normalized { NORMALIZED } else { "" };
    let patience = [(1, "local TIMEOUT = 3000", "local TIMEOUT = 20000")];
    let script = substituted("examples/haproxy/portcullis.lua", &patience);
    let (script, judge) = (site.write("portcullis.lua", &script), site.judge);
    let text = format!(
        "global\n{experimental}  maxconn 512\n  lua-load-per-thread {}\n\
         defaults\n  mode http\n  timeout client 20s\n  timeout server 20s\n  timeout connect 20s\n\
         frontend web\n  bind {http1}\n  bind {http2} proto h2\n{normalize}  \
         acl on_app req.hdr(host),host_only -m str -i app.test\n  \
         http-request set-uri %[pathq]\n  \
         http-request lua.portcullis http://{judge}/validate_request/haproxy\n  \
         http-request deny deny_status 503 unless {{ var(txn.portcullis_allowed) -m bool }}\n\
         {rules}  default_backend nohost\n{backends}",
        script.display()
    );
    let file = site.write("haproxy.cfg", &text);
    let mut command = Command::new(program);
    command.arg("-db").arg("-f").arg(file);
    Some(command)
}
