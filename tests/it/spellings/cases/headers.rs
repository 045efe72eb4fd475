//! Spellings of the host and of the method, and headers in which a client describes another request.

use super::{Case, HOST, http1};

/// All of them.
pub(super) fn all() -> Vec<Case> {
    let long = [format!("{}.test", "a".repeat(64)), ["a".repeat(60).as_str(); 5].join(".")];
    let hosts = HOSTS.split_whitespace().chain(SPACED_HOSTS).chain(long.iter().map(String::as_str));
    let mut all: Vec<_> =
        hosts.map(|host| http1(b"GET", b"/admin/x", Some(host.as_bytes()), &[])).collect();
    let long = "A".repeat(33);
    let methods = METHODS.split_whitespace().chain(["GE T", "", long.as_str()]);
    all.extend(methods.map(|method| http1(method.as_bytes(), b"/admin/x", Some(HOST), &[])));
    for (method, target) in [
        ("OPTIONS", "*"),
        ("GET", "*"),
        ("CONNECT", "*"),
        ("CONNECT", "app.test:80"),
        ("CONNECT", "/admin/x"),
    ] {
        all.push(http1(method.as_bytes(), target.as_bytes(), Some(HOST), &[]));
    }
    all.push(http1(b"GET", b"/admin/x", None, &[]));
    all.extend(forged().iter().map(|lines| http1(b"POST", b"/admin/x", Some(HOST), lines)));
    all
}

const HOSTS: &str = r#"
    app.test APP.TEST App.Test app.test. APP.TEST. app.test.. .app.test app..test app.test:80 app.test:080 app.test:443
    app.test:8080 app.test: app.test:0 app.test:x app.test:99999 app.test:80:80 app.test.:80 app.test:80. admin.test
    ADMIN.test admin.test. admin.test:80 admin.test:1234 nobody.test app.test,admin.test app.test/admin app.test#
    app.test?x user@app.test app.test@admin.test app.test\admin.test app%2etest %61pp.test app_test my_app.test
    MY_APP.test my-app.test -app.test a.wild.test A.WILD.test a.b.wild.test wild.test .wild.test *.wild.test
    a.wild.test. a.wild.test:81 xn--bcher-kva.test XN--BCHER-KVA.test xn--BCHER-kva.TEST bücher.test BÜCHER.test
    b%C3%BCcher.test ａpp.test app。test xn--app-.test 127.0.0.1 127.0.0.1:80 127.1 0x7f.0.0.1 2130706433 127.0.0.01
    127.0.0.1. [::1] [::1]:80 [::1]:81 [0:0:0:0:0:0:0:1] [0::1] [::0001] ::1 [::1 [::1]x [::1%25lo] [::1%lo]
    [::ffff:127.0.0.1] [::FFFF:7f00:1] [v1.x] app.test;x 'app.test' "app.test"
"#;

/// Hosts that hold what separates words.
const SPACED_HOSTS: [&str; 9] = [
    "",
    " app.test",
    "app.test ",
    "app.test\t",
    "app.test, admin.test",
    "app.test admin.test",
    "app.test\0",
    "app.test\u{1}",
    "bu\u{308}cher.test",
];

const METHODS: &str = "
    GET get Get HEAD POST post PUT PATCH DELETE OPTIONS TRACE PROPFIND M-SEARCH VERSION-CONTROL PRI G_T G.T G=T GET1
    1GET G'T GÉT
";

const FAMILIES: &str = "
    X-Original- X-Forwarded- X_Original_ X_Forwarded_ x-original- x_forwarded_ X-Forwarded_ X-Rewrite- X-Envoy-Original-
";

const PARTS: [&str; 5] = [
    "Uri: /public/x",
    "Method: GET",
    "Host: app.test",
    "Proto: https",
    "Url: http://app.test/public/x",
];

/// Headers that describe another request: a good value under each name that somebody reads, then lists, second lines
/// and lines that `Connection` names.
fn forged() -> Vec<Vec<String>> {
    let mut all: Vec<_> = SINGLE.iter().map(|line| vec![(*line).to_owned()]).collect();
    for family in FAMILIES.split_whitespace() {
        all.extend(PARTS.map(|part| vec![format!("{family}{part}")]));
    }
    for (name, value) in [
        ("X-Original-Uri", "/public/x"),
        ("X-Forwarded-Uri", "/public/x"),
        ("X-Forwarded-Host", "admin.test"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Method", "GET"),
    ] {
        let line = format!("{name}: {value}");
        all.push(vec![format!("Connection: close, {name}"), line.clone()]);
        all.push(vec![line.clone(), format!("{line}y")]);
        all.push(vec![format!("{line}, {value}")]);
        all.push(vec![format!("{name}: ")]);
    }
    all
}

const SINGLE: &[&str] = &[
    "X-Forwarded-For: 10.9.9.9",
    "X-Real-IP: 10.9.9.9",
    "X_Real_IP: 10.9.9.9",
    "X_Forwarded_For: 10.9.9.9",
    "Forwarded: for=10.9.9.9;host=admin.test",
    "X-Forwarded-Prefix: /public",
    "X-Replaced-Path: /public/x",
    "X-Scheme: https",
    "X-Forwarded-Scheme: https",
    "X-Forwarded-Port: 443",
    "X-Forwarded-Path: /public/x",
    "X-Envoy-Original-Path: /public/x",
    "X-HTTP-Method-Override: DELETE",
    "X-Original-Forwarded-For: 10.9.9.9",
    "X-Envoy-External-Address: 10.9.9.9",
    ":path: /public/x",
    "Path: /public/x",
    "Method: DELETE",
    "Host: admin.test",
    "Host: app.test",
    "hOsT: admin.test",
];
