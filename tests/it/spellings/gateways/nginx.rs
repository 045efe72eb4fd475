//! nginx, which tells what the operator has it tell.

use std::process::Command;

use super::Site;
use crate::spellings::routes::{HOSTS, NO_HOST, PATHS, Path, regex};
use crate::support::require;

pub(super) fn configure(site: &Site, merge_slashes: &str) -> Option<Command> {
    let program = require("nginx")?;
    let paths = PATHS.iter().map(|(route, path)| {
        let place = match path {
            Path::Exact(path) => format!("= \"{path}\""),
            Path::Pattern(pattern) => format!("~ \"{}\"", regex(pattern)),
            Path::Below(path) => format!("\"{path}\""),
        };
        location(site, &place, route)
    });
    let mut servers = server(site, "app.test", merge_slashes, "", &paths.collect::<String>());
    for (route, host) in HOSTS {
        servers += &server(site, host, merge_slashes, "", &location(site, "/", route));
    }
    let other = location(site, "/", NO_HOST);
    servers += &server(site, "\"\"", merge_slashes, " default_server", &other);
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {name};\n"))
        .concat();
    let text = format!(
        "daemon off;\npid nginx.pid;\nerror_log stderr crit;\nworker_processes 1;\n\
         events {{ worker_connections 512; }}\n\
         http {{\naccess_log off;\nserver_names_hash_bucket_size 128;\n{temporary}{servers}}}\n"
    );
    let file = site.write("nginx.conf", &text);
    let mut command = Command::new(program);
    command.arg("-p").arg(site.folder.path()).arg("-c").arg(file).args(["-e", "stderr"]);
    Some(command)
}

fn server(site: &Site, names: &str, merge_slashes: &str, default: &str, locations: &str) -> String {
    let (http1, http2, judge) = (site.addresses.http1, site.addresses.http2, site.judge);
    format!(
        "server {{
    listen {http1}{default};
    listen {http2} http2{default};
    server_name {names};
    merge_slashes {merge_slashes};
    location = /_judge {{
        internal;
        proxy_pass http://{judge}/validate_request;
        proxy_pass_request_body off;
        proxy_set_header Content-Length \"\";
        proxy_set_header X-Original-URI $request_uri;
        proxy_set_header X-Original-Method $request_method;
        proxy_set_header X-Original-Host $host;
        proxy_set_header X-Original-Proto $scheme;
    }}
    {locations}
}}
"
    )
}

fn location(site: &Site, place: &str, route: &str) -> String {
    let application = site.application(route);
    format!("location {place} {{ auth_request /_judge; proxy_pass http://{application}; }}\n    ")
}
