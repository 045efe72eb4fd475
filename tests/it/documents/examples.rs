//! Examples of configuration and code in the pages, as they are printed.

use std::{path::PathBuf, process::Command};

use super::{pages, text};
use crate::support::{
    found_or_skipped, in_repository,
    issuer::Issuer,
    page::{self, Page},
    realm::Realm,
    require, suite,
};

/// A fragment in the book is a part of the complete configuration that the tests run.
#[test]
fn fragments_of_gateways_stand_in_the_examples() {
    let mut checked = 0;
    for (language, files) in [
        ("nginx", &["examples/nginx/nginx.conf", "examples/nginx/grpc.conf"][..]),
        (
            "yaml",
            &[
                "examples/traefik/dynamic.yml",
                "examples/traefik/traefik.yml",
                "examples/envoy/envoy-http.yaml",
                "examples/envoy/envoy-grpc.yaml",
                "examples/envoy/gateway-api.yaml",
                "examples/ingress-nginx/ingress.yaml",
                "examples/nginx-gateway-fabric/snippets.yaml",
            ],
        ),
        ("caddyfile", &["examples/caddy/Caddyfile"]),
        ("haproxy", &["examples/haproxy/haproxy.cfg"]),
    ] {
        let example: String = files.iter().map(|file| text(file)).collect();
        let known: Vec<&str> = example.lines().map(str::trim).collect();
        // What stands in these is in no example; `tls.rs` and `sender_constrained` run it.
        let is_run = |page: &String| {
            ["docs/how-to/tls.md", "docs/how-to/sender-constrained-tokens.md"]
                .contains(&page.as_str())
        };
        for page in pages().into_iter().filter(|page| !is_run(page)) {
            for block in Page::read(&page).blocks(language) {
                checked += 1;
                for line in block.lines().map(str::trim).filter(|line| !line.is_empty()) {
                    assert!(known.contains(&line), "{page}: {line:?} is in none of {files:?}");
                }
            }
        }
    }
    assert!(checked >= 10, "only {checked} fragments");
}

#[test]
fn the_example_of_several_issuers_is_accepted() {
    let realm = Realm::new();
    let folder = realm.folder();
    let page = Page::read("docs/how-to/several-issuers.md");
    let [example] = page.blocks("toml")[..] else { panic!("one example") };
    std::fs::write(folder.join("settings.toml"), example).expect("writable");
    std::fs::write(folder.join("public.pem"), realm.public_pem()).expect("writable");
    let realm = ["ALGORITHM", "PRIVATE_KEY_FILE", "PUBLIC_KEY_FILE", "DB_URL"]
        .into_iter()
        .fold(realm, Realm::without);
    realm.ask(&["check-config", "--config", "settings.toml"]);
}

/// The settings that the pages about moving in export, with the files that they name.
#[test]
fn the_settings_for_moving_in_are_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["secret.txt", "hook.txt"] {
        std::fs::write(folder.path().join(file), "0123456789abcdef0123456789abcdef").expect(file);
    }
    let permissions = Page::read("docs/how-to/authnzerver-permissions.md");
    let model = permissions.blocks("json").concat();
    std::fs::write(folder.path().join("permissions.json"), model).expect("writable");
    let rsa = "portcullis key generate --algorithm RS256 --out rsa.pem";
    let ec = "rm -f key.pem; portcullis key generate --algorithm ES256 --out key.pem";
    for (name, before) in
        [("jwthenticator", rsa), ("tp-auth", ""), ("authnzerver", ec), ("mdb-engine", ec)]
    {
        let page = Page::read(&format!("docs/moving/{name}.md"));
        let shown = page.blocks("console").concat();
        let exports: Vec<&str> = shown.lines().filter(|line| line.starts_with("export ")).collect();
        assert_eq!(exports.len(), 3, "{name}: {exports:?}");
        let script = format!("{before}\n{}\nportcullis check-config", exports.join("\n"));
        let mut shell = page::shell(folder.path());
        let output = shell.args(["60", "bash", "-ec", &script]).output().expect("bash runs");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Types Python in front of and behind the blocks of a page, and demands that it ends well.
fn python(page: &str, before: &str, after: &str) {
    let Some(program) = require("python3") else { return };
    let blocks = Page::read(page).blocks("python").concat();
    assert!(!blocks.is_empty(), "{page} has no Python");
    let script = format!("{before}\n{blocks}\n{after}");
    let output = Command::new(program).args(["-c", &script]).output().expect("Python runs");
    assert!(output.status.success(), "{page}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_code_that_reads_headers_reads_them() {
    let headers = "headers = {'X-Auth-User': 'J%C3%BCrgen%2C Ops', 'X-Auth-Roles': 'editor,a%2Cb', \
        'X-Auth-Scopes': 'user:read user:write'}";
    python(
        "docs/reference/headers.md",
        headers,
        "assert (user, roles) == ('J\\u00fcrgen, Ops', ['editor', 'a,b'])\n\
         assert scopes == ['user:read', 'user:write']",
    );
    python("docs/how-to/require-a-role.md", headers, "");
}

#[test]
fn the_code_that_checks_the_hooks_signature_checks_it() {
    python(
        "docs/how-to/token-hook.md",
        "import hashlib, hmac, time",
        "now = str(int(time.time()))\n\
         v1 = hmac.new(b's', now.encode() + b'.{}', hashlib.sha256).hexdigest()\n\
         assert is_ours(f't={now},v1={v1}', b'{}', b's')\n\
         assert not is_ours(f't={now},v1={v1}', b'{ }', b's')\n\
         assert not is_ours(f't=1,v1={v1}', b'{}', b's')",
    );
}

/// The signature is the one that `src/policy/return_address/tests.rs` expects of Portcullis itself.
#[test]
fn the_code_that_checks_the_way_back_checks_it() {
    python(
        "docs/how-to/browser-login.md",
        "import base64, hmac, time",
        "time.time = lambda: 1003599\n\
         secret, url = b'0123456789abcdef0123456789abcdef', 'https://good.test/'\n\
         signature = 'e7KBacEyyBEnoktQxuH0ifHx3dqgJ0UEnlrLAnUfwcE'\n\
         assert is_ours(url, '1003600', signature, secret)\n\
         assert not is_ours(url + 'x', '1003600', signature, secret)\n\
         assert not is_ours(url, '1003601', signature, secret)\n\
         assert not is_ours(url, '1003600', signature[:-1], secret)\n\
         time.time = lambda: 1003600\n\
         assert not is_ours(url, '1003600', signature, secret)",
    );
}

#[test]
fn the_code_that_calls_by_grpc_calls() {
    let venv = std::env::var_os("PORTCULLIS_TEST_VENV").map(PathBuf::from);
    let program = venv.map(|venv| venv.join("bin/python")).filter(|program| program.is_file());
    let program = found_or_skipped("the Python of PORTCULLIS_TEST_VENV", program);
    let Some(program) = program else { return };
    let realm = Realm::issuing();
    realm.with_alice_and_demo();
    let issuer = Issuer::start(&realm);
    let login = issuer.log_in();
    let page = Page::read("docs/how-to/grpc.md").with("127.0.0.1:50051", issuer.grpc);
    let shown = page.blocks("console").concat();
    let compiler = shown.lines().find_map(|line| line.strip_prefix("python ")).expect("protoc");
    let folder = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink(in_repository("proto"), folder.path().join("proto"))
        .expect("a link");
    let python = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        let output = command.args(arguments).current_dir(folder.path()).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    python(&compiler.split(' ').collect::<Vec<_>>());
    let token = login["access_token"].as_str().expect("a token");
    let user = python(&["-c", &page.blocks("python").concat(), token]);
    assert_eq!(user.trim(), login["user_id"]);
}

/// The manifests of the Gateway API are YAML, ask by both protocols, and copy all identity headers.
#[test]
fn the_manifests_of_the_gateway_api_ask_where_the_gate_answers() {
    let venv = std::env::var_os("PORTCULLIS_TEST_VENV").map(PathBuf::from);
    let program = venv.map(|venv| venv.join("bin/python")).filter(|program| program.is_file());
    let program = found_or_skipped("the Python of PORTCULLIS_TEST_VENV", program);
    let Some(program) = program else { return };
    let script = "import json, sys, yaml\n\
        routes = list(yaml.safe_load_all(open(sys.argv[1])))\n\
        assert all(route['kind'] == 'HTTPRoute' for route in routes)\n\
        filters = [route['spec']['rules'][0]['filters'][0] for route in routes]\n\
        assert all(filter['type'] == 'ExternalAuth' for filter in filters)\n\
        print(json.dumps([filter['externalAuth'] for filter in filters]))";
    let file = in_repository("examples/envoy/gateway-api.yaml");
    let output = Command::new(program).args(["-c", script]).arg(file).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let filters: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let [http, grpc] = &filters.as_array().expect("a list")[..] else { panic!("two routes") };
    assert_eq!((&http["protocol"], &grpc["protocol"]), (&"HTTP".into(), &"GRPC".into()));
    assert_eq!(http["http"]["path"], portcullis::gate::Dialect::Envoy.path());
    let identity = suite::IDENTITY.map(str::to_lowercase);
    assert_eq!(http["http"]["allowedResponseHeaders"], serde_json::json!(identity));
    assert!(grpc["http"].is_null() && !grpc["grpc"].is_null());
}
