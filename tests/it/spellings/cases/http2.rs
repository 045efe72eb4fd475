//! Spellings over HTTP/2, where path, host, scheme and method are fields that may hold any byte.

use super::{Case, Field};

/// All of them.
pub(super) fn all() -> Vec<Case> {
    let mut all = vec![plain()];
    all.extend(PATHS.iter().map(|path| changed(":path", path)));
    for host in HOSTS {
        all.push(changed(":authority", host));
        all.push(and(changed(":authority", host), &[("host", b"app.test")]));
        all.push(and(without(":authority"), &[("host", host)]));
    }
    all.push(and(plain(), &[("host", b"admin.test")]));
    let both: &[(&str, &[u8])] = &[("host", b"app.test"), ("host", b"admin.test")];
    all.push(and(plain(), both));
    all.push(and(without(":authority"), both));
    all.extend(SCHEMES.iter().map(|scheme| changed(":scheme", scheme)));
    all.extend([":authority", ":scheme", ":path", ":method"].map(without));
    all.extend(METHODS.iter().map(|method| changed(":method", method)));
    for (name, second) in [
        (":path", "/public/x"),
        (":authority", "admin.test"),
        (":scheme", "https"),
        (":method", "POST"),
    ] {
        let last = and(plain(), &[(name, second.as_bytes())]);
        let mut first = last.clone();
        first.rotate_right(1);
        all.extend([last, first]);
    }
    all.extend(NAMES.iter().map(|name| and(plain(), &[(name, b"/public/x")])));
    all.push(and(plain(), &[("x-forwarded-uri", b"/public/x\r\nX-Forwarded-Uri: /y")]));
    all.into_iter().map(Case::Http2).collect()
}

const PATHS: &[&[u8]] = &[
    b"",
    b"admin/x",
    b"?x",
    b"*",
    b"/admin/x?a=b",
    b"/admin/x#f",
    b"/admin/x?a#f",
    b"//admin/x",
    b"/public/../admin/x",
    b"/public/%2e%2e/admin/x",
    b"/public\\..\\admin/x",
    b"/%61dmin/x",
    b"/%2561dmin/x",
    b"/admin%2fx",
    b"/admin;x/x",
    b"/ADMIN/x",
    b"/admin/x\x01",
    b"/admin/x\x00",
    b"/admin/x y",
    b"/admin/x\t",
    b"/admin/\x80",
    b"/admin/\xe9",
    b"/public/x\r\n",
    b"/public/x HTTP/1.1\r\nHost: admin.test\r\n\r\n",
    b"http://app.test/admin/x",
    b"http://admin.test/admin/x",
    b"https://app.test/admin/x",
    b"/http://admin.test/x",
    b"//admin.test/x",
    b"http:/admin/x",
    b"@admin.test/x",
    b".admin.test/x",
    b":80/admin/x",
    b"\\admin\\x",
    b"/\\admin/x",
    b"/admin/%zz",
    b"/100%/x",
    b"/caf\xe9/x",
    b"/admin/\xe2\x82\xac",
    b"/caf\xc3\xa9/\xe2\x82\xac",
    b"/public/!",
    b"/users/\xe9",
    b"/users/!",
];

const HOSTS: &[&[u8]] = &[
    b"",
    b"APP.TEST",
    b"app.test.",
    b"app.test:80",
    b"app.test:443",
    b"app.test:",
    b"app.test:x",
    b"admin.test",
    b"user@app.test",
    b"app.test@admin.test",
    b"app.test,admin.test",
    b"app.test, admin.test",
    b"app.test/x",
    b"app.test#",
    b"app.test?x",
    b"app.test\\x",
    b"app.test admin.test",
    b" app.test",
    b"app.test ",
    b"[::1]",
    b"::1",
    b"app.test\x00",
    b"b\xfccher.test",
    b"a.b.wild.test",
];

const SCHEMES: &[&[u8]] = &[
    b"https",
    b"HTTP",
    b"ws",
    b"wss",
    b"ftp",
    b"",
    b"http://admin.test",
    b"http://admin.test/x?",
    b"http, https",
    b"x",
];

const METHODS: &[&[u8]] = &[
    b"get",
    b"OPTIONS",
    b"CONNECT",
    b"GET /public/x HTTP/1.1\r\nX: y",
    b"GET ",
    b"",
    b"G\xc9T",
    b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    b"PRI",
];

const NAMES: &[&str] = &[
    "x-original-uri",
    "x-forwarded-uri",
    "x_original_uri",
    "X-Forwarded-Uri",
    "x-forwarded-host",
    ":x-forwarded-uri",
    "x-forwarded-uri ",
    "transfer-encoding",
    "connection",
    "x-forwarded-proto",
];

fn plain() -> Vec<Field> {
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/admin/x"),
        (":authority", "app.test"),
    ];
    fields.map(|(name, value)| (name.into(), value.into())).into()
}

fn changed(name: &str, value: &[u8]) -> Vec<Field> {
    let mut fields = plain();
    for field in fields.iter_mut().filter(|(own, _)| own == name.as_bytes()) {
        field.1 = value.to_vec();
    }
    fields
}

fn without(name: &str) -> Vec<Field> {
    let mut fields = plain();
    fields.retain(|(own, _)| own != name.as_bytes());
    fields
}

fn and(mut fields: Vec<Field>, more: &[(&str, &[u8])]) -> Vec<Field> {
    fields.extend(more.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())));
    fields
}
