//! HAProxy, which tells what the operator has it tell, and compares the bytes of the request line.

use std::process::Command;

use super::Site;
use crate::spellings::routes::{HOSTS, PATHS, Path, regex, spelled};
use crate::support::require;

/// The steps of `normalize-uri` that make one path of many; without them nothing is decoded or resolved.
const NORMALIZED: &str = "  http-request normalize-uri fragment-strip
  http-request normalize-uri percent-to-uppercase
  http-request normalize-uri percent-decode-unreserved
  http-request normalize-uri path-strip-dot
  http-request normalize-uri path-strip-dotdot full
  http-request normalize-uri path-merge-slashes
";

/// Headers that replace the client's. `fhdr` is the whole line where `hdr` is the last of a list.
const TOLD: &str = "  http-request set-header X-Original-URI %[pathq]
  http-request set-header X-Original-Method %[method]
  http-request set-header X-Original-Host %[req.fhdr(host)]
  http-request set-header X-Original-Proto http
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
    // Without it an absolute URL is forwarded as it came, and only its path was told.
    let set_uri = if is_normalized { "  http-request set-uri %[pathq]\n" } else { "" };
    let text = format!(
        "global\n{experimental}  maxconn 512\n\
         defaults\n  mode http\n  timeout client 5s\n  timeout server 5s\n  timeout connect 5s\n\
         frontend web\n  bind {http1}\n  bind {http2} proto h2\n{normalize}  \
         acl on_app req.hdr(host),host_only -m str -i app.test\n\
         {TOLD}{set_uri}{rules}  default_backend nohost\n{backends}"
    );
    let file = site.write("haproxy.cfg", &text);
    let mut command = Command::new(program);
    command.arg("-db").arg("-f").arg(file);
    Some(command)
}
