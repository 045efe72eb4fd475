//! The examples agree with the lists that they are made from, and with each other.

use std::collections::BTreeSet;

use crate::support::{in_repository, suite};

fn example(path: &str) -> String {
    std::fs::read_to_string(in_repository("examples").join(path)).expect("an example")
}

fn sorted<S: Into<String>>(names: impl IntoIterator<Item = S>) -> BTreeSet<String> {
    names.into_iter().map(Into::into).collect()
}

#[test]
fn both_gateways_strip_the_headers_of_the_list_and_no_others() {
    let listed = sorted(suite::stripped_headers());
    let nginx = example("nginx/nginx.conf");
    let (_, of_server) = nginx.split_once("error_page 401 @unauthorized;").map_or_else(
        || panic!("nginx.conf has no error_page any more"),
        |(before, _)| before.split_once("# No client tells the app").expect("the list"),
    );
    let removed = of_server.lines().filter_map(|line| {
        let (name, value) = line.trim().strip_prefix("proxy_set_header ")?.split_once(' ')?;
        (value.trim() == "\"\";").then_some(name)
    });
    assert_eq!(sorted(removed), listed, "nginx.conf");

    let traefik = example("traefik/dynamic.yml");
    let (_, block) = traefik.split_once("    no-overrides:\n").expect("the middleware");
    let block = block.split("\n\n").next().expect("its lines");
    let removed = block.lines().filter_map(|line| line.trim().strip_suffix(": \"\""));
    assert_eq!(sorted(removed), listed, "dynamic.yml");
    let fixed = example("traefik/traefik.yml");
    assert!(fixed.contains("middlewares: [no-overrides@file]"), "no route may forget it");
}
