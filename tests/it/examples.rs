//! The examples agree with the lists that they are made from, and with each other.

use std::collections::BTreeSet;

use crate::support::{in_repository, suite};

fn example(path: &str) -> String {
    std::fs::read_to_string(in_repository("examples").join(path)).expect("an example")
}

fn sorted<S: Into<String>>(names: impl IntoIterator<Item = S>) -> BTreeSet<String> {
    names.into_iter().map(Into::into).collect()
}

/// The files that remove headers: where the lines begin that do, up to an empty one, and what stands in them before and
/// behind a name.
const REMOVING: [(&str, &str, &str, &str); 8] = [
    ("nginx/nginx.conf", "        # No client tells the app", "proxy_set_header ", "\"\";"),
    ("nginx/grpc.conf", "    # No client tells the app", "grpc_set_header ", "\"\";"),
    (
        "nginx-gateway-fabric/snippets.yaml",
        "        # No client tells the app",
        "proxy_set_header ",
        "\"\";",
    ),
    ("traefik/dynamic.yml", "    no-overrides:\n", "", ": \"\""),
    ("caddy/Caddyfile", "(no-overrides) {\n", "request_header -", ""),
    ("haproxy/haproxy.cfg", "    # No client tells the app", "http-request del-header ", ""),
    ("envoy/envoy-http.yaml", "# No client tells the app", "- remove: ", ""),
    ("envoy/envoy-grpc.yaml", "# No client tells the app", "- remove: ", ""),
];

#[test]
fn every_example_strips_the_headers_of_the_list_and_no_others() {
    let listed = sorted(suite::stripped_headers());
    for (file, begin, before, behind) in REMOVING {
        let text = example(file);
        let (_, lines) = text.split_once(begin).unwrap_or_else(|| panic!("{file}: no {begin:?}"));
        let lines = lines.split("\n\n").next().expect("lines").lines();
        let name = |line: &'_ str| {
            let name = line.trim().strip_prefix(before)?.strip_suffix(behind)?.trim();
            Some(name.to_owned())
        };
        assert_eq!(sorted(lines.filter_map(name)), listed, "{file}");
    }
}

/// Where a list is named and not just there, something must name it for every route.
#[test]
fn no_route_of_an_example_may_forget_the_list() {
    let (traefik, caddy) = (example("traefik/traefik.yml"), example("caddy/Caddyfile"));
    assert!(traefik.contains("middlewares: [no-overrides@file]"));
    let (before, routes) = caddy.split_once("\t\thandle ").expect("routes");
    assert!(before.contains("\n\t\timport no-overrides\n"));
    assert!(!routes.contains("import no-"));
}
