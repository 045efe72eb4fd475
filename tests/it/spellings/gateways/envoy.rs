//! Envoy, which asks with the client's own method, host and path.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};

use super::Site;
use crate::spellings::routes::{HOSTS, NO_HOST, PATHS, Path, regex, spelled};
use crate::support::require;

pub(super) fn configure(site: &Site, is_normalized: bool) -> Option<Command> {
    let program = require("envoy")?;
    let mut clusters = vec![cluster("judge", site.judge)];
    clusters.extend(site.applications.iter().map(|(route, address)| cluster(route, *address)));
    let listeners: Vec<_> = [(site.addresses.http1, "HTTP1"), (site.addresses.http2, "HTTP2")]
        .map(|(address, codec)| listener(address, manager(site, codec, is_normalized)))
        .into();
    let config = json!({ "static_resources": { "listeners": listeners, "clusters": clusters } });
    let file = site.write("envoy.json", &config.to_string());
    let mut command = Command::new(program);
    command.arg("-c").arg(file);
    command.args(["--concurrency", "1", "-l", "error", "--use-dynamic-base-id"]);
    Some(command)
}

/// The manager of a listener's connections: it judges, then routes.
fn manager(site: &Site, codec: &str, is_normalized: bool) -> Value {
    let judge = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        "http_service": {
            "server_uri": { "uri": format!("http://{}", site.judge), "cluster": "judge", "timeout": "20s" },
            "path_prefix": "/validate_request/envoy",
        },
        "allowed_headers": { "patterns": [{ "prefix": "x", "ignore_case": true }] },
    });
    let router = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
    });
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "web",
        "codec_type": codec,
        "use_remote_address": true,
        "route_config": {
            "name": "routes", "virtual_hosts": hosts(), "ignore_port_in_host_matching": true,
        },
        "http_filters": [
            { "name": "envoy.filters.http.ext_authz", "typed_config": judge },
            { "name": "envoy.filters.http.router", "typed_config": router },
        ],
    });
    if is_normalized {
        manager["normalize_path"] = true.into();
        manager["merge_slashes"] = true.into();
        manager["path_with_escaped_slashes_action"] = "REJECT_REQUEST".into();
        manager["strip_trailing_host_dot"] = true.into();
        manager["common_http_protocol_options"] =
            json!({ "headers_with_underscores_action": "REJECT_REQUEST" });
    }
    manager
}

fn hosts() -> Vec<Value> {
    let to = |route: &str| json!({ "cluster": route, "timeout": "20s" });
    let paths = PATHS.map(|(route, path)| {
        let place = match path {
            Path::Exact(path) => json!({ "path": spelled(path) }),
            Path::Pattern(pattern) => json!({ "safe_regex": { "regex": regex(pattern) } }),
            Path::Below(path) => json!({ "prefix": spelled(path) }),
        };
        json!({ "match": place, "route": to(route) })
    });
    let mut hosts =
        vec![json!({ "name": "app", "domains": ["app.test"], "routes": paths.to_vec() })];
    for (route, host) in HOSTS.into_iter().chain([(NO_HOST, "*")]) {
        let all = json!({ "match": { "prefix": "/" }, "route": to(route) });
        hosts.push(json!({ "name": route, "domains": [host], "routes": [all] }));
    }
    hosts
}

fn listener(address: SocketAddr, manager: Value) -> Value {
    let filter = json!({
        "name": "envoy.filters.network.http_connection_manager", "typed_config": manager,
    });
    json!({
        "name": address.to_string(),
        "address": socket(address),
        "filter_chains": [{ "filters": [filter] }],
    })
}

fn cluster(name: &str, address: SocketAddr) -> Value {
    let endpoint = json!({ "endpoint": { "address": socket(address) } });
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "20s",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [endpoint] }] },
    })
}

fn socket(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip(), "port_value": address.port() } })
}
