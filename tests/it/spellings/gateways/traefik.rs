//! Traefik, which tells the path as it matched it.

use std::process::Command;

use serde_json::{Map, json};

use super::Site;
use crate::spellings::routes::{HOSTS, NO_HOST, PATHS, Path, regex};
use crate::support::require;

pub(super) fn configure(site: &Site, sanitizes: bool) -> Option<Command> {
    let program = require("traefik")?;
    let mut rules = Vec::new();
    for (route, path) in PATHS {
        // Reserved characters are compared as they are spelled: a percent sign is %25 there.
        let path = match path {
            Path::Exact(path) => format!("Path(`{path}`)"),
            Path::Pattern(pattern) => format!("PathRegexp(`{}`)", regex(pattern)),
            Path::Below(path) => format!("PathPrefix(`{}`)", path.replace('%', "%25")),
        };
        rules.push((route, format!("Host(`app.test`) && {path}")));
    }
    for (route, host) in HOSTS {
        rules.push((
            route,
            match host.strip_prefix("*.") {
                Some(parent) => format!("HostRegexp(`^[^.]+\\.{}$`)", parent.replace('.', "\\.")),
                None => format!("Host(`{}`)", host.trim_matches(['[', ']'])),
            },
        ));
    }
    rules.push((NO_HOST, "PathPrefix(`/`)".to_owned()));
    let dynamic = dynamic(site, &rules);
    let file = site.write("dynamic.yml", &dynamic.to_string());
    let fixed = json!({
        "entryPoints": { "web": {
            "address": site.addresses.http1, "http": { "sanitizePath": sanitizes }
        }, "web2": {
            "address": site.addresses.http2, "http": { "sanitizePath": sanitizes }
        } },
        "providers": { "file": { "filename": file } },
        "log": { "level": "ERROR" },
        "global": { "checkNewVersion": false, "sendAnonymousUsage": false },
    });
    let file = site.write("traefik.yml", &fixed.to_string());
    let mut command = Command::new(program);
    command.arg(format!("--configFile={}", file.display()));
    Some(command)
}

/// The routers, the first rule with the highest priority.
fn dynamic(site: &Site, rules: &[(&str, String)]) -> serde_json::Value {
    let (mut routers, mut services) = (Map::new(), Map::new());
    for (place, (route, rule)) in rules.iter().enumerate() {
        let priority = rules.len() - place;
        let router = json!({
            "rule": rule, "priority": priority, "service": route, "middlewares": ["judge"],
        });
        routers.insert((*route).to_owned(), router);
        let url = format!("http://{}", site.application(route));
        let service = json!({ "loadBalancer": { "servers": [{ "url": url }] } });
        services.insert((*route).to_owned(), service);
    }
    let address = format!("http://{}/validate_request/traefik", site.judge);
    json!({ "http": { "routers": routers, "services": services, "middlewares": {
        "judge": { "forwardAuth": { "address": address, "trustForwardHeader": false } }
    } } })
}
